// The lab's serial line as it is written into console.log: what the lab says to the program (ARCHITECTURE.md, "The
// lab's conventions").
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vmxscope::lab {

struct ConsoleEvent {
    enum class Kind : std::uint8_t { Stage, Waiting, Ready, Error, GuestEnded, Kernel };
    Kind kind = Kind::Stage;
    std::string text;  // what follows the word; the whole line for Kernel (the emulated machine's Linux)
};

/// What one line says; empty for a line that tells nothing.
std::optional<ConsoleEvent> parse_console_line(std::string_view line);

/// How far the start of a lab is when it is at `event`, 0…1; empty if that cannot be told from it.
std::optional<double> start_fraction(const ConsoleEvent& event);

/// Reads console.log as it grows.
class Console {
  public:
    explicit Console(std::filesystem::path file) : file_(std::move(file)) {}
    /// What whole lines have come since the last call.
    std::vector<ConsoleEvent> read();

  private:
    std::filesystem::path file_;
    std::uint64_t offset_ = 0;
    std::string partial_;
};

/// The last `lines` lines of a log, each indented; empty if there is none.
std::string tail_of(const std::filesystem::path& file, std::size_t lines);

}  // namespace vmxscope::lab
