#include "plugins/libvirt/plugin.h"

#include "plugins/libvirt/libvirt_backend.h"

namespace vmxscope::libvirt {

using enum core::Ability;

const core::Plugin kPlugin = {
    .name = "libvirt",
    .version = VMXSCOPE_VERSION,
    .schemes = "libvirt",
    .abilities = {Transitions, Back, Record, Evidence, Capabilities, Memory, Looking, Write, Instructions, Breakpoints},
    .make_backends = [](std::vector<std::unique_ptr<core::Backend>>& all) { all.push_back(libvirt_backend()); },
};

}  // namespace vmxscope::libvirt
