// What it costs to judge one transition: the flow of all fields, the PDPTR verdict, badges, routing, and all entry checks.
#include <benchmark/benchmark.h>

#include "core/cpu_catalog.h"
#include "nested/badges.h"
#include "nested/flow.h"
#include "nested/pdptr.h"
#include "nested/routing.h"
#include "tests/nested/flow_samples.h"
#include "vmx/entry_check.h"

namespace {

using namespace vmxscope;

void flow(benchmark::State& state, const nested::Transition& t) {
    for (auto _ : state) benchmark::DoNotOptimize(nested::flow_of(t));
}
void verdict(benchmark::State& state, const nested::Transition& t) {
    for (auto _ : state) benchmark::DoNotOptimize(nested::pdptr_verdict(t));
}

/// All that a view needs of a transition, but the words.
void everything(benchmark::State& state, const nested::Transition& t) {
    const auto cpu = core::load_cpu("bochs-corei7-skylake-x");
    if (!cpu) return state.SkipWithError(cpu.error().what.c_str());
    for (auto _ : state) {
        const nested::Flow f = nested::flow_of(t);
        benchmark::DoNotOptimize(nested::badges_of(t, f));
        benchmark::DoNotOptimize(nested::pdptr_verdict(t));
        benchmark::DoNotOptimize(vmx::check_entry(t.vmcs12_before, *cpu));
    }
}

const nested::Transition kEntry = nested::good_entry(), kExit = nested::good_exit();

BENCHMARK_CAPTURE(flow, entry, kEntry);
BENCHMARK_CAPTURE(flow, exit, kExit);
BENCHMARK_CAPTURE(verdict, entry, kEntry);
BENCHMARK_CAPTURE(verdict, exit, kExit);
BENCHMARK_CAPTURE(everything, entry, kEntry);
BENCHMARK_CAPTURE(everything, exit, kExit);

}  // namespace

BENCHMARK_MAIN();
