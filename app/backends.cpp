#include "app/backends.h"

#include <cstdlib>

#include "plugins/kvm/kvm_backend.h"
#include "plugins/lab/backend.h"
#include "plugins/libvirt/libvirt_backend.h"
#include "plugins/remote/backends.h"
#include "plugins/replay/replay_backend.h"

namespace vmxscope::app {

core::Backends make_backends() {
    core::Backends all;
    all.add(libvirt::libvirt_backend());
    all.add(kvm::kvm_backend());
    all.add(lab::lab_backend());
    all.add(remote::unix_backend());
    all.add(remote::tcp_backend());
    all.add(replay::replay_backend());
    return all;
}

void choose_libvirt(const std::string& uri) {
    ::setenv("VMXSCOPE_LIBVIRT_URI", uri.c_str(), 1);
}

}  // namespace vmxscope::app
