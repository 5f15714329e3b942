// The functions of a kernel module, from /proc/kallsyms, and their code, from /proc/kcore.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
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
    /// Of each of `modules`, all in one go: the kernel takes its time to write /proc/kallsyms. Fails when that hides
    /// addresses (not root) or has no function of one of them.
    static core::Result<std::vector<Symbols>> of_modules(std::span<const std::string_view> modules);
    /// The same of one, from kallsyms-formatted text, for whoever has it.
    static core::Result<Symbols> parse(std::string_view text, std::string_view module);

    /// Ordered by address.
    std::span<const Function> functions() const { return functions_; }
    const Function* find(std::string_view name) const;
    /// `name` itself, or the compiler's copy of it: name.constprop.0, name.isra.0, name.part.0.
    const Function* find_with_suffix(std::string_view name) const;
    /// The function that holds `address`.
    const Function* at(std::uint64_t address) const;
    /// Where the struct tracepoint of `name` ("kvm_exit") is.
    std::optional<std::uint64_t> tracepoint(std::string_view name) const;

  private:
    std::vector<Function> functions_;
    std::map<std::string, std::uint64_t, std::less<>> tracepoints_;
};

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
