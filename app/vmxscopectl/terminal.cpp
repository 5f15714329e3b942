#include "app/vmxscopectl/terminal.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>

#include "app/vmxscopectl/command.h"

namespace vmxscope::app {
namespace {

constexpr std::size_t kLongestLine = 8192;

/// Empty: a signal came, or the input's end.
std::optional<char> next_byte(bool& ended) {
    while (!interrupted()) {
        pollfd in{STDIN_FILENO, POLLIN, 0};
        if (::poll(&in, 1, 200) <= 0) continue;
        char byte = 0;
        if (::read(STDIN_FILENO, &byte, 1) == 1) return byte;
        ended = true;
        break;
    }
    return std::nullopt;
}

}  // namespace

RawTerminal::RawTerminal() {
    if (::tcgetattr(STDIN_FILENO, &saved_) != 0) return;
    raw_ = saved_;
    raw_.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw_.c_cc[VMIN] = 1;
    raw_.c_cc[VTIME] = 0;
    changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw_) == 0;
}

RawTerminal::~RawTerminal() {
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_);
}

char RawTerminal::next_key() const {
    bool ended = false;
    const auto key = next_byte(ended);
    return key ? *key : ended ? 'q' : '\0';
}

std::optional<std::string> RawTerminal::ask(std::string_view prompt) const {
    std::fwrite(prompt.data(), 1, prompt.size(), stderr);
    std::fflush(stderr);
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_);
    std::optional<std::string> line(std::in_place);
    for (bool ended = false;;) {
        const auto byte = next_byte(ended);
        if (!byte) line.reset();
        if (!byte || *byte == '\n' || line->size() == kLongestLine) break;
        line->push_back(*byte);
    }
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &raw_);
    return line;
}

}  // namespace vmxscope::app
