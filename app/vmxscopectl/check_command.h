// vmxscopectl check FILE|TARGET: would a processor enter the guest of this VMCS, and if not, why.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/target.h"

namespace vmxscope::app {

void add_check_command(CLI::App& app, const core::Backends& backends, Run& run);

}  // namespace vmxscope::app
