#include "app/agent/cost.h"

#include <x86intrin.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <thread>
#include <vector>

#include "plugins/kvm/device.h"
#include "plugins/kvm/probe_plan.h"

namespace vmxscope::app {
namespace {

constexpr unsigned kTurns = 3;
constexpr std::uint32_t kRing = VMXSCOPE_MAX_RING;  // whatever comes in a turn has room
constexpr const char* kCounter = "/sys/kernel/debug/kvm/nested_run";

using Hooks = kvm::WatchFor::Hooks;

/// One way to run the guest: without probes, or recorded.
struct Way {
    const char* name;
    std::optional<Hooks> hooks;
    std::vector<double> cycles = {};  // of a round trip, a turn each
    double records = 0, bytes = 0;    // of a round trip
    std::uint64_t lost = 0;
};

std::optional<std::uint64_t> nested_runs() {
    std::ifstream in(kCounter);
    std::uint64_t n = 0;
    return in >> n ? std::optional(n) : std::nullopt;
}

core::Result<void> run(Way& way, std::unique_ptr<kvm::Device> device, unsigned seconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (device)
        if (const auto n = device->read(std::chrono::milliseconds(0), [](const kvm::RawRecord&) {}); !n) return tl::unexpected(n.error());
    const auto before = nested_runs();
    const std::uint64_t begin = __rdtsc();
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    const std::uint64_t cycles = __rdtsc() - begin;
    const auto after = nested_runs();
    if (!before || !after) return core::fail(fmt::format("{} cannot be read.", kCounter), "Mount debugfs: mount -t debugfs none /sys/kernel/debug");
    if (*after == *before) return core::fail("The guest made no nested VM-entry.", "Let L1 run a guest of its own meanwhile.");
    const double trips = static_cast<double>(*after - *before);
    way.cycles.push_back(static_cast<double>(cycles) / trips);
    if (!device) return {};
    way.bytes = static_cast<double>(device->waiting()) / trips;
    const auto n = device->read(std::chrono::milliseconds(0), [](const kvm::RawRecord&) {});
    const auto status = device->status();
    if (!n || !status) return tl::unexpected(n ? status.error() : n.error());
    way.records = static_cast<double>(*n) / trips;
    for (const kvm::SlotStatus& s : status->slots) way.lost += s.lost;
    return {};
}

core::Result<void> take_turn(Way& way, const kvm::KvmProcess& process, unsigned seconds) {
    if (!way.hooks) return run(way, nullptr, seconds);
    auto plan = kvm::plan_probes();
    if (!plan) return tl::unexpected(plan.error());
    if (plan->no_recording) return tl::unexpected(*plan->no_recording);
    auto device = kvm::Device::open(*plan, process.pid, 0, {.hooks = *way.hooks, .scope = nested::EvidenceScope::None, .ring_bytes = kRing});
    if (!device) return tl::unexpected(device.error());
    return run(way, std::move(*device), seconds);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace

core::Result<void> measure_cost(const kvm::KvmProcess& process, unsigned seconds) {
    Way ways[] = {{"untraced", {}}, {"verdict", Hooks::RecordVerdict}, {"all", Hooks::RecordAll}};
    for (unsigned turn = 0; turn < kTurns; ++turn)
        for (Way& way : ways)
            if (const auto ok = take_turn(way, process, seconds); !ok) return ok;
    const double untraced = median(ways[0].cycles);
    for (const Way& way : ways) {
        const auto [least, most] = std::minmax_element(way.cycles.begin(), way.cycles.end());
        fmt::print("{:8}  {:8.0f} cycles a nested round trip ({:.0f} to {:.0f})  {:.2f} of untraced", way.name, median(way.cycles), *least, *most, median(way.cycles) / untraced);
        if (way.hooks) fmt::print("  {:.1f} records, {:.0f} bytes a round trip, {} lost", way.records, way.bytes, way.lost);
        fmt::print("\n");
    }
    std::fflush(stdout);
    return {};
}

}  // namespace vmxscope::app
