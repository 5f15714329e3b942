// The registers that a vCPU shows to gdb and lldb: the processor's own, and every field of vmcs12 and vmcs02 as one
// register each ($vmcs12_guest_cr3). All come from the vCPU's newest shown Transition; what nobody read is
// unavailable ("xxxx"). One register a field, not one structure, because only a whole register can be unavailable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "nested/transition.h"

namespace vmxscope::core::rsp {

/// The target description that numbers and names them (gdb manual, "Target Descriptions").
const std::string& target_xml();

/// What rip shows where nobody read it: gdb 13 gives up on a thread whose rip is unavailable. It is no canonical
/// address, so no processor's rip is ever this.
inline constexpr std::uint64_t kUnknownRip = 0x8000'0000'0000'0000;

/// Register `number` in hex, target byte order; empty when there is no such register. `t` null = nothing known yet.
std::optional<std::string> register_hex(std::size_t number, const nested::Transition* t);

/// What `g` answers: the processor's own registers. The client fetches the others one by one, when it wants them.
std::string general_registers_hex(const nested::Transition* t);

}  // namespace vmxscope::core::rsp
