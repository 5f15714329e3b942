// The one thing asked of QEMU's monitor: to let a paused guest go.
#pragma once

#include <string>

#include "core/result.h"

namespace vmxscope::kvm {

/// Sends `cont` on the QMP socket at `path`. Does not wait for the guest: its vCPUs may be held at once.
core::Result<void> qmp_continue(const std::string& path);

}  // namespace vmxscope::kvm
