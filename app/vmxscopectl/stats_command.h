// vmxscopectl stats FILE: the exits of a trace, counted and timed.
#pragma once

#include "app/vmxscopectl/command.h"

namespace vmxscope::app {

void add_stats_command(CLI::App& app, Run& run);

}  // namespace vmxscope::app
