// "kvm:PID" and "kvm": a guest of this machine's own KVM, through an agent that is started for it.
#pragma once

#include <memory>

#include "core/target.h"

namespace vmxscope::kvm {

std::unique_ptr<core::Backend> kvm_backend();

}  // namespace vmxscope::kvm
