// Every family of targets that there is, for the mains: built in, and out of folders.
#pragma once

#include <string>

#include "core/plugins.h"

namespace vmxscope::app {

/// What is refused is remembered and no failure: the others are there.
core::Plugins load_plugins();

/// Of the option --connect: the libvirt connection whose domains are listed, and attached to where none is named.
inline constexpr const char* kConnectHelp = "libvirt connection whose domains are meant (default: qemu:///system)";
void choose_libvirt(const std::string& uri);

}  // namespace vmxscope::app
