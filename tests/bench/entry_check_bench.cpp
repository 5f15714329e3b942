#include <benchmark/benchmark.h>

#include "entry_check_images.h"
#include "vmx/entry_check.h"

namespace vmxscope::vmx::test {
namespace {

/// Every rule over one VMCS.
void BM_check_entry(benchmark::State& state) {
    const VmcsImage image = long_mode_image();
    const Capabilities cpu = modern_cpu();
    for (auto _ : state) benchmark::DoNotOptimize(check_entry(image, cpu));
    state.counters["rules"] = static_cast<double>(entry_rules().size());
}
BENCHMARK(BM_check_entry);

/// The sentence for one rule, which is made only when it is asked for.
void BM_explain(benchmark::State& state) {
    const VmcsImage image = long_mode_image();
    const Capabilities cpu = modern_cpu();
    for (auto _ : state) benchmark::DoNotOptimize(explain(entry_rules()[0], image, cpu));
}
BENCHMARK(BM_explain);

}  // namespace
}  // namespace vmxscope::vmx::test
