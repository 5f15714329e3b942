// Reading a guest's memory by any of its addresses: L2's linear ones become L2-physical by L2's own tables, those
// L1-physical by EPT12, and L1-physical memory is for the caller to read. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/target.h"
#include "vmx/paging.h"

namespace vmxscope::kvm {

/// Which tables translate; empty = not known, and reads that need them fail with `why`.
struct Translation {
    std::optional<vmx::LinearMode> l1, l2;
    bool nested_ept = false;             // else L2-physical addresses are L1-physical ones
    std::optional<std::uint64_t> ept12;  // EPTP in vmcs12
    unsigned maxphyaddr = 52;            // of L1's processor
    std::string why = "It is not known where the tables are.";
};

/// Fills `to` from L1-physical memory; a range never crosses a page of 4 KiB.
using ReadL1 = std::function<core::Result<void>(std::uint64_t physical, std::span<std::byte> to)>;

/// Fills L1-physical memory from `from`; likewise.
using WriteL1 = std::function<core::Result<void>(std::uint64_t physical, std::span<const std::byte> from)>;

/// Fails, naming the address, where anything on the way is not mapped.
core::Result<std::vector<std::byte>> read_space(core::Space space, std::uint64_t address, std::size_t size,
                                                const Translation& translation, const ReadL1& read_l1);

/// All or nothing as far as the tables go: everything is translated before anything is written.
core::Result<void> write_space(core::Space space, std::uint64_t address, std::span<const std::byte> bytes,
                               const Translation& translation, const ReadL1& read_l1, const WriteL1& write_l1);

}  // namespace vmxscope::kvm
