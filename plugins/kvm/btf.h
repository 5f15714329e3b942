// Offsets of kernel structure members, from the running kernel's BTF (/sys/kernel/btf). No kernel version is ever
// tested: a member is there or it is not.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

struct btf;

namespace vmxscope::kvm {

struct Member {
    std::uint32_t offset = 0;  // bytes from the start of the outermost structure
    std::uint32_t size = 0;    // bytes
};

class Btf {
  public:
    /// The types of `module` on top of vmlinux. Fails when the kernel has no BTF or the module is not loaded.
    static core::Result<Btf> of_module(const std::string& module);

    /// `path` is as C would write it after the object: member("vcpu_vmx", "nested.dirty_vmcs12"). Anonymous structs and
    /// unions on the way are seen through. Empty when the type or a member does not exist, or is a bit field.
    std::optional<Member> member(std::string_view type, std::string_view path) const;
    /// The value of an enumerator, whichever enum of at most 32 bits it belongs to.
    std::optional<std::int64_t> enumerator(std::string_view name) const;
    /// Size of a struct or union in bytes.
    std::optional<std::uint32_t> size_of(std::string_view type) const;

  private:
    std::optional<std::uint32_t> struct_id(std::string_view name) const;

    struct Free {
        void operator()(btf* b) const;
    };
    std::unique_ptr<btf, Free> base_, module_;
    mutable std::map<std::string, std::optional<std::uint32_t>, std::less<>> ids_;  // by name: libbpf looks through all types each time
};

}  // namespace vmxscope::kvm
