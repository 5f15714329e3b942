// Built in; see core/plugin.h.
#pragma once

#include "core/plugin.h"

namespace vmxscope::libvirt {

extern const core::Plugin kPlugin;

}  // namespace vmxscope::libvirt
