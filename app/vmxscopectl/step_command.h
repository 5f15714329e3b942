// vmxscopectl step TARGET: from transition to transition, for people and for scripts.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/target.h"

namespace vmxscope::app {

void add_step_command(CLI::App& app, const core::Backends& backends, Run& run);

}  // namespace vmxscope::app
