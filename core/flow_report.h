// The flow of all fields for people at a terminal and for scripts: nested/flow.h in lines and in JSON.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"
#include "core/target.h"
#include "core/transition_json.h"
#include "core/transition_text.h"
#include "nested/flow.h"

namespace vmxscope::core {

/// Why the exit went where it went, the badges that apply, the findings: a line each, "" when there are none.
std::string flow_summary(const nested::Transition& t, const nested::Flow& flow, Style style = Style::Plain);

/// A row for each field that matches `pattern` (see matching_fields): name, both values, where each came from, whether
/// it is as predicted. Ends with a newline.
Result<std::string> flow_rows(const nested::Transition& t, const nested::Flow& flow, std::string_view pattern,
                              Style style = Style::Plain);

/// Everything about one field: its bits, its rule, where its values came from, what they are merged from, every access
/// seen. Ends with a newline.
std::string field_report(const nested::Transition& t, const nested::Flow& flow, vmx::Field field);

/// {"rule","condition","by_rule","seen","vmcs12_from","vmcs12_since","vmcs02_from","vmcs02_since","match","predicted",
/// "predicted_mask","parts"}
Json flow_to_json(const nested::Transition& t, const nested::Flow& flow, vmx::Field field);

/// A disagreement between rule and machine with all that is needed to look into it: one JSON object of several lines.
std::string finding_report_json(const nested::Transition& t, const nested::Finding& finding, const TargetInfo& target);

}  // namespace vmxscope::core
