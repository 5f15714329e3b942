#include "plugins/remote/registers.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "core/rsp/codec.h"

namespace vmxscope::remote {

std::vector<RegisterShape> usual_registers() {
    std::vector<RegisterShape> all;
    for (const char* name : {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
                             "r13", "r14", "r15", "rip"})
        all.push_back({name, 8});
    for (const char* name : {"eflags", "cs", "ss", "ds", "es", "fs", "gs"}) all.push_back({name, 4});
    for (int i = 0; i < 8; ++i) all.push_back({fmt::format("st{}", i), 10});
    for (const char* name : {"fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"})
        all.push_back({name, 4});
    for (int i = 0; i < 16; ++i) all.push_back({fmt::format("xmm{}", i), 16});
    all.push_back({"mxcsr", 4});
    return all;
}

core::Result<std::vector<core::RegisterBytes>> read_registers(const std::vector<RegisterShape>& shapes,
                                                              std::string_view hex) {
    std::vector<core::RegisterBytes> all;
    for (const RegisterShape& shape : shapes) {
        if (hex.size() < 2 * shape.bytes) break;
        const std::string_view digits = hex.substr(0, 2 * shape.bytes);
        hex.remove_prefix(digits.size());
        core::RegisterBytes r{shape.name, {}};
        if (digits.find_first_not_of('x') != std::string_view::npos) {
            const auto bytes = core::rsp::from_hex(digits);
            if (!bytes)
                return core::fail(fmt::format("The value of register {} is no hexadecimal number.", shape.name));
            const auto view = std::as_bytes(std::span(*bytes));
            r.bytes.assign(view.begin(), view.end());
        }
        all.push_back(std::move(r));
    }
    if (all.empty() || (all.size() == shapes.size() && !hex.empty()))
        return core::fail("The registers that came are not those that were described.");
    return all;
}

std::optional<std::uint64_t> value_of(const std::vector<core::RegisterBytes>& registers, std::string_view name) {
    const auto at = std::find_if(registers.begin(), registers.end(), [&](const auto& r) { return r.name == name; });
    if (at == registers.end() || at->bytes.empty() || at->bytes.size() > 8) return std::nullopt;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < at->bytes.size(); ++i) value |= std::to_integer<std::uint64_t>(at->bytes[i]) << (8 * i);
    return value;
}

}  // namespace vmxscope::remote
