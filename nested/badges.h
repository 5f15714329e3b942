// What is worth a second look in a transition: conditions under which vmcs12 and vmcs02 differ by design, or a value is
// not what it seems. Each is shown where it applies, and only there.
#pragma once

#include <bitset>
#include <span>
#include <string_view>

#include "nested/flow.h"

namespace vmxscope::nested {

struct Badge {
    std::string_view id;                 // "tsc-composed"
    std::string_view title;              // a few words, for a label
    std::string_view why;                // one sentence: what a person should know
    std::span<const vmx::Field> fields;  // the rows that it belongs to; empty: the transition as a whole
    bool (*applies)(const Transition&, const Flow&);
};

std::span<const Badge> all_badges();
inline constexpr std::size_t kMostBadges = 64;
using BadgeSet = std::bitset<kMostBadges>;  // by place in all_badges()

BadgeSet badges_of(const Transition& t, const Flow& flow);

}  // namespace vmxscope::nested
