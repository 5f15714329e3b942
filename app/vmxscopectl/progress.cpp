#include "app/vmxscopectl/progress.h"

#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

#include "app/vmxscopectl/command.h"

namespace vmxscope::app {
namespace {

constexpr auto kRepeat = std::chrono::seconds(5);  // without a terminal: a sign of life at least this often

std::string text_of(std::string_view step, double fraction) {
    if (fraction < 0) return std::string(step);
    return fmt::format("{} ({:.0f} %)", step, fraction * 100);
}

}  // namespace

ProgressLine::ProgressLine() : terminal_(::isatty(STDERR_FILENO) != 0) {}
ProgressLine::~ProgressLine() {
    clear();
}

core::Progress ProgressLine::callback() {
    return [this](std::string_view step, double fraction) {
        show(step, fraction);
        return !interrupted();
    };
}

void ProgressLine::show(std::string_view step, double fraction) {
    if (terminal_) {
        std::fputs(fmt::format("\r\x1b[K{}…", text_of(step, fraction)).c_str(), stderr);
        std::fflush(stderr);
        shown_ = true;
        return;
    }
    const auto now = std::chrono::steady_clock::now();
    if (step == step_ && now - last_ < kRepeat) return;
    step_ = step;
    last_ = now;
    remark(text_of(step, fraction));
}

void ProgressLine::clear() {
    if (!shown_) return;
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
    shown_ = false;
}

}  // namespace vmxscope::app
