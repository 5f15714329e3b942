// Finding instructions in kernel code by decoding it: KVM's VMREADs and VMWRITEs, and calls to a given function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace vmxscope::kvm {

/// One VMREAD or VMWRITE.
struct VmcsAccess {
    std::uint64_t offset = 0;  // bytes from the start of the code
    bool write = false;
    std::uint8_t field_register = 0;  // 0 = RAX … 15 = R15
    std::uint8_t value_register = 0;        // meaningless when in_memory
    std::optional<std::uint16_t> encoding;  // the constant last moved into the field register; empty = not a constant
    bool in_memory = false;                 // the value is in memory, not in a register
};

struct VmcsAccesses {
    std::vector<VmcsAccess> found;
    std::size_t undecodable = 0;  // bytes that no instruction begins with
};

/// `code` is decoded from its first byte, straight on.
VmcsAccesses find_vmcs_accesses(std::span<const std::byte> code);

/// False where `code` has neither, whatever it is: VMREAD is 0F 78, VMWRITE 0F 79. To see that takes less time than decoding.
bool may_access_vmcs(std::span<const std::byte> code);

/// Offset of the first direct call to `target` in code loaded at `address`.
std::optional<std::uint64_t> find_call(std::span<const std::byte> code, std::uint64_t address, std::uint64_t target);

}  // namespace vmxscope::kvm
