// What a name in an expression is.
#include <algorithm>

#include <fmt/format.h>

#include "core/near_name.h"
#include "core/query/parser.h"
#include "nested/badges.h"

namespace vmxscope::core::query {
namespace {

constexpr std::size_t kLongestName = 80;  // that is compared with others, or repeated

std::string_view shortened(std::string_view name) {
    return name.substr(0, kLongestName);
}

std::string meant(std::string_view name, std::span<const std::string_view> candidates) {
    const std::size_t most = std::max<std::size_t>(2, shortened(name).size() / 3);
    const std::string_view near = nearest_name(shortened(name), candidates, most);
    return near.empty() ? "" : fmt::format(" Is {} meant?", near);
}

std::vector<std::string_view> field_names(bool short_too) {
    std::vector<std::string_view> names;
    for (const vmx::FieldInfo& f : vmx::all_fields()) {
        names.push_back(f.name);
        if (short_too && f.name.starts_with("GUEST_")) names.push_back(f.name.substr(6));
    }
    return names;
}

std::vector<std::string_view> segments_of(std::string_view path) {
    std::vector<std::string_view> segments;
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find('.', begin), path.size());
        segments.push_back(path.substr(begin, end - begin));
        begin = end + 1;
    }
    return segments;
}

std::optional<FieldRef::Of> vmcs_by(std::string_view name) {
    if (same_name(name, "vmcs01")) return FieldRef::Of::Vmcs01;
    if (same_name(name, "vmcs12")) return FieldRef::Of::Vmcs12;
    if (same_name(name, "vmcs02")) return FieldRef::Of::Vmcs02;
    return std::nullopt;
}

}  // namespace

Operand Parser::path() {
    Operand o = here();
    const std::size_t first = at_;
    if (peek().kind != Token::Kind::Name) fail("A name is expected.", peek().offset, peek().length);
    take();
    const auto adjacent = [this] {
        const Token& dot = tokens_[at_];
        return dot.is(".") && tokens_[at_ - 1].offset + tokens_[at_ - 1].length == dot.offset &&
               tokens_[at_ + 1].kind == Token::Kind::Name && dot.offset + 1 == tokens_[at_ + 1].offset;
    };
    while (adjacent()) {
        take();
        take();
    }
    o = ended(o);
    o.text = text_.substr(tokens_[first].offset, o.length);
    if (const Name* name = name_by(o.text)) return load(*name, o);
    const auto segments = segments_of(o.text);
    if (segments.size() == 2 && same_name(segments[0], "regs"))
        if (const Name* name = name_by(segments[1])) return load(*name, o);
    if (vmcs_by(segments[0]) || field_index_by(segments[0])) return field_value(segments, o);
    if (segments.size() > 1) unknown_name(o);
    o.loose = o.constant = true;
    emit({Code::Constant}, 1);
    return o;
}

Operand Parser::load(const Name& name, Operand at) {
    at.type = name.type;
    at.vocabulary = name.vocabulary;
    at.hex = name.hex;
    at.whole = name.needs_whole();
    at.name = &name;
    Op op{Code::Digests, 0, name.parameter, &name.source};
    if (name.source.duration) op.code = Code::Duration;
    if (name.source.whole) op.code = Code::Whole;
    if (name.source.text) {
        op.code = Code::TextEqual;  // until it is compared
        op.index = static_cast<std::uint32_t>(program_.strings.size());
        program_.strings.emplace_back();
    }
    emit(op, 1);
    return at;
}

Operand Parser::field_value(const std::vector<std::string_view>& segments, Operand at) {
    const FieldRef ref = field_ref(segments, at);
    at.hex = ref.width > 1;
    at.whole = true;
    emit({Code::Whole, 0, ref.parameter(), &field_source()}, 1);
    if (ref.width < 64) emit({Code::Bits, 0, ref.low | ref.width << 8}, 0);
    return at;
}

