// Foreign texts (notes, symbols, names) made fit for a file that others read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vmxscope::core::exporting {

/// Valid UTF-8: what is none becomes U+FFFD, a control character but a line's end a blank.
std::string clean(std::string_view text);

/// "2026-03-01 12:34:56 UTC", of nanoseconds since the epoch; "at an unknown time" of 0.
std::string utc_text(std::int64_t ns);

}  // namespace vmxscope::core::exporting
