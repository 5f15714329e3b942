#include "plugins/kvm/btf.h"

#include <bpf/btf.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace vmxscope::kvm {
namespace {

std::uint32_t strip(const btf* types, std::uint32_t id) {
    const btf_type* t = btf__type_by_id(types, id);
    while (t && (btf_is_typedef(t) || btf_is_mod(t))) {
        id = t->type;
        t = btf__type_by_id(types, id);
    }
    return id;
}

struct Found {
    std::uint32_t bit_offset;
    std::uint32_t type;
};

/// One named member of a struct or union, looking through anonymous ones.
std::optional<Found> find_member(const btf* types, std::uint32_t id, std::string_view name) {
    const btf_type* t = btf__type_by_id(types, strip(types, id));
    if (!t || !btf_is_composite(t)) return std::nullopt;
    for (std::uint32_t i = 0; i < btf_vlen(t); ++i) {
        const btf_member& m = btf_members(t)[i];
        const std::string_view its_name = btf__name_by_offset(types, m.name_off);
        const std::uint32_t at = btf_member_bit_offset(t, i);
        if (its_name == name) {
            if (btf_member_bitfield_size(t, i)) return std::nullopt;
            return Found{at, m.type};
        }
        if (!its_name.empty()) continue;
        if (auto inner = find_member(types, m.type, name)) return Found{at + inner->bit_offset, inner->type};
    }
    return std::nullopt;
}

}  // namespace

void Btf::Free::operator()(btf* b) const { btf__free(b); }

core::Result<Btf> Btf::of_module(const std::string& module) {
    Btf out;
    if (!std::filesystem::exists("/sys/kernel/btf/vmlinux"))
        return core::fail("This kernel has no BTF (/sys/kernel/btf/vmlinux is missing), so where KVM keeps its state is not known.",
                          "Use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as Debian's are.");
    if (!std::filesystem::exists("/sys/kernel/btf/" + module))
        return core::fail(fmt::format("The kernel has no BTF of {0} (/sys/kernel/btf/{0} is missing).", module),
                          fmt::format("Load it with: modprobe {} (and the kernel must have CONFIG_DEBUG_INFO_BTF_MODULES=y).", module));
    out.base_.reset(btf__load_vmlinux_btf());
    if (!out.base_) return core::fail(fmt::format("The kernel's BTF cannot be read: {}.", std::strerror(errno)));
    out.module_.reset(btf__load_module_btf(module.c_str(), out.base_.get()));
    if (!out.module_) return core::fail(fmt::format("The BTF of {} cannot be read: {}.", module, std::strerror(errno)));
    return out;
}

std::optional<std::uint32_t> Btf::struct_id(std::string_view name) const {
    if (const auto known = ids_.find(name); known != ids_.end()) return known->second;
    const auto id = btf__find_by_name_kind(module_.get(), std::string(name).c_str(), BTF_KIND_STRUCT);
    return ids_[std::string(name)] = id < 0 ? std::nullopt : std::optional(static_cast<std::uint32_t>(id));
}

std::optional<Member> Btf::member(std::string_view type, std::string_view path) const {
    const btf* types = module_.get();
    const auto found_id = struct_id(type);
    if (!found_id) return std::nullopt;
    std::uint32_t id = *found_id;
    std::uint32_t bits = 0;
    while (!path.empty()) {
        const auto dot = path.find('.');
        const auto found = find_member(types, id, path.substr(0, dot));
        if (!found) return std::nullopt;
        bits += found->bit_offset;
        id = found->type;
        path = dot == std::string_view::npos ? std::string_view{} : path.substr(dot + 1);
    }
    const auto size = btf__resolve_size(types, id);
    if (size < 0 || bits % 8) return std::nullopt;
    return Member{bits / 8, static_cast<std::uint32_t>(size)};
}

std::optional<std::int64_t> Btf::enumerator(std::string_view name) const {
    const btf* types = module_.get();
    for (std::uint32_t id = 1; id < btf__type_cnt(types); ++id) {
        const btf_type* t = btf__type_by_id(types, id);
        if (!t || !btf_is_enum(t)) continue;
        for (std::uint32_t i = 0; i < btf_vlen(t); ++i)
            if (name == btf__name_by_offset(types, btf_enum(t)[i].name_off)) return btf_enum(t)[i].val;
    }
    return std::nullopt;
}

std::optional<std::uint32_t> Btf::size_of(std::string_view type) const {
    const auto id = struct_id(type);
    if (!id) return std::nullopt;
    const auto size = btf__resolve_size(module_.get(), *id);
    if (size < 0) return std::nullopt;
    return static_cast<std::uint32_t>(size);
}

}  // namespace vmxscope::kvm
