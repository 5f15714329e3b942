#include "plugins/lab/plugin.h"

#include "plugins/lab/backend.h"

namespace vmxscope::lab {

using enum core::Ability;

const core::Plugin kPlugin = {
    .name = "lab",
    .version = VMXSCOPE_VERSION,
    .schemes = "lab",
    .abilities = {Transitions, Back, Record, Evidence, Capabilities, Memory, Looking, Write},
    .make_backends = [](std::vector<std::unique_ptr<core::Backend>>& all) { all.push_back(lab_backend()); },
};

}  // namespace vmxscope::lab
