// The words that values have: kinds, exit reasons, verdicts.
#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "core/query/names.h"
#include "nested/pdptr.h"
#include "nested/routing.h"
#include "vmx/bits.h"
#include "vmx/decode/field_layouts.h"
#include "vmx/exit_reason.h"

namespace vmxscope::core::query {
namespace {

char folded(char c) {
    return c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

bool same_word(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return folded(x) == folded(y); });
}

std::vector<Word> kinds() {
    std::vector<Word> words;
    for (unsigned i = 0; i <= static_cast<unsigned>(nested::Kind::NestedEntryFailed); ++i)
        words.push_back({std::string(nested::name_of(static_cast<nested::Kind>(i))), i});
    return words;
}

std::vector<Word> exit_reasons() {
    constexpr std::uint32_t most = 256;  // the SDM's numbers end well below
    std::vector<Word> words;
    for (std::uint32_t i = 0; i < most; ++i)
        if (vmx::exit_reason_name(i) != "?") words.push_back({std::string(vmx::exit_reason_name(i)), i});
    return words;
}

std::vector<Word> did() {
    std::vector<Word> words;
    for (unsigned i = 0; i < static_cast<unsigned>(nested::Did::Unknown); ++i)
        words.push_back({std::string(nested::name_of(static_cast<nested::Did>(i))), i});
    return words;
}

std::vector<Word> is() {
    return {{std::string(name_of(nested::Is::Defined)), static_cast<std::uint64_t>(nested::Is::Defined)},
            {std::string(name_of(nested::Is::Undefined)), static_cast<std::uint64_t>(nested::Is::Undefined)}};
}

std::vector<Word> levels() {
    return {{"L0", static_cast<std::uint64_t>(nested::Routing::Who::L0)},
            {"L1", static_cast<std::uint64_t>(nested::Routing::Who::L1)}};
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::span<const Word> words_of(Vocabulary vocabulary) {
    static const std::array<std::vector<Word>, 6> all = {
        std::vector<Word>{}, kinds(), exit_reasons(), did(), is(), levels()};
    return all[static_cast<std::size_t>(vocabulary)];
}

std::string_view name_of(Vocabulary vocabulary) {
    constexpr std::string_view names[] = {"", "kind", "exit reason", "verdict", "state", "level"};
    return names[static_cast<std::size_t>(vocabulary)];
}

std::optional<std::uint64_t> word_by(Vocabulary vocabulary, std::string_view name) {
    for (const Word& word : words_of(vocabulary))
        if (same_word(word.name, name)) return word.value;
    return std::nullopt;
}

bool is_hyphenated_word(std::string_view text) {
    if (text.find('-') == std::string_view::npos) return false;
    return word_by(Vocabulary::Kind, text) || word_by(Vocabulary::Did, text);
}

std::optional<std::size_t> field_index_by(std::string_view name) {
    const auto fields = vmx::all_fields();
    for (const std::string_view prefix : {"", "GUEST_"})
        for (std::size_t i = 0; i < fields.size(); ++i) {
            const std::string_view full = fields[i].name;
            if (full.starts_with(prefix) && same_name(full.substr(prefix.size()), name)) return i;
        }
    return std::nullopt;
}

std::vector<FieldPart> parts_of(vmx::Field field) {
    std::vector<FieldPart> parts;
    const auto add = [&parts](std::string_view name, unsigned low, unsigned width) {
        std::string written;
        for (const char c : name) written += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
        if (!written.empty() && !std::isdigit(static_cast<unsigned char>(written[0])))
            parts.push_back({written, low, width});
    };
    for (const vmx::BitName& bit : vmx::bits_of(field)) add(bit.name, bit.bit, 1);
    if (const vmx::Layout* layout = vmx::layout_of(field))
        for (const vmx::SubField& f : layout->fields) add(f.name, f.low, f.width);
    return parts;
}

}  // namespace vmxscope::core::query
