// What a trace costs: to make, in bytes, and to read; and whether one of ten million transitions is as quick as a short
// one.
//     bench_trace [TRANSITIONS [FILE]]    FILE is made unless it is there, and left there; without it, it goes again
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "core/trace/trace.h"
#include "core/trace/writer.h"
#include "tests/core/trace_samples.h"

namespace {

using namespace vmxscope::core;
using namespace vmxscope::core::trace;
using vmxscope::nested::Transition;
using Clock = std::chrono::steady_clock;

double seconds(Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
}

std::vector<Transition> samples(std::size_t n) {
    test::RoundTrips source(1);
    std::vector<Transition> all;
    for (std::size_t i = 0; i < n; ++i) all.push_back(source.next());
    return all;
}

void encode_and_decode() {
    const auto all = samples(4096);
    for (const bool digests : {true, false}) {
        BlockBuilder builder({.digests = digests});
        std::vector<Bytes> blocks;
        std::size_t bytes = 0;
        const auto begin = Clock::now();
        for (const Transition& t : all)
            if (builder.add(t)) bytes += blocks.emplace_back(builder.take()).size();
        const auto n = static_cast<double>(all.size());
        std::printf("encode, digests %-3s  %6.2f us, %.1f bytes per transition\n", digests ? "yes" : "no",
                    seconds(begin) * 1e6 / n, static_cast<double>(bytes) / n);
        const auto decode = Clock::now();
        for (const Bytes& block : blocks)
            if (!decode_block(block, [](const Transition&) { return true; })) std::abort();
        std::printf("decode               %6.2f us per transition\n", seconds(decode) * 1e6 / n);
    }
}

/// As the recording agent has them: just made, so in the processor's caches.
void add_hot() {
    auto few = samples(24);
    BlockBuilder builder({.digests = false});
    constexpr int kTimes = 40'000;
    std::uint64_t seq = 0;
    const auto begin = Clock::now();
    for (int i = 0; i < kTimes; ++i) {
        Transition& t = few[static_cast<std::size_t>(i) % few.size()];
        t.seq = ++seq;
        if (builder.add(t)) (void)builder.take();
    }
    std::printf("encode, in the cache %6.2f us per transition, without digests\n", seconds(begin) * 1e6 / kTimes);
}

void make(const std::filesystem::path& path, std::uint64_t count) {
    auto writer = Writer::create(path, {}, {});
    if (!writer) std::fprintf(stderr, "%s\n", writer.error().text().c_str()), std::exit(1);
    const auto begin = Clock::now();
    test::RoundTrips source(2);
    for (std::uint64_t i = 0; i < count; ++i)
        if (const auto added = writer->add(source.next()); !added)
            std::fprintf(stderr, "%s\n", added.error().text().c_str()), std::exit(1);
    if (!writer->finish()) std::exit(1);
    std::printf("made %.1f million transitions in %.0f s, %.1f bytes each\n", static_cast<double>(count) / 1e6,
                seconds(begin), static_cast<double>(writer->bytes()) / static_cast<double>(count));
}

void scan(const Trace& trace) {
    const auto begin = Clock::now();
    std::uint64_t rows = 0, found = 0;
    for (std::size_t i = 0; i < trace.blocks(); ++i) {
        const auto digests = trace.digests(i);
        if (!digests) std::abort();
        for (const Digest& d : *digests) found += d.reason == 48 && d.did == vmxscope::nested::Did::Copied;
        rows += digests->size();
    }
    const double took = seconds(begin);
    std::printf("digests: %.1f million a second; %llu have reason 48 and are copied\n",
                static_cast<double>(rows) / 1e6 / took, static_cast<unsigned long long>(found));
}

void read(const std::filesystem::path& path) {
    const auto begin = Clock::now();
    const auto trace = Trace::open(path);
    if (!trace) std::fprintf(stderr, "%s\n", trace.error().text().c_str()), std::exit(1);
    std::printf("opened %llu transitions in %.1f ms\n", static_cast<unsigned long long>(trace->count()),
                seconds(begin) * 1e3);
    std::mt19937_64 random(1);
    std::vector<double> times;
    for (int i = 0; i < 200; ++i) {
        const std::uint64_t seq = 1 + random() % trace->count();
        const auto one = Clock::now();
        if (!trace->transition(seq)) std::abort();
        times.push_back(seconds(one) * 1e3);
    }
    std::ranges::sort(times);
    std::printf("any transition: median %.2f ms, slowest of 200 %.2f ms\n", times[100], times.back());
    for (int i = 0; i < 2; ++i) scan(*trace);
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    std::printf("most memory %.1f MB\n", static_cast<double>(usage.ru_maxrss) / 1024);
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000'000;
    const bool named = argc > 2;
    const auto path = named ? std::filesystem::path(argv[2])
                            : std::filesystem::temp_directory_path() / ("bench-" + std::to_string(::getpid()) + ".vxt");
    encode_and_decode();
    add_hot();
    if (!std::filesystem::exists(path)) make(path, count);
    read(path);
    if (!named) std::filesystem::remove(path);
    return 0;
}
