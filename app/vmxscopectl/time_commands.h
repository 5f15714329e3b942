// vmxscopectl goto, history, diff: looking at other moments than the present.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/target.h"

namespace vmxscope::app {

void add_time_commands(CLI::App& app, const core::Backends& backends, Run& run);

}  // namespace vmxscope::app
