// vmxscopectl show TARGET: vmcs12 beside vmcs02 at the newest transition.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/target.h"

namespace vmxscope::app {

void add_show_command(CLI::App& app, const core::Backends& backends, Run& run);

}  // namespace vmxscope::app
