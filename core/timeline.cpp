#include "core/timeline.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "core/query/evaluator.h"
#include "core/timeline_stretch.h"

namespace vmxscope::core {
namespace {

using trace::Digest;

class TraceLine : public Timeline {
  public:
    explicit TraceLine(trace::Trace trace) : trace_(std::move(trace)) {}

    const trace::TraceInfo& info() const override { return trace_.info(); }
    std::uint64_t first() const override { return trace_.first(); }
    std::uint64_t last() const override { return trace_.last(); }
    Result<nested::Transition> transition(std::uint64_t seq) const override { return trace_.transition(seq); }
    std::uint64_t at_tsc(std::uint64_t tsc) const override { return trace_.at_tsc(tsc); }

    Result<std::span<const Digest>> digests_at(std::uint64_t seq) const override {
        const auto begin = trace_.block_of(seq);
        for (std::size_t i = begin ? *begin : trace_.blocks(); i < trace_.blocks(); ++i)
            if (const auto digests = trace_.digests(i)) {
                // Who goes from stretch to stretch relies on it.
                if (!digests->empty() && digests->back().seq == trace_.block(i).last_seq) return *digests;
                wrong_.insert(i);
            }
        return std::span<const Digest>();
    }

    bool may_change(std::uint64_t seq, vmx::Field field) const override {
        const auto block = trace_.block_of(seq);
        const auto index = vmx::index_of(field);
        if (!block || !index) return false;
        if (!changed_ || changed_->first != *block) {
            const auto read = trace_.changed(*block);
            if (!read) return true;
            changed_.emplace(*block, *read);
        }
        return changed_->second.vmcs12[*index] || changed_->second.vmcs02[*index];
    }

    std::vector<std::string> gaps() const override {
        std::vector<std::string> all = trace_.damage();
        for (const std::size_t i : wrong_)
            all.push_back(fmt::format("The block of transitions {}-{} is damaged: it does not end where its head says.",
                                      trace_.block(i).first_seq, trace_.block(i).last_seq));
        return all;
    }

  private:
    trace::Trace trace_;
    mutable std::optional<std::pair<std::size_t, trace::ChangedFields>> changed_;  // the block last asked for
    mutable std::set<std::size_t> wrong_;                                          // blocks
};

class PastLine : public Timeline {
  public:
    PastLine(const trace::Past& past, const trace::TraceInfo& info) : past_(past), info_(info) {}

    const trace::TraceInfo& info() const override { return info_; }
    std::uint64_t first() const override { return past_.first(); }
    std::uint64_t last() const override { return past_.last(); }
    Result<nested::Transition> transition(std::uint64_t seq) const override { return past_.transition(seq); }
    std::uint64_t at_tsc(std::uint64_t tsc) const override { return past_.at_tsc(tsc); }
    Result<std::span<const Digest>> digests_at(std::uint64_t seq) const override { return past_.digests_at(seq); }

    bool may_change(std::uint64_t seq, vmx::Field field) const override {
        const auto index = vmx::index_of(field);
        const auto changed = past_.changed_at(seq);
        return index && (!changed || changed->vmcs12[*index] || changed->vmcs02[*index]);
    }

    std::vector<std::string> gaps() const override {
        if (past_.dropped() == 0) return {};
        return {fmt::format("{} transitions before {} had to go for want of room.", past_.dropped(), past_.first())};
    }

  private:
    const trace::Past& past_;
    trace::TraceInfo info_;
};

/// Looks for a query's next match, a stretch at a time: its digests first, and of its transitions only those that they
/// leave open.
class Finder {
  public:
    Finder(const Timeline& line, const query::Query& query)
        : line_(line), evaluator_(query, line.info().tsc_khz), whole_decides_(!query.digest_only()) {
        if (!query.uses_durations()) return;
        if (const auto begin = line.digests_at(line.first()); begin && !begin->empty()) start_ = begin->front().tsc;
    }

    /// The match nearest to `from`, which is not counted.
    Result<std::optional<std::uint64_t>> nearest(const Stretch& stretch, std::uint64_t from, Way way) {
        if (const auto ready = durations(stretch); !ready) return tl::unexpected(ready.error());
        evaluator_.truths(stretch, durations_, truths_);
        return way == Way::Forth ? forth(stretch, from) : back(stretch, from);
    }

  private:
    /// Times that began before the stretch: one stretch before it is looked at, as a scan does.
    Result<void> durations(const Stretch& stretch) {
        durations_.clear();
        if (!evaluator_.query().uses_durations()) return {};
        query::Moments moments(start_);
        const auto before = stretch_before(line_, stretch.front().seq);
        if (!before) return tl::unexpected(before.error());
        for (const Digest& d : *before) moments.take(d);
        for (const Digest& d : stretch) durations_.push_back(moments.take(d));
        return {};
    }

    bool holds(const Stretch& stretch, std::size_t i) {
        if (truths_[i] != query::Truth::Unknown || !whole_decides_) return truths_[i] == query::Truth::Yes;
        // One that cannot be read is passed over: the timeline tells of it.
        const auto t = line_.transition(stretch[i].seq);
        if (!t) return false;
        const query::Row row{&stretch[i], durations_.empty() ? query::Durations{} : durations_[i], &*t};
        return evaluator_.truth(row) == query::Truth::Yes;
    }

