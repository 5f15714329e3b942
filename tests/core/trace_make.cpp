// Makes what is kept in the tree: `make_trace golden FILE` the golden trace of the present version, `make_trace corpus
// FOLDER` what the fuzzer of traces begins with.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string_view>

#include "core/trace/writer.h"
#include "tests/nested/random_transition.h"
#include "trace_samples.h"

namespace {

using namespace vmxscope::core;
using namespace vmxscope::core::trace;

TraceInfo info() {
    TraceInfo i;
    i.program = "vmxscope 0.1.0";
    i.host = "l0";
    i.target.name = "lab:pae-ept";
    i.target.kernel = "6.1.0-28-amd64";
    i.target.cpu = "An emulated processor";
    i.started_ns = 1'700'000'000'123'456'789;
    i.tsc_khz = 2'600'000;
    i.capabilities.emplace();
    i.capabilities->l0[vmxscope::vmx::CapabilityMsr::Basic] = vmxscope::vmx::Value::of(0xda040000000004);
    i.evidence = vmxscope::nested::EvidenceScope::All;
    return i;
}

void must(const Result<void>& done) {
    if (done) return;
    std::fprintf(stderr, "%s\n", done.error().text().c_str());
    std::exit(1);
}

/// Round trips, and behind them a few transitions whose every member has any value.
void golden(const std::filesystem::path& path, std::size_t count, std::size_t block, std::size_t others) {
    auto writer = Writer::create(path, info(), {.transitions = block}, true).value();
    test::RoundTrips source(1, 2);
    std::uint64_t seq = 0;
    for (std::size_t i = 0; i < count; ++i) must(writer.add(source.next())), ++seq;
    must(writer.flush());
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < others; ++i) {
        auto t = vmxscope::nested::random_transition(random);
        t.seq = seq += 10;
        must(writer.add(t));
    }
    must(writer.finish());
}

void put(const std::filesystem::path& path, const Bytes& bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void corpus(const std::filesystem::path& folder) {
    test::RoundTrips source(1, 2);
    std::mt19937_64 random(1);
    for (const std::size_t count : {1u, 6u, 24u}) {
        BlockBuilder trips, any({.digests = false});
        for (std::size_t i = 0; i < count; ++i) {
            trips.add(source.next());
            auto t = vmxscope::nested::random_transition(random);
            t.seq = i + 1;
            t.vcpu = static_cast<std::uint32_t>(i % 2);
            if (count < 24) any.add(t);
        }
        put(folder / ("trips-" + std::to_string(count)), trips.peek());
        if (any.count()) put(folder / ("any-" + std::to_string(count)), any.peek());
        put(folder / ("compressed-" + std::to_string(count)), trips.take());
    }
    golden(folder / "file", 12, 6, 0);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view what = argc == 3 ? argv[1] : "";
    if (what == "golden") return golden(argv[2], 120, 40, 4), 0;
    if (what == "corpus") return corpus(argv[2]), 0;
    std::fprintf(stderr, "usage: %s golden FILE | corpus FOLDER\n", argv[0]);
    return 2;
}
