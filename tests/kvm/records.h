// Records as the module writes them, for a plan that has one hook for each role.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "plugins/kvm/sample.h"

namespace vmxscope::kvm {

/// Every hook carries every StateMember; those with an image read three fields of vmcs01 (VM_EXIT_REASON,
/// EXIT_QUALIFICATION, GUEST_RIP), all where a nested entry begins, and some more of vmcs02.
const ProbePlan& small_plan();

/// What one hook's record says. Members that are not named read as 0, fields that are not named as not read.
struct Record {
    Role role = Role::HardwareExit;
    bool level2 = false, identified = true;
    std::uint64_t lost = 0, tsc = 0;
    std::array<std::uint64_t, 6> registers{};  // rdi rsi rdx rcx r8 rax
    std::map<StateMember, std::uint64_t> state{};
    std::set<StateMember> unread{};
    std::map<vmx::Field, vmx::Value> vmcs{};
    std::map<vmx::Field, std::uint64_t> vmcs12{};
};

/// vcpu->arch.regs[i] and walk_mmu->pdptrs[i] of every record.
constexpr std::uint64_t gpr_in_records(unsigned i) { return 0x1000 + i; }
constexpr std::uint64_t pdptr_in_records(unsigned i) { return 0x5001 + 0x1000ull * i; }

vmxscope_record header_of(const Record& r);
std::vector<std::byte> payload_of(const Record& r);
/// Through decode_sample(); a record that it refuses fails the test.
Sample sample_of(const Record& r);

}  // namespace vmxscope::kvm
