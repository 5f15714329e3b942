#include "core/import/text_dump.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include <fmt/format.h>

#include "core/import/text_patterns.h"

namespace vmxscope::core {
namespace {

using vmx::Field;

constexpr std::size_t kMostOthers = 64;     // of one VMCS
constexpr std::size_t kMostWarnings = 100;  // of one text
constexpr std::size_t kLongestRemark = 80;  // in parentheses after a number
constexpr std::size_t kLongestLabel = 100;
constexpr std::string_view kGuestState = "*** Guest State ***", kHostState = "*** Host State ***",
                           kControlState = "*** Control State ***";

bool is_blank(char c) {
    return std::isspace(static_cast<unsigned char>(c)) != 0;
}
bool is_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool starts_with(std::string_view text, std::string_view what) {
    return text.substr(0, what.size()) == what;
}

bool take(std::string_view& text, std::string_view what) {
    if (!starts_with(text, what)) return false;
    text.remove_prefix(what.size());
    return true;
}

void skip_blanks(std::string_view& text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
}

/// What the kernel's log, syslog, a serial console or a quoting mail puts before the text of a line.
std::string_view without_prefix(std::string_view line) {
    for (const std::string_view tag : {"kernel:", "kvm_intel:"})
        if (const auto at = line.find(tag); at != line.npos) line.remove_prefix(at + tag.size());
    for (;;) {
        skip_blanks(line);
        if (take(line, ">") || take(line, "|") || take(line, "(XEN)") || take(line, "kvm:")) continue;
        const char close = starts_with(line, "[") ? ']' : starts_with(line, "<") ? '>' : '\0';
        const auto end = close ? line.substr(0, 40).find(close) : line.npos;
        if (end == line.npos) return line;
        line.remove_prefix(end + 1);
    }
}

/// One number that a pattern matched.
struct Number {
    std::uint64_t value = 0;
    bool fits = true;         // in 64 bits
    std::string_view remark;  // in parentheses after it
};

bool take_number(std::string_view& text, Number& number) {
    skip_blanks(text);
    std::string_view rest = text;
    take(rest, "0x");
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number.value, 16);
    const auto length = static_cast<std::size_t>(end - rest.data());
    if (length == 0 || (length < rest.size() && is_word(rest[length]))) return false;
    number.fits = error == std::errc();
    rest.remove_prefix(length);
    text = rest;
    skip_blanks(rest);
    if (!starts_with(rest, "(")) return true;
    const auto close = rest.substr(0, kLongestRemark).find(')');
    if (close == rest.npos) return true;
    number.remark = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    text = rest;
    return true;
}

/// The numbers of `pattern` at the beginning of `text`, which then loses them; none if it does not begin so. A text
/// that ends early gives the numbers that it has.
std::vector<Number> match(std::string_view pattern, std::string_view& text) {
    std::vector<Number> numbers;
    std::string_view rest = text, after_number = text;
    for (const char c : pattern) {
        if (c == ' ') {
            skip_blanks(rest);
        } else if (c == '%') {
            Number number;
            if (!take_number(rest, number)) break;
            numbers.push_back(number);
            after_number = rest;
        } else {
            if (rest.empty() || rest.front() != c) break;
            rest.remove_prefix(1);
        }
    }
    if (!numbers.empty()) text = after_number;
    return numbers;
}

class Reader {
  public:
    explicit Reader(std::string_view text) {
        while (!text.empty()) {
            const auto end = std::min(text.find('\n'), text.size());
            text_ += without_prefix(text.substr(0, end));
            text_ += '\n';
            text.remove_prefix(std::min(end + 1, text.size()));
        }
    }

    Imported read() {
        std::string_view rest = text_;
        if (rest.find(kGuestState) == rest.npos && rest.find(kHostState) == rest.npos &&
            rest.find(kControlState) == rest.npos) {
            warn("The dump's beginning is missing: only its control state is looked for.");
            begin();
            section_ = DumpSection::Control;
        }
        bool line_begins = true;
        while (!rest.empty()) {
            const char* before = rest.data();
            if (!(line_begins && take_mark(rest)) && !take_item(rest)) pass_word(rest, line_begins);
            // The next item begins a line when a line's end was passed, and after a mark.
            line_begins = rest.empty() || rest.data() == text_.data() || rest.data()[-1] == '\n';
            while (!rest.empty() && is_blank(rest.front())) {
                line_begins |= rest.front() == '\n';
                rest.remove_prefix(1);
            }
            if (rest.data() == before) rest.remove_prefix(1);
        }
        std::erase_if(result_.vmcses, [](const ImportedVmcs& v) { return !v.image.any_known() && v.others.empty(); });
        return std::move(result_);
    }

  private:
    void warn(std::string text) {
        if (result_.warnings.size() < kMostWarnings) result_.warnings.push_back(std::move(text));
    }

    void begin() {
        section_ = DumpSection::Guest;
        if (result_.vmcses.size() == kMostVmcses) {
            if (!full_) warn(fmt::format("Only the first {} dumps are read.", kMostVmcses));
            full_ = true;
            section_ = DumpSection::None;
            return;
        }
        result_.vmcses.emplace_back().label = std::move(label_);
        label_.clear();
    }

