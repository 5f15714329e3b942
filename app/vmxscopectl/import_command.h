// vmxscopectl import FILE: the VMCSs in a log, a page of memory or a saved virtual machine.
#pragma once

#include "app/vmxscopectl/command.h"

namespace vmxscope::app {

void add_import_command(CLI::App& app, Run& run);

}  // namespace vmxscope::app
