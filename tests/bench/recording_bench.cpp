// What the agent does with a recording's records, without the kernel: round trips of six records, each with what changes in
// one, become transitions, and blocks of them. Google Benchmark's; for a release build.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "nested/vmcs12.h"
#include "plugins/kvm/assembler.h"
#include "plugins/kvm/journal.h"
#include "plugins/kvm/tracker.h"

using namespace vmxscope;
using kvm::Role;

namespace {

kvm::ProbePlan plan_of_all_fields() {
    kvm::ProbePlan plan;
    const auto mem = [&](kvm::StateMember m, std::uint32_t size, std::uint32_t groups) {
        vmxscope_mem one{};
        one.size = size;
        one.groups = groups;
        plan.mems.push_back(one);
        plan.mem_members.push_back(m);
        plan.mem_fields.emplace_back();
    };
    for (int m = 0; m < static_cast<int>(kvm::StateMember::Vmcs12); ++m) {
        const auto member = static_cast<kvm::StateMember>(m);
        if (member == kvm::StateMember::Regs) mem(member, 17 * 8, kvm::kRegs);
        else if (member == kvm::StateMember::CachedPdptrs) mem(member, 32, kvm::kCache);
        else mem(member, 8, kvm::kState);
    }
    mem(kvm::StateMember::Vmcs12, sizeof(nested::Vmcs12), kvm::kVmcs12);
    for (const vmx::FieldInfo& f : vmx::all_fields()) plan.fields.push_back(static_cast<std::uint16_t>(f.field));
    const auto hook = [&](Role role, std::uint32_t groups_l1, std::uint32_t groups_l2) {
        vmxscope_hook h{};
        h.groups_l1 = groups_l1;
        h.groups_l2 = groups_l2;
        plan.hooks.push_back(h);
        plan.meaning.push_back({role, "hook"});
    };
    hook(Role::HardwareExit, kvm::kRegs, kvm::kRegs);
    hook(Role::HardwareEntry, kvm::kRegs | kvm::kVmcs12, kvm::kRegs);
    hook(Role::NestedEntryBegin, kvm::kState | kvm::kVmcs12, kvm::kState | kvm::kVmcs12);
    hook(Role::NestedExitBegin, kvm::kState, kvm::kState);
    return plan;
}

struct Record {
    vmxscope_record header{};
    std::vector<std::byte> payload;
};

/// `n` changes, spread over the fields (at an exit) or over the registers and vmcs12; different at every call.
Record record(std::uint16_t hook, bool level2, unsigned fields, unsigned words, std::uint64_t salt) {
    Record r;
    r.header.hook = hook;
    r.header.flags = VMXSCOPE_REC_IDENTIFIED | (level2 ? VMXSCOPE_REC_LEVEL2 : 0);
    r.header.nr = static_cast<std::uint16_t>(fields + words);
    r.header.tsc = salt * 1000;
    std::vector<std::uint64_t> values;
    std::vector<std::uint16_t> what;
    for (unsigned i = 0; i < fields + words; ++i) {
        values.push_back(salt * 31 + i);
        what.push_back(static_cast<std::uint16_t>(i < fields ? i * 7 : VMXSCOPE_CHANGE_MEM + (i - fields) * 3));
    }
    r.payload.resize(8 * values.size() + (2 * what.size() + 7) / 8 * 8);
    std::memcpy(r.payload.data(), values.data(), 8 * values.size());
    std::memcpy(r.payload.data() + 8 * values.size(), what.data(), 2 * what.size());
    return r;
}

void round_trips(benchmark::State& state) {
    const kvm::ProbePlan plan = plan_of_all_fields();
    kvm::Tracker tracker(plan);
    kvm::Assembler assembler({true, true, true, false}, {nested::EvidenceScope::None, "none is gathered."});
    kvm::Journal journal(64u << 20);
    std::vector<kvm::Sample> samples;
    std::vector<Record> trips;
    for (std::uint64_t i = 1; i <= 64; ++i) {
        trips.push_back(record(0, false, 3, 4, 8 * i));
        trips.push_back(record(2, false, 1, 3, 8 * i + 1));
        trips.push_back(record(1, true, 4, 4, 8 * i + 2));
        trips.push_back(record(0, true, 9, 5, 8 * i + 3));
        trips.push_back(record(3, true, 0, 3, 8 * i + 4));
        trips.push_back(record(1, false, 2, 12, 8 * i + 5));
    }
    std::size_t at = 0;
    for (auto _ : state) {
        for (int i = 0; i < 6; ++i) {
            const Record& r = trips[at++ % trips.size()];
            samples.clear();
            if (!tracker.take({r.header, r.payload}, samples)) state.SkipWithError("a record was refused");
            for (const kvm::Sample& s : samples)
                for (nested::Transition& t : assembler.take(s)) {
                    assembler.number(t, journal.last() + 1);
                    journal.add(std::move(t), true);
                }
        }
    }
    state.counters["transitions/s"] = benchmark::Counter(static_cast<double>(journal.last()), benchmark::Counter::kIsRate);
}
BENCHMARK(round_trips);

}  // namespace

BENCHMARK_MAIN();
