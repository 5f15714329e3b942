// A story as a past to be gone through, and its rows as the worker tells them.
#pragma once

#include <vector>

#include "tests/ui/samples.h"
#include "ui/shown.h"

namespace vmxscope::ui::test {

struct StoryPast {
    explicit StoryPast(const std::vector<samples::TransitionPtr>& story) {
        for (const auto& t : story) {
            past.add(*t);
            rows.add(t->seq);
            digests.push_back(core::trace::digest_of(*t));
        }
        line = core::timeline_of(past, {});
    }
    /// Null: there is no such transition.
    ShownPtr shown(std::uint64_t seq) {
        auto made = maker.make(*line, seq);
        return made ? *made : nullptr;
    }

    core::trace::Past past{64u << 20};
    Runs rows;
    Digests digests;
    std::unique_ptr<core::Timeline> line;
    ShownMaker maker;
};

inline ShownPtr shown_in(const std::vector<samples::TransitionPtr>& story, std::uint64_t seq) {
    return StoryPast(story).shown(seq);
}

}  // namespace vmxscope::ui::test
