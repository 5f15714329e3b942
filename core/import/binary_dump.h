// The binary forms of KVM's nested state: a vmcs12 page, the buffer of KVM_GET_NESTED_STATE, and QEMU's migration
// stream, which carries that buffer's parts.
#pragma once

#include <cstddef>
#include <span>

#include "core/import/import.h"

namespace vmxscope::core {

bool looks_like_vmcs12(std::span<const std::byte> bytes);
bool looks_like_nested_state(std::span<const std::byte> bytes);
bool looks_like_qemu(std::span<const std::byte> bytes);

/// Sets all but `format`. What is too short or odd is said in warnings; only what has no field at all fails.
Result<Imported> read_vmcs12_page(std::span<const std::byte> bytes);
Result<Imported> read_nested_state(std::span<const std::byte> bytes);
Result<Imported> read_qemu_stream(std::span<const std::byte> bytes);

}  // namespace vmxscope::core
