// Targets at the other end of a connection: "tcp:HOST:PORT" and "unix:PATH". A vmxscope agent is one with transitions;
// any other GDB stub (QEMU's own, gdbserver) one with registers, memory, instructions and breakpoints.
#pragma once

#include <memory>

#include "core/target.h"

namespace vmxscope::remote {

std::unique_ptr<core::Backend> tcp_backend();   // lists nothing
std::unique_ptr<core::Backend> unix_backend();  // lists the sockets in core::rsp::kSocketFolder

}  // namespace vmxscope::remote
