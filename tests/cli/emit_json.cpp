// Prints random transitions as `vmxscopectl --json` does, for check_schema.py.
#include <cstdio>

#include "core/transition_json.h"
#include "random_transition.h"

using namespace vmxscope;

int main() {
    std::mt19937_64 random(42);
    for (int i = 0; i < 1200; ++i) {
        const nested::Transition t = nested::random_transition(random);
        const core::Json json = i % 10 == 0 ? core::to_full_json(t) : core::to_json(t);
        std::puts(core::to_line(json).c_str());
    }
}
