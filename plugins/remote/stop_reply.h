// Threads and stop replies as any GDB stub has them (gdb manual, "Stop Reply Packets"); our agent's own are
// core/rsp/packet.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace vmxscope::remote {

/// "p1.2" with multiprocess, "2" without.
struct Thread {
    std::optional<std::uint64_t> process;
    std::uint64_t id = 0;
    std::string text() const;
    bool operator==(const Thread&) const = default;
};
std::optional<Thread> parse_thread(std::string_view text);
/// The answer to qfThreadInfo and qsThreadInfo, without its 'm'.
std::optional<std::vector<Thread>> parse_threads(std::string_view list);

inline constexpr unsigned kInterruptSignal = 2, kTrapSignal = 5;  // SIGINT, SIGTRAP

struct StubStop {
    bool gone = false;             // it ended; `text` says how
    bool end = false;              // a recording ends or begins here
    unsigned signal = 0;           // else what it stopped for
    std::optional<Thread> thread;  // where it said so
    std::string text;
};
core::Result<StubStop> parse_stub_stop(std::string_view packet);

}  // namespace vmxscope::remote
