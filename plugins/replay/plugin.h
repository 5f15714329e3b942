// Built in; see core/plugin.h.
#pragma once

#include "core/plugin.h"

namespace vmxscope::replay {

extern const core::Plugin kPlugin;

}  // namespace vmxscope::replay
