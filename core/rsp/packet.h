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

/// What a "vCont" packet wants of a thread, or of all that no action before it names.
struct ThreadAction {
    enum class What : std::uint8_t { RunOn, Step, Stop };
    What what = What::RunOn;
    std::optional<std::uint32_t> vcpu;
    bool operator==(const ThreadAction&) const = default;
};
/// "vCont"'s actions (";s:p1.2;c"): the leftmost that names a thread counts. Fails on actions other than c, C, s, S, t and
/// r: signals mean nothing to a vCPU and are left out, and of a range (r) the first step may be all.
Result<std::vector<ThreadAction>> parse_vcont(std::string_view text);
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

/// What a stop reply says besides the stop, as far as its client wants to know.
struct StopExtras {
    bool asked_for = false;           // by vCont;t: no signal
    bool begins = false;              // an end is the recording's beginning
    std::string_view breakpoint = {};  // "swbreak" or "hwbreak": one that the client has set, where the vCPU is
    bool text = false;                // with the text of a stop at a transition
    std::string_view data = {};        // the transition itself, encoded: goes last, as bytes, after "vmxdata:"
};
/// "T05thread:p1.1;vmxwhy:transition;vmxseq:2a;", "W00;process:1".
std::string stop_reply(const Stop& stop, bool multiprocess, const StopExtras& extras = {});
/// A run that came to no stop, for clients that know vmx+ (others are sent an "E." reply, which they show).
std::string failed_reply(std::string_view sentence);
/// Reads both. Fails with the sentence of a failed_reply(), or when the packet is no stop reply of ours.
Result<Stop> parse_stop_reply(std::string_view packet);
/// StopExtras::data of a stop reply; empty: there is none.
std::string_view stop_data(std::string_view packet);
/// True for the packets that end a run: those that begin as a stop reply does.
bool is_stop_reply(std::string_view packet);

/// Takes the part of `rest` before the first `separator` (all of it when there is none) and drops both from `rest`.
std::string_view take_until(std::string_view& rest, char separator);
std::optional<std::uint64_t> parse_decimal(std::string_view digits);

}  // namespace vmxscope::core::rsp