FieldRef Parser::field_ref(const std::vector<std::string_view>& segments, const Operand& at) {
    FieldRef ref;
    std::size_t next = 0;
    if (const auto of = vmcs_by(segments[0])) {
        ref.of = *of;
        next = 1;
        if (segments.size() == 1) fail(fmt::format("Which field of {}? As in {}.GUEST_CR3.", at.text, at.text), at);
    }
    ref.index = field_index(segments[next++], at);
    for (bool moment_given = false; next < segments.size(); ++next) {
        const std::string_view suffix = segments[next];
        const bool before = same_name(suffix, "before");
        if (!before && !same_name(suffix, "after")) {
            field_suffix(ref, suffix, at);
            continue;
        }
        if (moment_given) fail("Once .before or .after is enough.", at);
        if (ref.of != FieldRef::Of::Vmcs12 && ref.of != FieldRef::Of::Vmcs02)
            fail("Only vmcs12 and vmcs02 have a before and an after.", at);
        moment_given = true;
        ref.before = before;
    }
    return ref;
}

void Parser::field_suffix(FieldRef& ref, std::string_view suffix, const Operand& at) {
    const vmx::FieldInfo& info = vmx::all_fields()[ref.index];
    const auto parts = parts_of(info.field);
    if (ref.width < 64) fail("A bit has no parts.", at);
    for (const FieldPart& part : parts)
        if (same_name(part.name, suffix)) {
            ref.low = part.low;
            ref.width = part.width;
            return;
        }
    if (parts.empty()) fail(fmt::format("{} has no named bits.", info.name), at);
    std::vector<std::string_view> names;
    for (const FieldPart& part : parts) names.push_back(part.name);
    fail(fmt::format("{} has no bit '{}'.{}", info.name, shortened(suffix), meant(suffix, names)), at);
}

std::size_t Parser::field_index(std::string_view name, const Operand& at) {
    if (const auto index = field_index_by(name)) return *index;
    fail(fmt::format("There is no VMCS field '{}'.{}", shortened(name), meant(name, field_names(true))), at);
}

void Parser::unknown_name(const Operand& at) {
    if (at.literal) fail("A string is compared with a word or a text only.", at);
    for (const Name& name : all_names())
        if (name.vocabulary != Vocabulary::None && word_by(name.vocabulary, at.text))
            fail(fmt::format("{} is compared with {}: {} == {}.", at.text, name.name, name.name, at.text), at);
    auto names = field_names(false);
    for (const Name& name : all_names()) names.push_back(name.name);
    std::reverse(names.begin(), names.end());  // of several as near a field is the last
    fail(fmt::format("There is no '{}'.{}", shortened(at.text), meant(at.text, names)), at);
}

std::uint64_t Parser::word_value(const Operand& word, Vocabulary vocabulary) {
    if (const auto value = word_by(vocabulary, word.text)) return *value;
    if (same_name(word.text, "unknown")) fail("What is not known is asked for with unknown(…).", word);
    if (vocabulary == Vocabulary::Did && word_by(Vocabulary::Is, word.text))
        fail("Compare: pdptr == undefined, pdptr.vmcs12 == undefined or pdptr.vmcs02 == undefined.", word);
    constexpr std::size_t few = 8;  // are all told
    std::vector<std::string_view> names;
    std::string list;
    for (const Word& w : words_of(vocabulary)) {
        names.push_back(w.name);
        list += (list.empty() ? " There are: " : ", ") + w.name;
    }
    fail(fmt::format("There is no {} '{}'.{}", name_of(vocabulary), shortened(word.text),
                     names.size() <= few ? list + "." : meant(word.text, names)),
         word);
}

std::size_t Parser::badge_index(const Token& literal) {
    const auto badges = nested::all_badges();
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < badges.size(); ++i) {
        if (same_name(badges[i].id, literal.text)) return i;
        names.push_back(badges[i].id);
    }
    fail(fmt::format("There is no badge '{}'.{}", shortened(literal.text), meant(literal.text, names)), literal.offset,
         literal.length);
}

}  // namespace vmxscope::core::query
