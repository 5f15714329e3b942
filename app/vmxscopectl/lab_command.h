// vmxscopectl lab …: labs that run real KVM without VT-x: list, start, stop, status, console, exec.
#pragma once

#include "app/vmxscopectl/command.h"

namespace vmxscope::app {

void add_lab_command(CLI::App& app, Run& run);

}  // namespace vmxscope::app
