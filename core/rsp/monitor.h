// The `monitor` commands, for people at a gdb prompt: text in, text out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

struct MonitorCommand {
    enum class Verb : std::uint8_t {
        Help, Info, Pdptr, Fields, Step, Stepi, Evidence, Space, Break, Breaks, Delete, Goto, Back, Ledger
    };
    Verb verb = Verb::Help;
    StepKind kind = StepKind::Transition;  // of Step, Stepi and Back
    std::uint64_t number = 0;              // of Delete: a break's; of Goto: a transition's
    std::string text;                      // of Fields: the regular expression; of Break: the condition; of Help: the command, or ""
    nested::EvidenceScope scope = nested::EvidenceScope::Pdptrs;  // of Evidence
    std::optional<Space> space = {};                              // of Space; empty: that of the level that runs
};

/// An unknown command, kind of step, or a superfluous word is an Error that says what there is.
Result<MonitorCommand> parse_monitor(std::string_view text);

/// `monitor help`, or `monitor help COMMAND`.
Result<std::string> help_text(std::string_view command);

/// The answer to every command but those that the session carries out. `newest` is the selected vCPU's, null = none yet.
Result<std::string> monitor_text(const MonitorCommand& command, Target& target, const nested::Transition* newest);

/// What a `monitor step`, `back` or `goto` came to; `gave_up` = it was interrupted for taking too long.
std::string step_text(Target& target, const Stop& stop, StepKind kind, bool gave_up);

std::string step_kinds();                  // "transition, nested, entry, exit"
std::string evidence_scopes();             // "none, pdptr, all"
std::string_view describe(StepKind kind);  // completes "runs to the next "

}  // namespace vmxscope::core::rsp
