// L1's physical memory: KVM's memory slots say where in the VMM's address space it is, and there it is read.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "core/result.h"
#include "plugins/kvm/btf.h"

namespace vmxscope::kvm {

/// Where struct kvm_memory_slot and what leads to it keep what is needed: offsets in bytes.
struct MemslotLayout {
    std::uint32_t memslots = 0;  // struct kvm: memslots[0]
    std::uint32_t gfn_tree = 0;  // struct kvm_memslots: gfn_tree.rb_node
    std::uint32_t node_idx = 0;  // struct kvm_memslots (an int)
    std::uint32_t gfn_node = 0;  // struct kvm_memory_slot: gfn_node[0], of node_size each
    std::uint32_t node_size = 0;
    std::uint32_t left = 0, right = 0;  // struct rb_node
    std::uint32_t base_gfn = 0, npages = 0, userspace_addr = 0;

    /// Fails, naming the member, when this kernel has none of it (before v5.17, a54d806688fe, slots were an array).
    static core::Result<MemslotLayout> of(const Btf& btf);
};

/// 8 bytes of kernel memory.
using ReadKernel = std::function<std::optional<std::uint64_t>(std::uint64_t address)>;

/// The VMM's address of an L1-physical address; fails when no slot has it, or KVM's tree makes no sense.
core::Result<std::uint64_t> userspace_address(const MemslotLayout& layout, std::uint64_t kvm, std::uint64_t l1_physical,
                                              const ReadKernel& read);

/// Fills `to` from another process's memory.
core::Result<void> read_process(std::uint32_t pid, std::uint64_t address, std::span<std::byte> to);
/// Writes into it.
core::Result<void> write_process(std::uint32_t pid, std::uint64_t address, std::span<const std::byte> from);

}  // namespace vmxscope::kvm
