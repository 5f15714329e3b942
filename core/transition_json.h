// A transition as one JSON object, for scripts: `vmxscopectl step --json` prints one a line. Every member is described
// in resources/transition.schema.json.
#pragma once

#include <nlohmann/json.hpp>

#include "nested/pdptr.h"
#include "nested/transition.h"

namespace vmxscope::core {

using Json = nlohmann::ordered_json;  // keeps the order of members

Json to_json(const nested::Transition& t);
/// The same with every field of the VMCSs in its "fields".
Json to_full_json(const nested::Transition& t);
/// One row of the object's optional "fields": {"field","group","vmcs12","vmcs02"}, and "vmcs01" where it was read.
Json field_to_json(const nested::Transition& t, vmx::Field field);
/// One line, without the newline. What is not UTF-8 in a text is replaced: notes and symbols come over the wire.
std::string to_line(const Json& json);

}  // namespace vmxscope::core