    std::optional<std::uint64_t> forth(const Stretch& stretch, std::uint64_t from) {
        for (std::size_t i = 0; i < stretch.size(); ++i)
            if (stretch[i].seq > from && holds(stretch, i)) return stretch[i].seq;
        return std::nullopt;
    }

    /// Transitions are decoded forward, so from the last that the digests alone say yes to.
    std::optional<std::uint64_t> back(const Stretch& stretch, std::uint64_t from) {
        std::size_t end = 0;
        while (end < stretch.size() && stretch[end].seq < from) ++end;
        std::size_t begin = end;
        while (begin > 0 && truths_[begin - 1] != query::Truth::Yes) --begin;
        std::optional<std::uint64_t> found;
        if (begin > 0) found = stretch[begin - 1].seq;
        for (std::size_t i = begin; i < end; ++i)
            if (holds(stretch, i)) found = stretch[i].seq;
        return found;
    }

    const Timeline& line_;
    query::Evaluator evaluator_;
    bool whole_decides_;
    std::uint64_t start_ = 0;
    std::vector<query::Durations> durations_;
    std::vector<query::Truth> truths_;
};

}  // namespace

std::unique_ptr<Timeline> timeline_of(trace::Trace trace) {
    return std::make_unique<TraceLine>(std::move(trace));
}

std::unique_ptr<Timeline> timeline_of(const trace::Past& past, const trace::TraceInfo& info) {
    return std::make_unique<PastLine>(past, info);
}

Result<Stretch> stretch_from(const Timeline& line, std::uint64_t seq) {
    const auto digests = line.digests_at(seq);
    if (!digests) return tl::unexpected(digests.error());
    return Stretch(digests->begin(), digests->end());
}

Result<Stretch> stretch_before(const Timeline& line, std::uint64_t seq) {
    const std::uint64_t first = line.first();
    Stretch newest;
    if (first == 0) return newest;
    // Mostly that of seq - 1. Where numbers are missing before `seq`, the one given for seq - 1 begins after the gap;
    // then it is looked for by halves: below `low` all stretches begin before `seq`, from `high` on none does.
    std::uint64_t low = first, high = std::min(seq, line.last() + 1);
    for (std::uint64_t at = high - 1; low < high; at = low + (high - low) / 2) {
        auto stretch = stretch_from(line, at);
        if (!stretch) return stretch;
        if (!stretch->empty() && stretch->front().seq < seq) {
            low = std::max(at, stretch->back().seq) + 1;
            newest = std::move(*stretch);
        } else {
            high = at;
        }
    }
    return newest;
}

Result<std::optional<std::uint64_t>> each_stretch(const Timeline& line, std::uint64_t from, Way way,
                                                  const Searching& searching, const InStretch& look) {
    const double begin = static_cast<double>(from);
    const double whole =
        way == Way::Forth ? static_cast<double>(line.last()) - begin : begin - static_cast<double>(line.first());
    for (std::uint64_t at = from;;) {
        if (way == Way::Forth && at >= line.last()) return std::nullopt;
        const auto stretch = way == Way::Forth ? stretch_from(line, at + 1) : stretch_before(line, at);
        if (!stretch) return tl::unexpected(stretch.error());
        if (stretch->empty()) return std::nullopt;
        auto found = look(*stretch);
        if (!found || *found) return found;
        at = way == Way::Forth ? stretch->back().seq : stretch->front().seq;
        const double done = std::abs(static_cast<double>(at) - begin);
        if (searching && !searching(whole > 0 ? std::min(done / whole, 1.0) : 1.0))
            return fail(fmt::format("The search was ended at transition {}.", at));
    }
}

Result<std::optional<std::uint64_t>> step_from(const Timeline& line, std::uint64_t from, StepKind kind, Way way,
                                               std::optional<std::uint32_t> vcpu) {
    const auto ends = [&](const Digest& d) { return matches(kind, d.kind) && (!vcpu || d.vcpu == *vcpu); };
    return each_stretch(line, from, way, {}, [&](const Stretch& s) -> Result<std::optional<std::uint64_t>> {
        if (way == Way::Forth) {
            const auto found = std::ranges::find_if(s, [&](const Digest& d) { return d.seq > from && ends(d); });
            return found == s.end() ? std::nullopt : std::optional(found->seq);
        }
        const auto found = std::find_if(s.rbegin(), s.rend(), [&](const Digest& d) { return d.seq < from && ends(d); });
        return found == s.rend() ? std::nullopt : std::optional(found->seq);
    });
}

Result<std::optional<std::uint64_t>> find_from(const Timeline& line, std::uint64_t from, const query::Query& query,
                                               Way way, const Searching& searching) {
    Finder finder(line, query);
    return each_stretch(line, from, way, searching,
                        [&](const Stretch& stretch) { return finder.nearest(stretch, from, way); });
}

}  // namespace vmxscope::core
