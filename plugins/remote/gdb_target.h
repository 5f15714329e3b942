// A GDB stub that is no vmxscope agent: QEMU's own, gdbserver. It runs below the guest's VMX or beside it, so it has no
// VMCS; it has what every debugger wants: registers, memory, single instructions, breakpoints, and where the stub
// replays a recording, the way back.
#pragma once

#include <memory>
#include <string>

#include "core/rsp/client.h"
#include "core/target.h"

namespace vmxscope::remote {

/// Attaches once the two sides have greeted each other. Blocks for some round trips, with the client's progress.
core::Result<std::unique_ptr<core::Target>> attach_gdb_stub(core::rsp::Client client, std::string name);

}  // namespace vmxscope::remote
