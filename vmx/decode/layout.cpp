#include "vmx/decode/layout.h"

#include <fmt/format.h>

namespace vmxscope::vmx {
namespace {

constexpr std::uint64_t mask_of(const SubField& f) {
    return (f.width >= 64 ? ~0ULL : (1ULL << f.width) - 1) << f.low;
}

std::string_view choice_of(const Part& part) {
    const auto choices = part.field->choices;
    return part.raw < choices.size() ? choices[part.raw] : std::string_view{};
}

/// What the one-line text says of a part; empty when it says nothing.
std::string phrase(const Part& part) {
    const SubField& f = *part.field;
    if (!part.applies) return {};
    switch (f.kind) {
        case SubFieldKind::Flag: return part.raw ? std::string(f.name) : std::string{};
        case SubFieldKind::Choice: {
            const std::string_view choice = choice_of(part);
            return choice.empty() ? fmt::format("{} {}", f.name, part.raw) : std::string(choice);
        }
        default: return part.raw ? fmt::format("{} {}", f.name, value_text(part)) : std::string{};
    }
}

/// "vector [7:0]"
std::string row_name(const SubField& f) {
    const std::string range =
        f.width == 1 ? fmt::format("[{}]", f.low) : fmt::format("[{}:{}]", f.low + f.width - 1, f.low);
    return f.name.empty() ? range : fmt::format("{} {}", f.name, range);
}

}  // namespace

Decoded decode(const Layout& layout, std::uint64_t bits) {
    Decoded decoded;
    decoded.reserved = bits;
    for (const SubField& f : layout.fields) {
        decoded.parts.push_back({&f, (bits & mask_of(f)) >> f.low, !f.applies || f.applies(bits)});
        decoded.reserved &= ~mask_of(f);
    }
    return decoded;
}

std::uint64_t encode(const Decoded& decoded) {
    std::uint64_t bits = decoded.reserved;
    for (const Part& part : decoded.parts) bits |= (part.raw << part.field->low) & mask_of(*part.field);
    return bits;
}

std::string text(const Layout& layout, std::uint64_t bits) {
    const Decoded decoded = decode(layout, bits);
    std::string all;
    const auto add = [&all](const std::string& phrase) {
        if (!phrase.empty()) all += (all.empty() ? "" : ", ") + phrase;
    };
    for (const Part& part : decoded.parts) add(phrase(part));
    if (decoded.reserved) add(fmt::format("other bits {:#x}", decoded.reserved));
    return all;
}

std::string value_text(const Part& part) {
    switch (part.field->kind) {
        case SubFieldKind::Hex: return fmt::format("{:#x}", part.raw);
        case SubFieldKind::Address: return fmt::format("{:#x}", part.raw << part.field->low);
        default: return fmt::format("{}", part.raw);
    }
}

std::string_view meaning_of(const Part& part) {
    if (!part.applies) return "not defined here";
    if (part.field->kind != SubFieldKind::Choice) return part.field->meaning;
    const std::string_view choice = choice_of(part);
    return choice.empty() ? "reserved" : choice;
}

std::vector<Detail> rows(const Layout& layout, std::uint64_t bits) {
    const Decoded decoded = decode(layout, bits);
    std::vector<Detail> all;
    for (const Part& part : decoded.parts)
        all.push_back({row_name(*part.field), value_text(part), std::string(meaning_of(part))});
    if (decoded.reserved)
        all.push_back({"other bits", fmt::format("{:#x}", decoded.reserved), "reserved or undefined"});
    return all;
}

}  // namespace vmxscope::vmx
