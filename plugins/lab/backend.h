// The family of targets "lab:NAME".
#pragma once

#include <memory>

#include "core/target.h"

namespace vmxscope::lab {

/// `lab:NAME`: a lab of the catalog, started for the target and ended with it. `lab:INSTANCE`: one that runs already
/// (started with `vmxscopectl lab start`), which is left running at detach.
std::unique_ptr<core::Backend> lab_backend();

}  // namespace vmxscope::lab
