// Processors by name: the capability MSRs of a processor in a JSON file, those of the project in resources/cpus/.
//
//     {"source": "where the values are from", "maxphyaddr": 46, "linear_bits": 48, "msrs": {"IA32_VMX_BASIC": "0x…",
//     …}}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "vmx/capabilities.h"

namespace vmxscope::core {

/// Of the project's own files, sorted.
std::vector<std::string> cpu_names();
/// `cpu`: one of cpu_names(), or the path of a file (with a '/' or ending in ".json"). MSRs that the file lacks are not
/// known.
Result<vmx::Capabilities> load_cpu(const std::string& cpu);
/// The same of the text of such a file; `name` is for messages.
Result<vmx::Capabilities> parse_cpu(std::string_view text, const std::string& name);

}  // namespace vmxscope::core
