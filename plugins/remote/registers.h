// Where each register stands in the bytes that a GDB stub answers `g` with.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/target.h"

namespace vmxscope::remote {

/// One of those that a stub has, in the order of `g`.
struct RegisterShape {
    std::string name;
    std::size_t bytes = 0;
};

/// What gdb takes for granted of an x86-64 stub that describes nothing (gdb: features/i386/64bit-core.xml,
/// 64bit-sse.xml).
std::vector<RegisterShape> usual_registers();

/// Reads the hexadecimal answer to `g`. One whose digits are 'x' has no bytes; those that a short answer leaves out are
/// not there. Fails where it is not hexadecimal, or longer than all registers together.
core::Result<std::vector<core::RegisterBytes>> read_registers(const std::vector<RegisterShape>& shapes,
                                                              std::string_view hex);

/// The value of one of at most 8 bytes.
std::optional<std::uint64_t> value_of(const std::vector<core::RegisterBytes>& registers, std::string_view name);

}  // namespace vmxscope::remote
