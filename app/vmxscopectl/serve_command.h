// vmxscopectl serve FILE: a recording for gdb, lldb and the window, over the wire.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/target.h"

namespace vmxscope::app {

void add_serve_command(CLI::App& app, const core::Backends& backends, Run& run);

}  // namespace vmxscope::app
