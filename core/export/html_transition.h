// One transition of an HTML report.
#pragma once

#include <string>
#include <string_view>

#include "nested/transition.h"

namespace vmxscope::core::exporting::html {

/// As the text of an element or of an attribute in quotes.
std::string escaped(std::string_view text);

/// A <details>: headline, verdict and why, the fields that changed and the PDPTRs side by side, and all fields.
std::string details(const nested::Transition& t);

/// "alarm", "finding", "lost" or "": the class of what a reader should see first.
std::string_view concern(const nested::Transition& t);

}  // namespace vmxscope::core::exporting::html
