// Going through a timeline stretch by stretch, in either direction: what its searches are made of.
#pragma once

#include <functional>

#include "core/timeline.h"

namespace vmxscope::core {

/// Digests of transitions that follow one another; a copy, so other questions may be asked meanwhile.
using Stretch = std::vector<trace::Digest>;

/// As Timeline::digests_at().
Result<Stretch> stretch_from(const Timeline& line, std::uint64_t seq);
/// The stretch with the newest transition before `seq`; empty: there is none before it.
Result<Stretch> stretch_before(const Timeline& line, std::uint64_t seq);

/// What was looked for in a stretch, or empty: the next.
using InStretch = std::function<Result<std::optional<std::uint64_t>>(const Stretch&)>;
/// Stretch by stretch from that of the transition after (before) `from` on. The first may have transitions before
/// (after) `from`, too.
Result<std::optional<std::uint64_t>> each_stretch(const Timeline& line, std::uint64_t from, Way way,
                                                  const Searching& searching, const InStretch& look);

}  // namespace vmxscope::core
