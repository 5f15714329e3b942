// Values made of sub-fields, as tables: from one layout come the short text, the rows of a details panel, and decode
// and encode, which are inverse to each other for every value.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vmxscope::vmx {

enum class SubFieldKind : std::uint8_t {
    Flag,    // one bit; `name` is what it says when set
    Choice,  // `choices` by value; one that is missing or empty has no meaning
    Number,  // decimal
    Hex,
    Address,  // hexadecimal, left where it is: bits 51:12 of a pointer are the address itself
};

struct SubField {
    unsigned low = 0, width = 1;
    SubFieldKind kind = SubFieldKind::Flag;
    std::string_view name;
    std::string_view meaning = {};
    std::span<const std::string_view> choices = {};
    bool (*applies)(std::uint64_t bits) = nullptr;  // whether it is defined in such a value; null: always
};

/// Sub-fields in the order of the text; they do not overlap. Bits that none covers are reserved or undefined.
struct Layout {
    std::span<const SubField> fields;
};

/// One sub-field of a value.
struct Part {
    const SubField* field = nullptr;
    std::uint64_t raw = 0;  // shifted down to bit 0
    bool applies = true;
    bool operator==(const Part&) const = default;
};

struct Decoded {
    std::vector<Part> parts;     // one for each sub-field of the layout
    std::uint64_t reserved = 0;  // bits set that no sub-field covers, in place
};

Decoded decode(const Layout& layout, std::uint64_t bits);
std::uint64_t encode(const Decoded& decoded);

/// "MOV to CR, CR3, RAX": flags that are set, choices, and numbers that are not 0; then "other bits 0x…".
std::string text(const Layout& layout, std::uint64_t bits);
/// The part's value as its kind is written: "1", "3", "0x1000".
std::string value_text(const Part& part);
/// What the part's value means: the choice's name, or for a flag and a number the sub-field's own meaning. May be
/// empty.
std::string_view meaning_of(const Part& part);

/// A row of a details panel: one bit or sub-field.
struct Detail {
    std::string name, value, meaning;
    bool operator==(const Detail&) const = default;
};
std::vector<Detail> rows(const Layout& layout, std::uint64_t bits);

}  // namespace vmxscope::vmx
