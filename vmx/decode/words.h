// Fields whose value is one thing that has words of its own: numbers with names, ratios, lists.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vmx/field.h"

namespace vmxscope::vmx {

/// SDM table 31-1, "VM-Instruction Error Numbers"; empty for a number that has no meaning, 0 included.
std::string_view vm_instruction_error_name(std::uint64_t number);

/// "#PF"; empty for a vector that is no exception of the architecture's.
std::string_view exception_name(unsigned vector);

/// TSC_MULTIPLIER: 64-bit fixed point with 48 bits of fraction (SDM 26.3): "times 1.5".
std::string describe_tsc_multiplier(std::uint64_t multiplier);

/// For the fields that neither flags nor a layout describe; "" for a plain number or address.
std::string describe_word(Field field, std::uint64_t value);

}  // namespace vmxscope::vmx
