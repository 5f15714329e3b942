// What tests ask of texts.
#pragma once

#include <string_view>

namespace vmxscope::test {

inline bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace vmxscope::test
