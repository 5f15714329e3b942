// The supervisor: owns one program (a lab's Bochs) on a terminal of its own, and sees to it that it never outlives
// those who want it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace vmxscope::lab {

/// What the supervisor's process is given, besides 0 to 2; it closes all others that it may have inherited.
inline constexpr int kLeashDescriptor = 3;  // read end of a pipe
inline constexpr int kLockDescriptor = 4;   // the instance's lock file, locked

struct Supervision {
    std::filesystem::path folder;      // the instance's; the program runs there
    std::vector<std::string> command;  // the program, found in PATH, and its arguments
};

/// A byte on the leash lets go of it: the program then runs on when the other end is closed.
inline constexpr char kLetGo = 'd';

/// Runs the program until it ends, or until the leash's other end is closed, or until SIGTERM; in the last two cases
/// the program is killed and the instance's folder removed, in the first a sentence is left in its end file. If the
/// supervisor itself is killed, the kernel kills the program. Gives the exit status for main().
int supervise(const Supervision& supervision);

}  // namespace vmxscope::lab
