// The agent that is started for one attach: beside this program, as root, with one end of a socket pair as its only
// connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/target.h"

namespace vmxscope::kvm {

/// How the agent becomes root.
enum class Rights : std::uint8_t {
    Ours,    // this program is root
    Pkexec,  // polkit asks, in the desktop (resources/polkit)
    Sudo,    // sudo asks, in the terminal
    None,
};

/// What `rights()` is decided from.
struct Surroundings {
    bool root = false;
    bool desktop = false;      // a display, and a bus that polkit's agent is on
    bool terminal = false;     // a controlling one, where sudo can ask
    std::string pkexec = {}, sudo = {};  // their paths; empty: not installed
};
Surroundings surroundings();
Rights rights(const Surroundings& here);

/// The command that runs `agent`, served on file descriptor 0: pkexec and sudo close all others.
std::vector<std::string> agent_command(const Surroundings& here, const std::string& agent, std::uint32_t pid);

/// Starts it for process `pid` and attaches through it. Blocks with progress, also while somebody is asked for a
/// password.
core::Result<std::unique_ptr<core::Target>> attach_through_agent(std::uint32_t pid, const core::Progress& progress);

/// That this machine's KVM cannot be watched from here, and how it can be.
core::Error need_root(std::uint32_t pid);

}  // namespace vmxscope::kvm
