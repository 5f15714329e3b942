// The registers that a vCPU shows to gdb and lldb. All values are of the vCPU's newest shown Transition; what nobody
// read is unavailable ("xxxx"), and only a whole register can be that. So there are
//
//     rax … gs, st0 …          the processor's own, of the level that runs
//     vmcs12_guest_cr3         each field of vmcs12, vmcs02 and (those that are read of it) vmcs01
//     vmcs12, vmcs02, vmcs01   the fields as members of a structure: $vmcs12.guest_cr3. It has those members alone that
//                              are known where that VMCS is read (MemberFields), and is available where all of them are
//     vmcs12_bits, …           the sets of bits among the members, bit by bit: $vmcs12_bits.guest_cr0.PG
//
// A set of bits is of a <flags> type everywhere else: gdb shows it as [ PE NE PG ], and computes and compares with it
// as with a number, but has no ".PG" for it; of a <struct> with bit fields it has, and then cannot compute with it.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/target.h"
#include "nested/transition.h"

namespace vmxscope::core::rsp {

/// What rip shows where nobody read it: gdb 13 gives up on a thread whose rip is unavailable. It is no canonical
/// address, so no processor's rip is ever this.
inline constexpr std::uint64_t kUnknownRip = 0x8000'0000'0000'0000;

enum class ShownVmcs : std::uint8_t { Vmcs01, Vmcs12, Vmcs02 };
inline constexpr std::size_t kShownVmcs = 3;

/// Which fields are members of each VMCS's structure, by place in vmx::all_fields().
struct MemberFields {
    std::bitset<vmx::kFieldCount> of[kShownVmcs];
    const std::bitset<vmx::kFieldCount>& operator[](ShownVmcs v) const { return of[static_cast<std::size_t>(v)]; }
    std::bitset<vmx::kFieldCount>& operator[](ShownVmcs v) { return of[static_cast<std::size_t>(v)]; }
};

/// The fields that are known of each VMCS where it was read: at `newest` (null: none yet) or one of the oldest
/// transitions. Before any was read, those that KVM's vmcs12 has, and that the processor's capabilities and the hooks
/// promise.
MemberFields member_fields(Target& target, const nested::Transition* newest);

/// One numbering of them all.
class Registers {
  public:
    explicit Registers(const MemberFields& members);

    /// The target description that numbers and names them (gdb manual, "Target Descriptions").
    const std::string& target_xml() const { return xml_; }
    /// Register `number` in hex, target byte order; empty when there is no such register. `t` null = nothing known yet.
    std::optional<std::string> hex(std::size_t number, const nested::Transition* t) const;
    /// What `g` answers: the processor's own registers. The client fetches the others one by one, when it wants them.
    std::string general_hex(const nested::Transition* t) const;
    /// The field that register `number` is, of vmcs12 or vmcs02; empty for all others.
    struct OneField {
        WrittenVmcs vmcs;
        vmx::Field field;
    };
    std::optional<OneField> field_at(std::size_t number) const;

    static constexpr std::size_t kInstructionPointer = 16;  // its number, which gdb demands

  private:
    struct Register;
    struct Layout;
    std::shared_ptr<const Layout> layout_;
    std::string xml_;
};

}  // namespace vmxscope::core::rsp
