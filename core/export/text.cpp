#include "core/export/text.h"

#include <ctime>

namespace vmxscope::core::exporting {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

/// How many bytes the character at the beginning of `text` has; 0 if that is none (Unicode, table 3-7).
std::size_t character(std::string_view text) {
    const auto at = [text](std::size_t i) { return static_cast<std::uint8_t>(i < text.size() ? text[i] : 0); };
    const auto follows = [&at](std::size_t i) { return (at(i) & 0xc0) == 0x80; };
    const std::uint8_t first = at(0), second = at(1);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first < 0xe0) return follows(1) ? 2 : 0;
    if (first >= 0xe0 && first < 0xf0) {
        const bool overlong = first == 0xe0 && second < 0xa0, surrogate = first == 0xed && second >= 0xa0;
        return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
    }
    if (first >= 0xf0 && first < 0xf5) {
        const bool overlong = first == 0xf0 && second < 0x90, beyond = first == 0xf4 && second >= 0x90;
        return follows(1) && follows(2) && follows(3) && !overlong && !beyond ? 4 : 0;
    }
    return 0;
}

}  // namespace

std::string clean(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t bytes = character(text);
        const auto first = static_cast<unsigned char>(text[0]);
        if (bytes == 0)
            out += kReplacement;
        else if ((first < 0x20 && first != '\n') || first == 0x7f)
            out += ' ';
        else
            out += text.substr(0, bytes);
        text.remove_prefix(bytes == 0 ? 1 : bytes);
    }
    return out;
}

std::string utc_text(std::int64_t ns) {
    const std::time_t seconds = ns / 1'000'000'000;
    std::tm parts{};
    char text[64];
    if (ns == 0 || !::gmtime_r(&seconds, &parts)) return "at an unknown time";
    return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

}  // namespace vmxscope::core::exporting
