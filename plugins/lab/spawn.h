// Starting other programs.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/fd.h"
#include "core/result.h"

namespace vmxscope::lab {

struct SpawnOptions {
    std::vector<std::pair<int, int>> descriptors;  // ours → theirs, besides 0 to 2
    std::optional<int> output;                     // their 1 and 2; empty = /dev/null
    std::string folder;                            // where it runs; empty = here
};

/// Starts `arguments[0]` (found in PATH unless it has a slash) as the leader of a process group of its own, with
/// nothing on its input.
core::Result<pid_t> spawn(const std::vector<std::string>& arguments, const SpawnOptions& options);

/// Waits for a child's end; its status as a shell gives it (128 + signal). Empty when `limit` passed before.
std::optional<int> wait_for_end(pid_t child, std::chrono::milliseconds limit);

struct Pipe {
    core::Fd read, write;  // both close-on-exec
};
core::Result<Pipe> make_pipe();

}  // namespace vmxscope::lab
