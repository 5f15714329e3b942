// "libvirt:DOMAIN" and "libvirt:URI#DOMAIN": the domains of a libvirt connection.
#pragma once

#include <memory>

#include "core/target.h"

namespace vmxscope::libvirt {

/// Lists the domains of default_uri() (plugins/libvirt/address.h), and attaches to those of any.
std::unique_ptr<core::Backend> libvirt_backend();

}  // namespace vmxscope::libvirt
