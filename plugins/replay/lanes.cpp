#include "plugins/replay/lanes.h"

#include <algorithm>

#include "core/timeline_stretch.h"

namespace vmxscope::replay {

using core::Result;
using core::Stop;
using core::VcpuState;

Lanes::Lanes(const std::vector<core::Vcpu>& now) {
    for (const core::Vcpu& v : now) lanes_.push_back({v, {}, {}});
}

void Lanes::resume(const std::vector<core::Action>& actions) {
    for (Lane& lane : lanes_) {
        const auto a = std::ranges::find_if(
            actions, [&](const core::Action& x) { return !x.vcpu || *x.vcpu == lane.shown.id; });
        if (a == actions.end() || lane.runs()) continue;
        lane.shown.state = VcpuState::Running;
        lane.step = a->step;
        lane.due.reset();
    }
}

void Lanes::interrupt(std::optional<std::uint32_t> vcpu) {
    for (Lane& lane : lanes_)
        if (lane.runs() && (!vcpu || *vcpu == lane.shown.id))
            lane.due = Stop{Stop::Why::Interrupted, lane.shown.id, lane.shown.last_seq, {}};
}

/// Without a step it runs on to its own last transition, which it ends at.
Result<Stop> Lanes::found(const core::Timeline& line, const Lane& lane) {
    const core::Vcpu& v = lane.shown;
    if (lane.step) {
        const auto next = step_from(line, v.last_seq, *lane.step, core::Way::Forth, v.id);
        if (!next) return tl::unexpected(next.error());
        if (*next) return Stop{Stop::Why::Transition, v.id, **next, {}};
    }
    const auto last = step_from(line, ~0ull, core::StepKind::Transition, core::Way::Back, v.id);
    if (!last) return tl::unexpected(last.error());
    return Stop{Stop::Why::End, v.id, last->value_or(v.last_seq), "The recording of this vCPU ends here."};
}

Result<std::optional<Stop>> Lanes::next(const core::Timeline& line) {
    Lane* first = nullptr;
    for (Lane& lane : lanes_) {
        if (!lane.runs()) continue;
        if (!lane.due) {
            auto due = found(line, lane);
            if (!due) return tl::unexpected(due.error());
            lane.due = std::move(*due);
        }
        const auto order = [](const Lane& l) { return std::pair(l.due->why != Stop::Why::Interrupted, l.due->seq); };
        if (first == nullptr || order(lane) < order(*first)) first = &lane;
    }
    if (first == nullptr) return std::nullopt;
    first->shown.state = VcpuState::Held;
    if (first->due->seq != first->shown.last_seq) {
        first->shown.last_seq = first->due->seq;
        const auto near = line.digests_at(first->due->seq);
        if (!near) return tl::unexpected(near.error());
        const auto at = std::ranges::find(*near, first->due->seq, &core::trace::Digest::seq);
        if (at != near->end()) first->shown.level = core::level_after(at->kind);
    }
    return std::exchange(first->due, std::nullopt);
}

std::vector<core::Vcpu> Lanes::vcpus() const {
    std::vector<core::Vcpu> all;
    for (const Lane& lane : lanes_) all.push_back(lane.shown);
    return all;
}

}  // namespace vmxscope::replay
