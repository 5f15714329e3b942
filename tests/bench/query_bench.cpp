// What a query costs: over digests in memory, in transitions a second, and on single transitions.
#include <benchmark/benchmark.h>

#include <random>

#include "core/query/evaluator.h"
#include "tests/nested/flow_samples.h"

namespace {

using namespace vmxscope;
using core::query::Durations;
using core::query::Evaluator;
using core::query::Query;
using core::query::Truth;
using core::trace::Digest;

constexpr std::size_t kDigests = 1 << 20, kBlock = 512;  // as a trace has them

const std::vector<Digest>& digests() {
    static const std::vector<Digest> all = [] {
        std::mt19937_64 random(1);
        std::vector<Digest> made(kDigests);
        std::uint64_t seq = 0, tsc = 0;
        for (Digest& d : made) {
            d.seq = ++seq;
            d.tsc = tsc += random() % 5000;
            d.vcpu = random() % 2;
            d.kind = static_cast<nested::Kind>(random() % 6);
            d.has_reason =
                d.kind == nested::Kind::L2Exit || d.kind == nested::Kind::L1Exit || d.kind == nested::Kind::NestedExit;
            if (d.has_reason) d.reason = static_cast<std::uint32_t>(random() % 60);
            d.has_verdict = d.kind == nested::Kind::NestedEntry || d.kind == nested::Kind::NestedExit;
            if (d.has_verdict) d.did = static_cast<nested::Did>(random() % 5);
            d.routing = static_cast<std::uint8_t>(random() % 3);
        }
        return made;
    }();
    return all;
}

/// Block by block, as a scan of a trace does.
void over_digests(benchmark::State& state, const char* text) {
    const Query query = *Query::parse(text);
    const std::span<const Digest> all = digests();
    std::uint64_t matches = 0;
    for (auto _ : state) {
        Evaluator evaluator(query, 2'000'000);
        core::query::Moments moments;
        std::vector<Truth> truths;
        std::vector<Durations> durations;
        for (std::size_t begin = 0; begin < all.size(); begin += kBlock) {
            const auto block = all.subspan(begin, kBlock);
            durations.clear();
            if (query.uses_durations())
                for (const Digest& d : block) durations.push_back(moments.take(d));
            evaluator.truths(block, durations, truths);
            for (const Truth t : truths) matches += t == Truth::Yes;
        }
    }
    benchmark::DoNotOptimize(matches);
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * all.size()));
}

void on_transition(benchmark::State& state, const char* text) {
    const nested::Transition t = nested::good_entry();
    const Digest digest = core::trace::digest_of(t);
    core::query::Watch watch(*Query::parse(text), 2'000'000);
    for (auto _ : state) benchmark::DoNotOptimize(watch.take(t, digest));
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

BENCHMARK_CAPTURE(over_digests, reason, "exit_reason == EPT_VIOLATION");
BENCHMARK_CAPTURE(over_digests, reason_and_verdict, "exit_reason == EPT_VIOLATION && pdptr.did == copied");
BENCHMARK_CAPTURE(over_digests, verdict_or_reasons,
                  "pdptr == undefined || exit_reason in {CPUID, HLT, 40..50} && wanted_by == L1");
BENCHMARK_CAPTURE(over_digests, time, "time_in_l2 > 50us && level == 2");
BENCHMARK_CAPTURE(on_transition, reason, "exit_reason == EPT_VIOLATION");
BENCHMARK_CAPTURE(on_transition, fields, "vmcs12.GUEST_CR3 != vmcs02.GUEST_CR3 && vmcs12.GUEST_CR0.PG");
BENCHMARK_CAPTURE(on_transition, finding, "found(GUEST_CR3)");

}  // namespace

BENCHMARK_MAIN();
