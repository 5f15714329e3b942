// vmxscopectl plugins
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/plugins.h"

namespace vmxscope::app {

void add_plugins_command(CLI::App& app, const core::Plugins& plugins, Run& run);

}  // namespace vmxscope::app
