// Transitions for property tests: any state of any value, any optional present or absent.
#pragma once

#include <random>

#include "nested/transition.h"

namespace vmxscope::nested {

Transition random_transition(std::mt19937_64& random);

}  // namespace vmxscope::nested
