#include "plugins/kvm/journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace vmxscope::kvm {
namespace {

using nested::Transition;

constexpr std::size_t kNewest = 1024;  // some 20 MB
// Made while the guest runs: quick rather than small. Who writes a file makes them anew.
constexpr core::trace::BlockLimits kBlocks{.transitions = 512, .bytes = 1u << 20, .level = 1, .digests = false};

}  // namespace

Journal::Journal(std::size_t most_bytes) : past_(most_bytes, kBlocks) {}

void Journal::add(Transition t, bool quick) {
    last_ = last_of_[t.vcpu] = t.seq;
    past_.add(t);
    // 16 KB to be written for each: more than all the rest of its making.
    if (quick) return newest_.clear();
    newest_.push_back(std::move(t));
    if (newest_.size() > kNewest) newest_.pop_front();
}

core::Result<Transition> Journal::transition(std::uint64_t seq) const {
    if (!newest_.empty() && seq >= newest_.front().seq && seq <= newest_.back().seq) return newest_[seq - newest_.front().seq];
    if (first() == 0 || seq < first() || seq > last_)
        return core::fail(fmt::format("Transition {} is not kept (any more).", seq), fmt::format("Those from {} to {} are.", first(), last_));
    return past_.transition(seq);
}

const Transition* Journal::next_match(std::optional<std::uint32_t> vcpu, std::uint64_t seq, core::StepKind step) const {
    auto it = std::lower_bound(newest_.begin(), newest_.end(), seq + 1, [](const Transition& t, std::uint64_t s) { return t.seq < s; });
    it = std::find_if(it, newest_.end(), [&](const Transition& t) { return t.vcpu == vcpu && core::matches(step, t.kind); });
    return it == newest_.end() ? nullptr : &*it;
}

std::uint64_t Journal::newest_of(std::optional<std::uint32_t> vcpu) const {
    const auto it = vcpu ? last_of_.find(*vcpu) : last_of_.end();
    return it == last_of_.end() ? 0 : it->second;
}

}  // namespace vmxscope::kvm
