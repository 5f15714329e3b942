// What tests do to a lab's agent and ask of its guest, over the lab's shell.
#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "tests/lab/lab_fixture.h"

namespace vmxscope::e2e {

/// Within five minutes.
template <typename Condition>
bool eventually(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(5);
    while (std::chrono::steady_clock::now() < end) {
        if (condition()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return false;
}

/// An agent where the lab's own has ended.
inline void start_agent(const lab::Lab& lab, const std::string& arguments = "") {
    lab::sh(lab, "vmxscope-agent --listen tcp:10.0.2.15:4000 --trust-network --pid $(cat /run/qemu.pid) " + arguments +
                     " >/run/agent.log 2>&1 </dev/null & "
                     "echo $! >/run/agent.pid; until grep -q ':0FA0 00000000:0000 0A' /proc/net/tcp; do sleep 0.2; done");
}

/// Ends the lab's agent, and starts it with these arguments.
inline void restart_agent(const lab::Lab& lab, const std::string& arguments) {
    lab::sh(lab, "kill $(cat /run/agent.pid); while [ -d /proc/$(cat /run/agent.pid) ]; do sleep 0.2; done");
    start_agent(lab, arguments);
}

/// L1 counts its rounds on its console (at powers of two, then every 64): it goes on when the last line changes.
inline bool guest_goes_on(const lab::Lab& lab) {
    const auto last_round = [&] { return lab::sh(lab, "tail -n 1 /run/l1.log"); };
    const std::string before = last_round();
    return eventually([&] { return last_round() != before; });
}

/// What the kernel complained of. The emulated processor makes it complain once while it boots: that is the base line.
inline std::string complaints(const lab::Lab& lab) {
    return lab::sh(lab, "dmesg | grep -E 'BUG|WARNING|Oops|Call Trace' || true");
}

}  // namespace vmxscope::e2e
