#include "vmx/field.h"

#include <algorithm>

namespace vmxscope::vmx {
namespace {

constexpr FieldInfo kFields[] = {
#define VMX_FIELD(name, encoding, group) {Field::name, #name, Group::group},
#include "vmx/fields.def"
#undef VMX_FIELD
};
static_assert(std::size(kFields) == kFieldCount);

constexpr bool strictly_ascending() {
    for (std::size_t i = 1; i < kFieldCount; ++i)
        if (kFields[i - 1].field >= kFields[i].field) return false;
    return true;
}
static_assert(strictly_ascending(), "fields.def must be in encoding order, without doubles");

/// SDM Vol. 3C table 25-21: bit 0 (access type) and bits 12 and 15 are clear in the encoding of a whole field.
constexpr bool only_whole_fields() {
    return std::all_of(std::begin(kFields), std::end(kFields),
                       [](const FieldInfo& f) { return (static_cast<unsigned>(f.field) & 0x9001) == 0; });
}
static_assert(only_whole_fields(), "fields.def must hold only full-access encodings");

/// Bits 11:10 of an encoding (0 control, 1 exit information, 2 guest, 3 host) must agree with the group given.
constexpr bool groups_match_encodings() {
    return std::all_of(std::begin(kFields), std::end(kFields), [](const FieldInfo& f) {
        switch ((static_cast<unsigned>(f.field) >> 10) & 3) {
            case 1:
                return f.group == Group::ExitInformation;
            case 2:
                return f.group == Group::GuestState;
            case 3:
                return f.group == Group::HostState;
            default:
                return f.group == Group::ExecutionControls || f.group == Group::ExitControls ||
                       f.group == Group::EntryControls;
        }
    });
}
static_assert(groups_match_encodings(), "a field of fields.def is in the wrong group");

}  // namespace

std::span<const FieldInfo> all_fields() {
    return kFields;
}

// Images are filled field by field, thousands of times a second: a table instead of a search. Bit 0 of an encoding is the
// access type (the high half of a 64-bit field), which the list leaves out.
constexpr std::uint8_t kNoField = 0xff;
static_assert(kFieldCount < kNoField);
constexpr auto kIndexOf = [] {
    std::array<std::uint8_t, 1 << 14> table{};
    table.fill(kNoField);
    for (std::size_t i = 0; i < kFieldCount; ++i) table[static_cast<std::size_t>(kFields[i].field) >> 1] = static_cast<std::uint8_t>(i);
    return table;
}();

std::optional<std::size_t> index_of(Field f) {
    const auto encoding = static_cast<std::size_t>(f);
    if (encoding & 1 || encoding >> 1 >= kIndexOf.size() || kIndexOf[encoding >> 1] == kNoField) return std::nullopt;
    return kIndexOf[encoding >> 1];
}

std::optional<Field> field_by_name(std::string_view name) {
    const auto* found = std::find_if(std::begin(kFields), std::end(kFields),
                                     [name](const FieldInfo& info) { return info.name == name; });
    if (found == std::end(kFields)) return std::nullopt;
    return found->field;
}

std::string_view name_of(Field f) {
    const auto index = index_of(f);
    return index ? kFields[*index].name : "?";
}

std::string_view name_of(Group g) {
    switch (g) {
        case Group::GuestState:
            return "Guest state";
        case Group::HostState:
            return "Host state";
        case Group::ExecutionControls:
            return "VM-execution controls";
        case Group::ExitControls:
            return "VM-exit controls";
        case Group::EntryControls:
            return "VM-entry controls";
        case Group::ExitInformation:
            return "VM-exit information";
    }
    return "?";
}

bool VmcsImage::any_known() const {
    return std::any_of(values_.begin(), values_.end(), [](const Value& v) { return v.known(); });
}

}  // namespace vmxscope::vmx
