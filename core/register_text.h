// General registers in words and as JSON: what a stop between two instructions shows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/target.h"
#include "core/transition_json.h"

namespace vmxscope::core {

/// "0x0000000000007c03": the most significant byte first; "not available" without bytes.
std::string register_value(const RegisterBytes& r);

/// "vCPU 0 at 0x7c03, after one instruction" and the registers, of at most 8 bytes each, in columns. `all`: wider ones, too.
std::string registers_text(const Stop& stop, const std::vector<RegisterBytes>& registers, bool all);

/// {"vcpu":0,"why":"instruction","registers":{"rip":"0x…",…}}
Json registers_json(const Stop& stop, const std::vector<RegisterBytes>& registers);

}  // namespace vmxscope::core
