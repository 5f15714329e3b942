#include "plugins/kvm/plugin.h"

#include "plugins/kvm/kvm_backend.h"

namespace vmxscope::kvm {

using enum core::Ability;

const core::Plugin kPlugin = {
    .name = "kvm",
    .version = VMXSCOPE_VERSION,
    .schemes = "kvm",
    .abilities = {Transitions, Back, Record, Evidence, Capabilities, Memory, Looking, Write},
    .make_backends = [](std::vector<std::unique_ptr<core::Backend>>& all) { all.push_back(kvm_backend()); },
};

}  // namespace vmxscope::kvm
