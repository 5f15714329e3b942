#include "plugins/lab/console.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

namespace vmxscope::lab {
namespace {

constexpr std::string_view kMark = "vmxscope-lab: ";

/// Where the start is when a stage begins with this text. By processor time on an emulated machine that boots from its
/// CD; one that begins from a kept state jumps to "received".
constexpr std::pair<std::string_view, double> kStages[] = {
    {"Linux ", 0.45},  {"loading KVM", 0.46},   {"bringing up the network", 0.7},
    {"received", 0.8}, {"starting QEMU", 0.85}, {"starting the agent", 0.95},
};

constexpr bool is_control(char c) {
    return static_cast<unsigned char>(c) < ' ' && c != '\t';
}

}  // namespace

std::optional<ConsoleEvent> parse_console_line(std::string_view line) {
    using Kind = ConsoleEvent::Kind;
    while (!line.empty() && is_control(line.back())) line.remove_suffix(1);
    while (!line.empty() && is_control(line.front())) line.remove_prefix(1);
    if (line.starts_with("[")) return ConsoleEvent{Kind::Kernel, std::string(line)};
    if (!line.starts_with(kMark)) return std::nullopt;
    line.remove_prefix(kMark.size());
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, space);
    const std::string text(line.substr(std::min(space + 1, line.size())));
    if (word == "stage") return ConsoleEvent{Kind::Stage, text};
    if (word == "waiting") return ConsoleEvent{Kind::Waiting, {}};
    if (word == "ready") return ConsoleEvent{Kind::Ready, {}};
    if (word == "error") return ConsoleEvent{Kind::Error, text};
    if (word == "guest-ended") return ConsoleEvent{Kind::GuestEnded, text};
    return std::nullopt;
}

std::optional<double> start_fraction(const ConsoleEvent& event) {
    switch (event.kind) {
        case ConsoleEvent::Kind::Ready:
            return 1;
        case ConsoleEvent::Kind::Waiting:
            return 0.75;
        case ConsoleEvent::Kind::Kernel:
            return 0.3;
        case ConsoleEvent::Kind::Stage:
            for (const auto& [text, fraction] : kStages)
                if (event.text.starts_with(text)) return fraction;
            return std::nullopt;
        default:
            return std::nullopt;
    }
}

std::vector<ConsoleEvent> Console::read() {
    std::vector<ConsoleEvent> events;
    std::ifstream in(file_, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(offset_));
    const std::string fresh{std::istreambuf_iterator<char>(in), {}};
    offset_ += fresh.size();
    partial_ += fresh;
    for (std::size_t end; (end = partial_.find('\n')) != std::string::npos; partial_.erase(0, end + 1))
        if (auto event = parse_console_line(std::string_view(partial_).substr(0, end)))
            events.push_back(std::move(*event));
    return events;
}

std::string tail_of(const std::filesystem::path& file, std::size_t lines) {
    std::ifstream in(file);
    std::vector<std::string> all;
    for (std::string line; std::getline(in, line);) {
        std::erase_if(line, is_control);
        if (!line.empty()) all.push_back("  " + line);
    }
    std::string text;
    for (std::size_t i = all.size() - std::min(lines, all.size()); i < all.size(); ++i) text += "\n" + all[i];
    return text;
}

}  // namespace vmxscope::lab
