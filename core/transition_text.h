// A transition for people at a terminal: the command line prints it, and the `monitor` commands answer with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "nested/pdptr.h"
#include "nested/transition.h"

namespace vmxscope::core {

/// Colour underlines what the words already say, and is for terminals only.
enum class Style : std::uint8_t { Plain, Colour };

/// "0x103001", or the reason why there is no value: "not-read", "unsupported", "faulted".
std::string value_text(const vmx::Value& v);

/// One line, without the newline: "#7 vCPU 0  nested-exit  L2->L1  CPUID  PDPTRs copied".
std::string headline(const nested::Transition& t);

/// Verdict, reason, conditions, the table of the four PDPTRs, evidence. Ends with a newline.
std::string pdptr_text(const nested::Transition& t, Style style = Style::Plain);

/// The fields that the transition changed, before and after. Ends with a newline.
std::string changes_text(const nested::Transition& t, Style style = Style::Plain);

/// The fields whose names match `pattern` anywhere, in either case; all for "". An Error for a pattern that is not a
/// regular expression (ECMAScript's) or matches no field.
Result<std::vector<vmx::Field>> matching_fields(std::string_view pattern);

/// Those fields side by side: name, vmcs12, vmcs02, what the value says. Ends with a newline.
Result<std::string> fields_text(const nested::Transition& t, std::string_view pattern, Style style = Style::Plain);

/// Everything that is of interest at a stop: headline, PDPTRs where they move, changes, notes. Ends with a newline.
std::string transition_text(const nested::Transition& t, Style style = Style::Plain);

}  // namespace vmxscope::core
