// The VMCS fields (SDM Vol. 3C, appendix B). The one list is vmx/fields.def; this header is its only reader.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "vmx/value.h"

namespace vmxscope::vmx {

/// Every field by its SDM/KVM name; the enumerator's value is the VMREAD/VMWRITE encoding.
enum class Field : std::uint16_t {
#define VMX_FIELD(name, encoding, group) name = encoding,
#include "vmx/fields.def"
#undef VMX_FIELD
};

/// The groups of SDM Vol. 3C ch. 25 ("VMCS organization"), in display order.
enum class Group : std::uint8_t { GuestState, HostState, ExecutionControls, ExitControls, EntryControls, ExitInformation };

/// Decoded from the encoding (SDM Vol. 3C table 25-21).
enum class Width : std::uint8_t { W16 = 0, W64 = 1, W32 = 2, Natural = 3 };

constexpr Width width_of(Field f) { return static_cast<Width>((static_cast<unsigned>(f) >> 13) & 3); }
constexpr unsigned bytes_of(Field f) {
    constexpr unsigned bytes[] = {2, 8, 4, 8};
    return bytes[static_cast<unsigned>(width_of(f))];
}

struct FieldInfo {
    Field field;
    std::string_view name;  // "GUEST_PDPTR0"
    Group group;
};

/// All fields, ordered by encoding. A field's place here is its index in every VmcsImage.
std::span<const FieldInfo> all_fields();

enum : std::size_t {
    kFieldCount = 0
#define VMX_FIELD(name, encoding, group) +1
#include "vmx/fields.def"
#undef VMX_FIELD
};

/// Place of `f` in all_fields(); empty for an encoding that is not in the list.
std::optional<std::size_t> index_of(Field f);
std::optional<Field> field_by_name(std::string_view name);
std::string_view name_of(Field f);  // "?" for an encoding that is not in the list
std::string_view name_of(Group g);  // "Guest state"

/// One VMCS, whole: a value (or the reason for none) for every field.
class VmcsImage {
  public:
    const Value& operator[](Field f) const { return values_[*index_of(f)]; }
    Value& operator[](Field f) { return values_[*index_of(f)]; }
    const Value& at_index(std::size_t i) const { return values_[i]; }
    Value& at_index(std::size_t i) { return values_[i]; }
    bool any_known() const;
    bool operator==(const VmcsImage&) const = default;

  private:
    std::array<Value, kFieldCount> values_{};
};

}  // namespace vmxscope::vmx
