#include "plugins/remote/plugin.h"

#include "plugins/remote/backends.h"

namespace vmxscope::remote {

using enum core::Ability;

const core::Plugin kPlugin = {
    .name = "remote",
    .version = VMXSCOPE_VERSION,
    .schemes = "tcp unix",
    .abilities = {Transitions, Back, Record, Evidence, Capabilities, Memory, Looking, Write, Instructions, Breakpoints},
    .make_backends = [](std::vector<std::unique_ptr<core::Backend>>& all) { all.push_back(tcp_backend()); all.push_back(unix_backend()); },
};

}  // namespace vmxscope::remote
