// The functions of a kernel module, from /proc/kallsyms, and their code, from /proc/kcore.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace vmxscope::kvm {

struct Function {
    std::string name;
    std::uint64_t address = 0;
    std::uint64_t size = 0;  // up to the next symbol
};

class Symbols {
  public:
    /// Text symbols of `module`. Fails when /proc/kallsyms hides addresses (not root) or has none of that module.
    static core::Result<Symbols> of_module(std::string_view module);
    /// The same from kallsyms-formatted text, for whoever has it.
    static core::Result<Symbols> parse(std::string_view text, std::string_view module);

    /// Ordered by address.
    std::span<const Function> functions() const { return functions_; }
    const Function* find(std::string_view name) const;
    /// `name` itself, or the compiler's copy of it: name.constprop.0, name.isra.0, name.part.0.
    const Function* find_with_suffix(std::string_view name) const;
    /// The function that holds `address`.
    const Function* at(std::uint64_t address) const;

  private:
    std::vector<Function> functions_;
};

/// Where the struct tracepoint of `name` ("kvm_exit") in `module` is; empty when there is none, or addresses are hidden.
std::optional<std::uint64_t> tracepoint_address(std::string_view module, std::string_view name);

/// Kernel memory as it is now (patched in alternatives, static calls and probes included), from /proc/kcore.
class KernelMemory {
  public:
    static core::Result<KernelMemory> open();
    core::Result<std::vector<std::byte>> read(std::uint64_t address, std::size_t size) const;
    /// 8 bytes of the machine's RAM, by their physical address.
    std::optional<std::uint64_t> read_physical(std::uint64_t physical) const;

  private:
    struct Segment {
        std::uint64_t address, size, offset;
        std::optional<std::uint64_t> physical;  // RAM, and the kernel's image; others are mapped page by page
    };
    core::Fd file_;
    std::vector<Segment> segments_;
};

}  // namespace vmxscope::kvm
