// vmxscopectl memory, walk, bitmaps: what a held guest's memory and L0's tables for it say.
#pragma once

#include "app/vmxscopectl/command.h"
#include "core/target.h"

namespace vmxscope::app {

void add_look_commands(CLI::App& app, const core::Backends& backends, Run& run);

}  // namespace vmxscope::app
