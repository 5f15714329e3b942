// The keys of a user who steps.
#pragma once

#include <termios.h>

#include <optional>
#include <string>
#include <string_view>

namespace vmxscope::app {

/// Keys come one by one and are not echoed, until the end of the scope. Signals stay as they are.
class RawTerminal {
  public:
    RawTerminal();
    ~RawTerminal();
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;

    /// The next key; 'q' at the end of the input; 0 when a signal came first.
    char next_key() const;
    /// A line, edited as terminals do; empty when a signal came, or the input's end.
    std::optional<std::string> ask(std::string_view prompt) const;

  private:
    termios saved_{}, raw_{};
    bool changed_ = false;
};

}  // namespace vmxscope::app
