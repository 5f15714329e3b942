// Prints random transitions as `vmxscopectl --json` does, for check_schema.py.
#include <cstdio>

#include "core/transition_json.h"
#include "random_transition.h"

using namespace vmxscope;

int main() {
    std::mt19937_64 random(42);
    for (int i = 0; i < 1200; ++i) {
        const nested::Transition t = nested::random_transition(random);
        core::Json json = core::to_json(t);
        if (i % 10 == 0) {
            json["fields"] = core::Json::array();
            for (const vmx::FieldInfo& f : vmx::all_fields()) json["fields"].push_back(core::field_to_json(t, f.field));
        }
        std::puts(core::to_line(json).c_str());
    }
}
