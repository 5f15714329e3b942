// What the subcommands share. Each is a pair of files NAME_command.{h,cpp} with one function that adds it to the CLI11
// application; parsing stores what is to be done in `run`, and main() does it.
#pragma once

#include <atomic>
#include <functional>
#include <string_view>

#include <CLI/CLI.hpp>

#include "core/result.h"

namespace vmxscope::app {

/// The subcommand's work; gives the exit status.
using Run = std::function<int()>;

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kInterrupted = 130;  // as a shell reports a program that SIGINT ended

/// From now on SIGINT, SIGTERM and SIGHUP only set a flag, so that targets are left properly.
void catch_interrupts();
bool interrupted();
const std::atomic<bool>& interrupt_flag();

/// "vmxscopectl: WHAT" and, on a line of its own, the remedy; on stderr. Gives the exit status: kInterrupted if a
/// signal asked for the end, else kFailed.
int complain(const core::Error& error);

/// On stdout, at once. False when nobody reads it any more (a closed pipe): then there is no point in going on.
bool say(std::string_view text);
/// A line on stderr, for what is not the result.
void remark(std::string_view line);

bool stdout_is_terminal();
bool stdin_is_terminal();

}  // namespace vmxscope::app
