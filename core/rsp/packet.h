// The parts that packets are made of: thread ids, vCont actions, qXfer requests, stop replies. Each read and written in
// one place, for both sides; everything read is checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

/// The one process that a server shows: its threads are the guest's vCPUs.
inline constexpr unsigned kProcess = 1;

/// A thread id as a packet gives it: "p1.2", "2", "-1", "p1.-1", "0", "p1".
struct ThreadId {
    enum class Which : std::uint8_t { One, All, Any };
    Which which = Which::Any;
    std::uint32_t vcpu = 0;  // of One; GDB's thread id is this + 1, because 0 means any thread
    bool operator==(const ThreadId&) const = default;
};
std::optional<ThreadId> parse_thread(std::string_view text);  // empty: malformed, or another process
std::string thread_text(std::uint32_t vcpu, bool multiprocess);

/// "vCont"'s actions (";s:p1.2;c"): the leftmost that names a thread counts, steps are of kind `step`. Fails on actions
/// other than c, C, s and S: signals mean nothing to a vCPU and are left out.
Result<std::vector<Action>> parse_vcont(std::string_view text, StepKind step);
/// The opposite, as RemoteTarget sends it. All steps in `actions` must be of one kind.
std::string vcont_text(const std::vector<Action>& actions);

struct Xfer {
    std::string_view object, annex;
    std::uint64_t offset = 0, length = 0;
};
std::optional<Xfer> parse_xfer(std::string_view text);  // what follows "qXfer:"; only reads
/// The part of `data` that was asked for, with 'm' (more follows) or 'l' (last) before it, no longer than kMaxPacket.
std::string xfer_reply(std::string_view data, const Xfer& asked);

/// "E." and the sentence. A client that does not know vmx+ shows it as it came, so for it nothing in it is escaped.
std::string error_reply(std::string_view sentence, bool knows_vmx);

/// "T05thread:p1.1;vmxwhy:transition;vmxseq:2a;", "W00;process:1".
std::string stop_reply(const Stop& stop, bool multiprocess);
/// A run that came to no stop, for clients that know vmx+ (others are sent an "E." reply, which they show).
std::string failed_reply(std::string_view sentence);
/// Reads both. Fails with the sentence of a failed_reply(), or when the packet is no stop reply of ours.
Result<Stop> parse_stop_reply(std::string_view packet);
/// True for the packets that end a run: those that begin as a stop reply does.
bool is_stop_reply(std::string_view packet);

/// Takes the part of `rest` before the first `separator` (all of it when there is none) and drops both from `rest`.
std::string_view take_until(std::string_view& rest, char separator);
std::optional<std::uint64_t> parse_decimal(std::string_view digits);

}  // namespace vmxscope::core::rsp
