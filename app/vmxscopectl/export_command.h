// vmxscopectl export FILE: a trace, or a part of it, in formats that other programs read.
#pragma once

#include "app/vmxscopectl/command.h"

namespace vmxscope::app {

void add_export_command(CLI::App& app, Run& run);

}  // namespace vmxscope::app
