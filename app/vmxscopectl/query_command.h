// vmxscopectl query FILE EXPR: the transitions of a trace that match.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/query/query.h"
#include "core/query/scan.h"

namespace vmxscope::app {

void add_query_command(CLI::App& app, Run& run);

/// "THING: WHAT", with the expression and a mark under the error as the remedy.
core::Error expression_error(std::string_view thing, std::string_view expression, const core::query::ParseError& error);

/// From or to where a trace is gone through: "1200" is a transition, "1.5s" a time since the first; "" changes nothing.
core::Result<void> limit_of(const std::string& text, const core::trace::Trace& trace, std::uint64_t& seq,
                            std::uint64_t& tsc);

/// What a scan could not do, on stderr; the exit status.
int report_scan(const core::query::Scanned& scanned);

}  // namespace vmxscope::app
