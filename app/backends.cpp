#include "app/backends.h"

#include <cstdlib>

#include "plugins/kvm/plugin.h"
#include "plugins/lab/plugin.h"
#include "plugins/libvirt/plugin.h"
#include "plugins/remote/plugin.h"
#include "plugins/replay/plugin.h"

namespace vmxscope::app {

core::Plugins load_plugins() {
    core::Plugins all;
    for (const core::Plugin* built_in :
         {&libvirt::kPlugin, &kvm::kPlugin, &lab::kPlugin, &remote::kPlugin, &replay::kPlugin})
        all.add_built_in(*built_in);
    for (const auto& folder : core::plugin_folders()) all.load_folder(folder);
    return all;
}

void choose_libvirt(const std::string& uri) {
    ::setenv("VMXSCOPE_LIBVIRT_URI", uri.c_str(), 1);
}

}  // namespace vmxscope::app
