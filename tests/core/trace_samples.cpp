#include "trace_samples.h"

#include <fmt/format.h>

#include "tests/nested/flow_samples.h"

namespace vmxscope::core::test {
namespace {

using nested::Evidence;
using nested::Kind;
using nested::Transition;
using vmx::Value;
using enum vmx::Field;

/// What L2 does, over and over: at `rip` an instruction of `length` bytes that exits for `reason`.
struct Instruction {
    std::uint64_t rip;
    std::uint32_t reason, length;
    bool to_l1;
};
constexpr Instruction kProgram[] = {
    {0x101005, 10, 2, true},  // CPUID
    {0x101022, 30, 1, true},  // OUT
    {0x101023, 30, 1, true},
    {0xffffffff810a2b31, 32, 2, true},   // WRMSR
    {0xffffffff810a2c40, 48, 0, false},  // EPT violation that L0 repairs
    {0xffffffff810a2c40, 48, 0, true},
    {0xffffffff8100a3d0, 28, 3, true},  // MOV to CR3
    {0x0, 1, 0, false},                 // an interrupt of the host's, anywhere
    {0xffffffff81b0a1f2, 12, 1, true},  // HLT
    {0x0, 52, 0, false},                // the preemption timer
};

/// Which of the VMREADs and VMWRITEs of a nested entry or exit there are, apart from their values.
std::vector<Evidence> sites(const Transition& t, std::string_view function) {
    std::vector<Evidence> all = t.evidence;
    for (std::size_t i = 0; i < all.size(); ++i)
        all[i].at = fmt::format("{}+{:#x}", i % 5 ? function : "vmx_set_segment", 0x10 + 9 * i);
    return all;
}
const std::vector<Evidence>& entry_sites() {
    static const auto all = sites(nested::good_entry(), "prepare_vmcs02_rare.constprop.0");
    return all;
}
const std::vector<Evidence>& exit_sites() {
    static const auto all = sites(nested::good_exit(), "sync_vmcs02_to_vmcs12");
    return all;
}

}  // namespace

RoundTrips::RoundTrips(std::uint64_t seed, unsigned vcpus) : random_(seed) {
    const Transition sample = nested::good_entry();
    for (unsigned i = 0; i < vcpus; ++i) {
        Vcpu& v = vcpus_.emplace_back();
        v.id = i;
        v.now = sample;
        v.now.vcpu = i;
        v.now.vmcs12_after[GUEST_RIP] = v.now.vmcs02_after[GUEST_RIP] = Value::of(kProgram[0].rip);
        for (std::size_t r = 0; r < nested::kRegCount; ++r) v.now.regs[r] = Value::of(random_());
        for (auto& p : v.now.cached_pdptrs) p = Value::of(0x103001);
    }
}

/// A round trip, or L2 runs on after an exit that L1 is not told of.
void RoundTrips::plan(Vcpu& v) {
    v.place = below(8) == 0 ? below(std::size(kProgram)) : (v.place + 1) % std::size(kProgram);
    v.plan = {Kind::L2Entry, Kind::L2Exit};
    if (!kProgram[v.place].to_l1) return;
    for (const Kind kind : {Kind::NestedExit, Kind::L1Entry, Kind::L1Exit}) v.plan.push_back(kind);
    for (std::uint64_t n = below(3); n > 0; --n)
        for (const Kind kind : {Kind::L1Entry, Kind::L1Exit}) v.plan.push_back(kind);
    v.plan.push_back(Kind::NestedEntry);
}

Transition& RoundTrips::begin(Vcpu& v, Kind kind) {
    Transition& t = v.now;
    t.seq = ++seq_;
    t.tsc = tsc_ += 900 + below(30'000);
    t.kind = kind;
    t.exit = {};
    t.status.reset();
    t.evidence.clear();
    t.notes.clear();
    t.vmcs01 = {};
    t.vmcs12_before = t.vmcs12_after;
    t.vmcs02_before = t.vmcs02_after;
    return t;
}

void RoundTrips::l2_runs(Transition& t, Vcpu& v) {
    const Instruction& now = kProgram[v.place];
    vmx::VmcsImage& v02 = t.vmcs02_after;
    v02[GUEST_RIP] = Value::of(now.rip ? now.rip : 0xffffffff81000000 + below(0x400000));
    v02[GUEST_RFLAGS] = Value::of(below(4) ? 0x246 : 0x202 | below(0x100));
    if (below(3) == 0) v02[GUEST_RSP] = Value::of(0xffffc90000000000 + 8 * below(1 << 12));
    v02[VM_EXIT_REASON] = Value::of(now.reason);
    v02[VM_EXIT_INSTRUCTION_LEN] = Value::of(now.length);
    v02[VM_EXIT_INTR_INFO] = Value::of(now.reason == 1 ? 0x800000ec : 0);
    v02[EXIT_QUALIFICATION] = Value::of(now.reason == 30 ? 0x3f80000 : now.reason == 48 ? 0x181 + below(2) : 0);
    if (now.reason == 48) v02[GUEST_PHYSICAL_ADDRESS] = Value::of(below(1 << 18) << 12 | below(4096));
    if (now.reason == 28) v02[GUEST_CR3] = Value::of(0x10'2000 + 0x1000 * below(6));
    if (now.reason == 10) t.regs[nested::RAX] = Value::of(below(16));
    if (now.reason == 32) t.regs[nested::RCX] = Value::of(0x6e0), t.regs[nested::RAX] = Value::of(random_() >> 32);
    t.regs[nested::RBX + below(10)] = Value::of(0xffff888000000000 + (below(1 << 20) << 6));
    t.regs[nested::RSP] = v02[GUEST_RSP];
    t.regs[nested::RIP] = v02[GUEST_RIP];
    t.regs[nested::RFLAGS] = v02[GUEST_RFLAGS];
    t.exit.reason = v02[VM_EXIT_REASON];
    t.exit.qualification = v02[EXIT_QUALIFICATION];
    t.exit.intr_info = v02[VM_EXIT_INTR_INFO];
    t.exit.instruction_length = v02[VM_EXIT_INSTRUCTION_LEN];
    if (now.reason == 48) t.exit.guest_physical = v02[GUEST_PHYSICAL_ADDRESS];
}

/// Those of an entry write what vmcs02 then has, those of an exit read it; a few are not always there.
void RoundTrips::evidence(Transition& t) {
    const bool entry = t.kind == Kind::NestedEntry;
    for (const Evidence& site : entry ? entry_sites() : exit_sites()) {
        if (site.encoding % 32 == 6 && below(16) == 0) continue;
        t.evidence.push_back(site);
        t.evidence.back().value = t.vmcs02_after[static_cast<vmx::Field>(site.encoding)];
    }
}

/// The few fields of vmcs01 that are read when L1 exits or is entered.
void RoundTrips::l1_fields(Transition& t, Vcpu& v) {
    const bool exit = t.kind == Kind::L1Exit;
    const bool resumes = v.plan.empty() || v.plan.front() == Kind::NestedEntry;
    if (exit) v.l1_rip = resumes ? 0xffffffffc0a2b0f0 : 0xffffffffc0a2b200 + 4 * below(30);
    t.regs[nested::RAX] = Value::of(below(1 << 12));
    t.regs[nested::RIP] = t.vmcs01[GUEST_RIP] = Value::of(v.l1_rip);
    t.regs[nested::RSP] = t.vmcs01[GUEST_RSP] = Value::of(0xffffa06fc02d7d80 - 8 * below(4));
    t.regs[nested::RFLAGS] = t.vmcs01[GUEST_RFLAGS] = Value::of(0x46);
    t.vmcs01[GUEST_CR0] = Value::of(0x80050033);
    t.vmcs01[GUEST_CR3] = Value::of(0x1018a4003);
    t.vmcs01[GUEST_CR4] = Value::of(0x3726e0);
    t.vmcs01[VM_EXIT_INSTRUCTION_LEN] = Value::of(3);
    t.vmcs01[EXIT_QUALIFICATION] = t.vmcs01[VM_EXIT_INTR_INFO] = Value::of(0);
    t.vmcs01[VM_EXIT_REASON] = Value::of(resumes ? 24 : 31);
    if (!exit) return;
    t.exit.reason = t.vmcs01[VM_EXIT_REASON];
    t.exit.qualification = t.exit.intr_info = Value::of(0);
    t.exit.instruction_length = Value::of(3);
    if (!resumes) return;
    // L1 has emulated the instruction.
    Value& rip = t.vmcs12_before[GUEST_RIP];
    rip = Value::of(rip.bits + t.vmcs12_before[VM_EXIT_INSTRUCTION_LEN].bits);
    t.vmcs12_after = t.vmcs12_before;
}

const Transition& RoundTrips::next() {
    Vcpu& v = vcpus_[vcpus_.size() == 1 ? 0 : below(vcpus_.size())];
    if (v.plan.empty()) plan(v);
    const Kind kind = v.plan.front();
    v.plan.pop_front();
    Transition& t = begin(v, kind);
    if (kind == Kind::L1Exit || kind == Kind::L1Entry) {
        l1_fields(t, v);
        return t;
    }
    t.vmcs02_as_of = t.seq;
    if (kind == Kind::L2Exit) l2_runs(t, v);
    if (kind == Kind::NestedExit) {
        t.exit.reason = t.vmcs02_after[VM_EXIT_REASON];
        for (const vmx::Field f : {GUEST_RIP, GUEST_RSP, GUEST_RFLAGS, GUEST_CR3, VM_EXIT_REASON, EXIT_QUALIFICATION,
                                   VM_EXIT_INTR_INFO, VM_EXIT_INSTRUCTION_LEN, GUEST_PHYSICAL_ADDRESS})
            t.vmcs12_after[f] = t.vmcs02_after[f];
        evidence(t);
    }
    if (kind == Kind::NestedEntry) {
        t.status = 0;
        static const vmx::VmcsImage v01 = nested::good_entry().vmcs01;
        t.vmcs01 = v01;
        t.context.dirty_vmcs12 = below(4) == 0;
        for (const vmx::Field f : {GUEST_RIP, GUEST_RSP, GUEST_RFLAGS, GUEST_CR3})
            t.vmcs02_after[f] = t.vmcs12_after[f];
        evidence(t);
    }
    return t;
}

}  // namespace vmxscope::core::test
