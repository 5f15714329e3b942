#include "core/register_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace vmxscope::core {

namespace {

constexpr std::size_t kColumns = 4, kNarrow = 8;

std::string_view why_text(Stop::Why why) {
    switch (why) {
        case Stop::Why::Attached: return "as it was attached to";
        case Stop::Why::Interrupted: return "interrupted";
        case Stop::Why::GuestGone: return "ended";
        case Stop::Why::End: return "at an end of the recording";
        default: return "before this instruction";
    }
}

std::string_view why_name(Stop::Why why) {
    switch (why) {
        case Stop::Why::Attached: return "attached";
        case Stop::Why::Interrupted: return "interrupted";
        case Stop::Why::GuestGone: return "gone";
        case Stop::Why::End: return "end";
        default: return "instruction";
    }
}

}  // namespace

std::string register_value(const RegisterBytes& r) {
    if (r.bytes.empty()) return "not available";
    std::string text = "0x";
    for (auto byte = r.bytes.rbegin(); byte != r.bytes.rend(); ++byte)
        text += fmt::format("{:02x}", std::to_integer<unsigned>(*byte));
    return text;
}

std::string registers_text(const Stop& stop, const std::vector<RegisterBytes>& registers, bool all) {
    const auto rip = std::find_if(registers.begin(), registers.end(), [](const RegisterBytes& r) { return r.name == "rip"; });
    std::string text = fmt::format("vCPU {}{}, {}\n", stop.vcpu,
                                   rip != registers.end() ? fmt::format(" at rip {}", register_value(*rip)) : "",
                                   why_text(stop.why));
    std::size_t column = 0;
    for (const RegisterBytes& r : registers) {
        const bool wide = r.bytes.size() > kNarrow;
        if (wide && !all) continue;
        if (wide && column != 0) text += '\n';
        if (wide) column = 0;
        text += fmt::format("  {:<8} {:<18}", r.name, register_value(r));
        if (wide || ++column == kColumns) text += '\n';
        if (wide || column == kColumns) column = 0;
    }
    return column == 0 ? text : text + '\n';
}

Json registers_json(const Stop& stop, const std::vector<RegisterBytes>& registers) {
    Json json{{"vcpu", stop.vcpu}, {"why", why_name(stop.why)}, {"registers", Json::object()}};
    for (const RegisterBytes& r : registers)
        json["registers"][r.name] = r.bytes.empty() ? Json() : Json(register_value(r));
    return json;
}

}  // namespace vmxscope::core
