// The process of a domain's QEMU on this machine.
#pragma once

#include <libvirt/libvirt.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"
#include "plugins/libvirt/domain_xml.h"

namespace vmxscope::libvirt {

/// By libvirtd's pidfile where that can be read, else by what QEMU says of its threads; and it is a QEMU that was
/// started with this domain's UUID.
core::Result<std::uint32_t> find_qemu(virDomainPtr domain, const DomainFacts& facts);

/// What a process of that name and with those arguments (NUL after each) is: the domain's QEMU or not.
bool is_qemu_of(std::string_view comm, std::string_view cmdline, std::string_view uuid);

}  // namespace vmxscope::libvirt
