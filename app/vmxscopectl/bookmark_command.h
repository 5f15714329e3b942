// vmxscopectl bookmark FILE: notes on transitions of a trace.
#pragma once

#include "app/vmxscopectl/command.h"

namespace vmxscope::app {

void add_bookmark_command(CLI::App& app, Run& run);

}  // namespace vmxscope::app