    /// A line that says where in a dump we are, or whose dump follows.
    bool take_mark(std::string_view& rest) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        if (take(rest, kGuestState)) {
            begin();
        } else if (take(rest, kHostState)) {
            if (section_ != DumpSection::Guest) begin();
            if (!full_) section_ = DumpSection::Host;
        } else if (take(rest, kControlState)) {
            if (section_ != DumpSection::Host && section_ != DumpSection::Guest) begin();
            if (!full_) section_ = DumpSection::Control;
        } else if (starts_with(line, "VMCS ")) {
            section_ = DumpSection::None;
            label_ = line.substr(0, kLongestLabel);
            rest.remove_prefix(line.size());
        } else if (starts_with(line, "Domain ") &&
                   line.find("<<<") != line.npos) {  // ">>> Domain 3 <<<", the quote gone
            section_ = DumpSection::None;
            domain_ = line.substr(0, std::min(line.find(" <<<"), kLongestLabel));
            rest.remove_prefix(line.size());
        } else if (starts_with(line, "VCPU ")) {
            section_ = DumpSection::None;
            label_ = domain_ + (domain_.empty() ? "" : " ") + std::string(line.substr(0, kLongestLabel));
            rest.remove_prefix(line.size());
        } else if (starts_with(line, "******")) {
            section_ = DumpSection::None;
            rest.remove_prefix(line.size());
        } else {
            return false;
        }
        return true;
    }

    bool take_item(std::string_view& rest) {
        if (section_ == DumpSection::None) return false;
        for (const DumpPattern& pattern : dump_patterns()) {
            if (pattern.section != DumpSection::None && pattern.section != section_) continue;
            const auto numbers = match(pattern.text, rest);
            if (numbers.empty()) continue;
            for (std::size_t i = 0; i < numbers.size(); ++i) store(pattern.fields[i], numbers[i]);
            const auto wanted = static_cast<std::size_t>(std::count(pattern.text.begin(), pattern.text.end(), '%'));
            if (numbers.size() < wanted)
                warn(fmt::format("The line of {} is not complete.", vmx::name_of(pattern.fields[0])));
            return true;
        }
        return take_msr(rest) || take_unknown(rest);
    }

    void store(Field field, const Number& number) {
        if (field == kNoField) return;
        if (!number.fits || (vmx::bytes_of(field) < 8 && number.value >> (8 * vmx::bytes_of(field)) != 0)) {
            warn(fmt::format("{} is given a value that is too wide for it; it is left out.", vmx::name_of(field)));
            return;
        }
        if (field == Field::GUEST_IA32_EFER && (number.remark == "effective" || number.remark == "autoload")) {
            add_other(fmt::format("EFER ({})", number.remark), fmt::format("{:#x}", number.value));
            return;
        }
        vmx::Value& value = current().image[field];
        if (value.known() && value.bits != number.value)
            warn(fmt::format("{} is given twice, with different values; the first is kept.", vmx::name_of(field)));
        else
            value = vmx::Value::of(number.value);
    }

    /// " 0: msr=0x0000038f value=0x0000000000000007", of an MSR-load or MSR-store list.
    bool take_msr(std::string_view& rest) {
        const auto numbers = match("msr=% value=%", rest);
        if (numbers.size() == 2)
            add_other(fmt::format("MSR {:#x} in a list", numbers[0].value), fmt::format("{:#x}", numbers[1].value));
        return !numbers.empty();
    }

    /// "Name = 0x1" with a name that no pattern has.
    bool take_unknown(std::string_view& rest) {
        std::size_t end = 0;
        while (end < rest.size() && end < 40 && (is_word(rest[end]) || rest[end] == '-' || rest[end] == ' ')) ++end;
        if (end == 0 || end >= rest.size() || rest[end] != '=') return false;
        std::string_view after = rest.substr(end + 1);
        Number number;
        if (!take_number(after, number)) return false;
        std::string name(rest.substr(0, end));
        while (!name.empty() && name.back() == ' ') name.pop_back();
        if (name.empty()) return false;
        add_other(std::move(name), fmt::format("{:#x}", number.value));
        rest = after;
        return true;
    }

    /// Control state is the last section: the first line of it that is not understood is another program's.
    void pass_word(std::string_view& rest, bool line_begins) {
        if (line_begins && section_ == DumpSection::Control && current().image.any_known())
            section_ = DumpSection::None;
        while (!rest.empty() && !is_blank(rest.front())) rest.remove_prefix(1);
    }

    void add_other(std::string name, std::string value) {
        if (current().others.size() < kMostOthers) current().others.push_back({std::move(name), std::move(value)});
    }

    ImportedVmcs& current() { return result_.vmcses.back(); }

    std::string text_;  // without prefixes; every line ends with '\n'
    DumpSection section_ = DumpSection::None;
    std::string domain_, label_;  // of the dump to come
    bool full_ = false;
    Imported result_;
};

}  // namespace

bool looks_like_text_dump(std::string_view text) {
    for (const std::string_view mark : {kGuestState, kHostState, kControlState})
        if (text.find(mark) != text.npos) return true;
    return text.find("VMExit: intr_info=") != text.npos || text.find("IDTVectoring: info=") != text.npos;
}

bool looks_like_xen(std::string_view text) {
    return text.find("(XEN)") != text.npos || text.find(">>> Domain ") != text.npos ||
           text.find("sel  attr  limit   base") != text.npos;
}

Imported read_text_dump(std::string_view text) {
    return Reader(text).read();
}

}  // namespace vmxscope::core
