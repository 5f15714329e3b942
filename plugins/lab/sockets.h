// The lab's two services of its own, reached through ports of this machine's loopback: the one that takes files, and
// the root shell.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace vmxscope::lab {

/// `count` different TCP ports of 127.0.0.1 that were free just now.
core::Result<std::vector<std::uint16_t>> free_ports(std::size_t count);

/// Asked several times a second while waiting; an Error ends the wait with that Error.
using KeepOn = std::function<core::Result<void>()>;

/// Sends one archive to the lab's loader and waits until it is unpacked. Tries again while nobody answers.
core::Result<void> send_archive(std::uint16_t port, std::string_view archive, const KeepOn& keep_on);

struct CommandResult {
    std::string output;  // stdout and stderr, as they came
    int status = 0;
};

/// Runs one shell command as root in the lab. `on_output` gets the output as it comes.
core::Result<CommandResult> run_command(std::uint16_t port, std::string_view command, const KeepOn& keep_on,
                                        const std::function<void(std::string_view)>& on_output = {});

/// `text` as one word of a shell command.
std::string shell_quoted(std::string_view text);
/// `arguments` as one shell command. A single one is taken to be a command line already.
std::string shell_command(const std::vector<std::string>& arguments);

}  // namespace vmxscope::lab
