// What is asked of a domain's QEMU through libvirt. libvirt marks the domain as tainted (custom-monitor) for it.
#pragma once

#include <libvirt/libvirt.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace vmxscope::libvirt {

/// The answer to a command of QEMU's human monitor.
core::Result<std::string> human_command(virDomainPtr domain, const std::string& line);

/// The host's thread of each vCPU, by its index.
core::Result<std::vector<std::uint32_t>> vcpu_threads(virDomainPtr domain);

/// QEMU's GDB stub, while it is open.
struct OpenStub {
    std::string where;       // as QEMU says it: "tcp:127.0.0.1:38617,server=on"
    std::uint16_t port = 0;  // on this machine's loopback; 0: it listens elsewhere
    bool taken = false;      // a debugger is connected
    bool operator==(const OpenStub&) const = default;
};
core::Result<std::optional<OpenStub>> open_stub(virDomainPtr domain);

// Of QEMU's answers.
core::Result<std::vector<std::uint32_t>> parse_vcpu_threads(std::string_view json);  // query-cpus-fast
core::Result<std::optional<OpenStub>> parse_open_stub(std::string_view json);        // query-chardev

}  // namespace vmxscope::libvirt
