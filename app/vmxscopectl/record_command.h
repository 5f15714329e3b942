// vmxscopectl record: a trace of a guest that runs.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/target.h"

namespace vmxscope::app {

void add_record_command(CLI::App& app, const core::Backends& backends, Run& run);

}  // namespace vmxscope::app
