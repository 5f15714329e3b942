// A Target at the other end of a GDB-remote connection: an agent on this machine, in a lab, on another host.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/fd.h"
#include "core/result.h"
#include "core/rsp/client.h"
#include "core/target.h"

namespace vmxscope::core::rsp {

/// What qSupported answers where the objects and packets of this project are served.
inline constexpr std::string_view kAgentFeature = "vmx+";

/// Connects to `endpoint` ("tcp:HOST:PORT", "unix:PATH") and attaches. `name` becomes TargetInfo::name; empty =
/// `endpoint`. Blocks with progress. A peer that speaks the protocol but is no vmxscope agent is an Error;
/// plugins/remote attaches to such, too.
Result<std::unique_ptr<Target>> attach_remote(std::string_view endpoint, std::string name, const Progress& progress);

/// The same on a connection that is already open; `peer` is what messages call the other end.
Result<std::unique_ptr<Target>> attach_remote(Fd connection, std::string peer, std::string name,
                                              const Progress& progress);

/// The same once the two sides have greeted each other, and the other one has said kAgentFeature.
Result<std::unique_ptr<Target>> attach_agent(Client client, std::string name);

}  // namespace vmxscope::core::rsp
