#include "plugins/replay/plugin.h"

#include "plugins/replay/replay_backend.h"

namespace vmxscope::replay {

using enum core::Ability;

const core::Plugin kPlugin = {
    .name = "replay",
    .version = VMXSCOPE_VERSION,
    .schemes = "trace",
    .abilities = {Transitions, Back, Capabilities, NonStop},
    .make_backends = [](std::vector<std::unique_ptr<core::Backend>>& all) { all.push_back(replay_backend()); },
};

}  // namespace vmxscope::replay
