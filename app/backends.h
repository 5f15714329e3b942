// Every family of targets that this build has, for the mains.
#pragma once

#include "core/target.h"

namespace vmxscope::app {

core::Backends make_backends();

}  // namespace vmxscope::app
