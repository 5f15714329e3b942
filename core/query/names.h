// What an expression can name: the one list, for the parser, for the documentation and for completion.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/query/program.h"
#include "vmx/field.h"

namespace vmxscope::core::query {

struct Name {
    std::string_view name;
    Type type = Type::Number;
    Vocabulary vocabulary = Vocabulary::None;  // of a word
    bool hex = false;                          // how a number is written
    Source source;
    std::uint32_t parameter = 0;
    std::string_view meaning;  // one sentence
    /// A digest does not have it: each transition must be decoded.
    bool needs_whole() const { return source.whole || source.text; }
};
std::span<const Name> all_names();           // but for the fields of the VMCSs
const Name* name_by(std::string_view name);  // in either case; null if there is none

struct Function {
    enum class Takes : std::uint8_t { Value, Time, Image, Field, Badge };
    std::string_view name, usage, meaning;
    Takes takes = Takes::Value;
    Source source =
        {};  // of those that take a field or a badge; its parameter is the place in all_fields(), all_badges()
};
std::span<const Function> all_functions();

/// One value of a vocabulary.
struct Word {
    std::string name;
    std::uint64_t value = 0;
};
std::span<const Word> words_of(Vocabulary vocabulary);
std::string_view name_of(Vocabulary vocabulary);  // "kind", as documentation calls it
/// In either case, '_' for '-'.
std::optional<std::uint64_t> word_by(Vocabulary vocabulary, std::string_view name);
bool is_hyphenated_word(std::string_view text);

/// A field of a VMCS: "vmcs12.GUEST_CR0.before", "GUEST_CR0.PG".
struct FieldRef {
    enum class Of : std::uint8_t { Running, Vmcs01, Vmcs12, Vmcs02 };
    Of of = Of::Running;
    std::size_t index = 0;  // in all_fields()
    bool before = false;
    unsigned low = 0, width = 64;  // bits of it
    /// As the parameter of field_source().
    std::uint32_t parameter() const {
        return static_cast<std::uint32_t>(index << 3 | (before ? 4u : 0u) | static_cast<unsigned>(of));
    }
};
const Source& field_source();
/// A field's name in either case; GUEST_ may be left out.
std::optional<std::size_t> field_index_by(std::string_view name);
/// Bits and sub-fields as they are written after the field's name: "PG", "with_error_code".
struct FieldPart {
    std::string name;
    unsigned low = 0, width = 1;
};
std::vector<FieldPart> parts_of(vmx::Field field);

bool same_name(std::string_view a, std::string_view b);  // in either case

}  // namespace vmxscope::core::query
