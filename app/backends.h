// Every family of targets that this build has, for the mains.
#pragma once

#include <string>

#include "core/target.h"

namespace vmxscope::app {

core::Backends make_backends();

/// Of the option --connect: the libvirt connection whose domains are listed, and attached to where none is named.
inline constexpr const char* kConnectHelp = "libvirt connection whose domains are meant (default: qemu:///system)";
void choose_libvirt(const std::string& uri);

}  // namespace vmxscope::app
