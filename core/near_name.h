// "Is … meant?": the name that somebody may have wanted to write.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace vmxscope::core {

/// Single-character edits from one to the other, in either case. Takes time in proportion to the product of the
/// lengths.
std::size_t edits_between(std::string_view a, std::string_view b);

/// The candidate with the fewest edits to `name`, the first of several; "" if all have more than `most`.
std::string_view nearest_name(std::string_view name, std::span<const std::string_view> candidates,
                              std::size_t most = static_cast<std::size_t>(-1));

}  // namespace vmxscope::core
