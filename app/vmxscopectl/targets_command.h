// vmxscopectl targets: what could be attached to.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/target.h"

namespace vmxscope::app {

void add_targets_command(CLI::App& app, const core::Backends& backends, Run& run);

}  // namespace vmxscope::app
