// The items of a text dump: what is printed, and which fields its numbers are.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "vmx/field.h"

namespace vmxscope::core {

enum class DumpSection : std::uint8_t { None, Guest, Host, Control };

/// In `text` a '%' is a hexadecimal number, with or without "0x" and with a remark in parentheses after it or not; a
/// blank is any white space, or none.
struct DumpPattern {
    DumpSection section = DumpSection::None;  // None: in each
    std::string_view text;
    /// One for each '%'; kNoField: a number that is no field by itself.
    std::array<vmx::Field, 4> fields{};
};
inline constexpr auto kNoField = static_cast<vmx::Field>(0xffff);

/// Longer ones before those that they begin with.
std::span<const DumpPattern> dump_patterns();

}  // namespace vmxscope::core
