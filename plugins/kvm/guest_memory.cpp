#include "plugins/kvm/guest_memory.h"

#include <sys/uio.h>

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace vmxscope::kvm {
namespace {

constexpr unsigned kPageShift = 12;
constexpr unsigned kDeepest = 64;  // of a red-black tree; a deeper one is being changed, or is none

}  // namespace

core::Result<MemslotLayout> MemslotLayout::of(const Btf& btf) {
    MemslotLayout l;
    struct Row {
        const char *type, *path;
        std::uint32_t* offset;
    };
    for (const Row& row : {Row{"kvm", "memslots", &l.memslots},
                           {"kvm_memslots", "gfn_tree.rb_node", &l.gfn_tree},
                           {"kvm_memslots", "node_idx", &l.node_idx},
                           {"kvm_memory_slot", "gfn_node", &l.gfn_node},
                           {"rb_node", "rb_left", &l.left},
                           {"rb_node", "rb_right", &l.right},
                           {"kvm_memory_slot", "base_gfn", &l.base_gfn},
                           {"kvm_memory_slot", "npages", &l.npages},
                           {"kvm_memory_slot", "userspace_addr", &l.userspace_addr}}) {
        const auto member = btf.member(row.type, row.path);
        if (!member)
            return core::fail(
                fmt::format("How this kernel's KVM keeps the guest's memory is not known: struct {} has no {}.",
                            row.type, row.path));
        *row.offset = member->offset;
    }
    l.node_size = btf.size_of("rb_node").value_or(3 * sizeof(std::uint64_t));
    return l;
}

core::Result<std::uint64_t> userspace_address(const MemslotLayout& l, std::uint64_t kvm, std::uint64_t l1_physical,
                                              const ReadKernel& read) {
    const auto broken = [] { return core::fail("KVM's memory slots could not be read."); };
    const std::uint64_t gfn = l1_physical >> kPageShift;
    const auto slots = read(kvm + l.memslots);
    if (!slots) return broken();
    const auto index = read(*slots + l.node_idx);
    auto node = read(*slots + l.gfn_tree);
    if (!index || !node) return broken();
    const std::uint64_t in_slot =
        l.gfn_node + (*index & 1) * l.node_size;  // KVM changes one set while the other is in use
    for (unsigned depth = 0; *node && depth < kDeepest; ++depth) {
        const std::uint64_t slot = *node - in_slot;
        const auto base = read(slot + l.base_gfn), pages = read(slot + l.npages), start = read(slot + l.userspace_addr);
        if (!base || !pages || !start) return broken();
        if (gfn >= *base && gfn - *base < *pages) return *start + (l1_physical - (*base << kPageShift));
        node = read(*node + (gfn < *base ? l.left : l.right));
        if (!node) return broken();
    }
    if (*node) return broken();
    return core::fail(fmt::format("The L1-physical address {:#x} is no memory of the guest's.", l1_physical));
}

namespace {

/// What process_vm_readv() or process_vm_writev() came to; `doing`: "read".
core::Result<void> whole(ssize_t done, std::size_t wanted, std::string_view doing, std::uint32_t pid, std::uint64_t address) {
    if (done < 0)
        return core::fail(fmt::format("The guest's memory cannot be {} in process {}: {}.", doing, pid, std::strerror(errno)));
    if (static_cast<std::size_t>(done) != wanted)
        return core::fail(fmt::format("The guest's memory ends at {:#x} in process {}.",
                                      address + static_cast<std::uint64_t>(done), pid));
    return {};
}

}  // namespace

core::Result<void> read_process(std::uint32_t pid, std::uint64_t address, std::span<std::byte> to) {
    const iovec here{to.data(), to.size()};
    const iovec there{reinterpret_cast<void*>(address), to.size()};
    return whole(::process_vm_readv(static_cast<pid_t>(pid), &here, 1, &there, 1, 0), to.size(), "read", pid, address);
}

core::Result<void> write_process(std::uint32_t pid, std::uint64_t address, std::span<const std::byte> from) {
    const iovec here{const_cast<std::byte*>(from.data()), from.size()};  // only read, by its contract
    const iovec there{reinterpret_cast<void*>(address), from.size()};
    return whole(::process_vm_writev(static_cast<pid_t>(pid), &here, 1, &there, 1, 0), from.size(), "written", pid, address);
}

}  // namespace vmxscope::kvm
