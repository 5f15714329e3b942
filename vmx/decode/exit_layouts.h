// Exit qualifications (SDM Vol. 3C 28.2.1) and VM-exit instruction information (SDM 28.2.5), by basic exit reason.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vmx/decode/layout.h"
#include "vmx/field.h"

namespace vmxscope::vmx {

/// Null when the reason has no qualification, or one that is a plain address or number (qualification_word).
/// `intr_info`: VM_EXIT_INTR_INFO, without which the qualification of an exception (reason 0) is not known.
const Layout* qualification_layout(std::uint16_t reason, std::optional<std::uint64_t> intr_info = std::nullopt);

/// What the qualification is where it is one number: "linear address", "displacement", "MSR-load entry". Empty when the
/// reason has a layout, or no qualification at all.
std::string_view qualification_word(std::uint16_t reason, std::optional<std::uint64_t> intr_info = std::nullopt);

/// Whether the reason defines EXIT_QUALIFICATION at all; an unknown reason may.
bool has_qualification(std::uint16_t reason);

/// "MOV to CR, CR3, RAX"; empty when nothing is to be said.
std::string describe_qualification(std::uint16_t reason, std::uint64_t bits,
                                   std::optional<std::uint64_t> intr_info = std::nullopt);

/// Null when the reason defines no instruction information.
const Layout* instruction_layout(std::uint16_t reason);

}  // namespace vmxscope::vmx
