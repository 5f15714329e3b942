#include "core/query/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "vmx/exit_reason.h"

namespace vmxscope::core::query {
namespace {

using nested::Kind;
using Who = nested::Routing::Who;

std::uint64_t saturating_sum(std::uint64_t a, std::uint64_t b) {
    return a + b < a ? ~0ull : a + b;
}

}  // namespace

void Distribution::add(std::uint64_t cycles) {
    ++count_;
    least_ = std::min(least_, cycles);
    most_ = std::max(most_, cycles);
    total_ = saturating_sum(total_, cycles);
    const unsigned power = cycles == 0 ? 0 : static_cast<unsigned>(std::bit_width(cycles) - 1);
    auto& steps = powers_[power];
    if (!steps) steps = std::make_unique<Steps>();
    const unsigned shift = power > 5 ? power - 5 : 0;  // below 32 every number has a step of its own
    ++(*steps)[(cycles >> shift) & (kSteps - 1)];
}

void Distribution::add(const Distribution& other) {
    count_ += other.count_;
    least_ = std::min(least_, other.least_);
    most_ = std::max(most_, other.most_);
    total_ = saturating_sum(total_, other.total_);
    for (std::size_t power = 0; power < powers_.size(); ++power) {
        if (!other.powers_[power]) continue;
        if (!powers_[power]) powers_[power] = std::make_unique<Steps>();
        for (std::size_t i = 0; i < kSteps; ++i) (*powers_[power])[i] += (*other.powers_[power])[i];
    }
}

std::uint64_t Distribution::quantile(double part) const {
    if (count_ == 0) return 0;
    const auto wanted = static_cast<std::uint64_t>(std::ceil(std::clamp(part, 0.0, 1.0) * static_cast<double>(count_)));
    std::uint64_t below = 0;
    for (unsigned power = 0; power < powers_.size(); ++power) {
        if (!powers_[power]) continue;
        const unsigned shift = power > 5 ? power - 5 : 0;
        for (std::size_t i = 0; i < kSteps; ++i) {
            below += (*powers_[power])[i];
            if ((*powers_[power])[i] == 0 || below < wanted) continue;
            const std::uint64_t first = power >= 5 ? (kSteps | i) << shift : i;
            return std::clamp<std::uint64_t>(first + ((1ull << shift) - 1), least_, most_);
        }
    }
    return most_;
}

void Statistics::forget(Vcpu& v) {
    for (auto* pending : {&v.l1, &v.l2}) {
        if (!*pending) continue;
        ++left_out_;
        if (undecided(**pending)) count_before(**pending);
        *pending = std::nullopt;
    }
}

void Statistics::take(const trace::Digest& d, bool counted) {
    if (newest_seq_ != 0 && d.seq != newest_seq_ + 1)
        for (auto& [id, v] : vcpus_) forget(v);
    newest_seq_ = d.seq;
    Vcpu& v = vcpus_[d.vcpu];
    if (d.lost_before > 0 || d.tsc < v.newest) forget(v);
    v.newest = d.tsc;
    if (transitions_++ == 0) first_tsc_ = newest_tsc_ = d.tsc;
    newest_tsc_ = std::max(newest_tsc_, d.tsc);
    lost_ = saturating_sum(lost_, d.lost_before);
    const Durations durations = moments_.take(d);

    switch (d.kind) {
        case Kind::L1Exit:
        case Kind::L2Exit:
            if (counted) exit(v, d, durations);
            break;
        case Kind::NestedEntry: ++nested_entries_; break;
        case Kind::NestedEntryFailed: ++failed_entries_; break;
        case Kind::NestedExit:
            ++nested_exits_;
            if (v.l2 && undecided(*v.l2) && v.l2->key.reason == vmx::basic_exit_reason(d.reason))
                decide(*v.l2, Who::L1);
            break;
        case Kind::L1Entry: close(v.l1, d.tsc); break;
        case Kind::L2Entry:
            if (v.l2 && undecided(*v.l2)) decide(*v.l2, Who::L0);
            close(v.l1, d.tsc);
            close(v.l2, d.tsc);
            break;
    }
}

void Statistics::exit(Vcpu& v, const trace::Digest& d, const Durations& durations) {
    ExitKey key;
    key.level = d.kind == Kind::L1Exit ? 1 : 2;
    key.reason = d.has_reason ? vmx::basic_exit_reason(d.reason) : kNoReason;
    if (key.level == 2)
        key.who = static_cast<Who>(std::min<std::uint8_t>(d.routing, static_cast<std::uint8_t>(Who::L1)));
    if (by_vcpu_) key.vcpu = d.vcpu;
    ++exits_[key].exits;
    auto& pending = key.level == 1 ? v.l1 : v.l2;
    left_out_ += pending.has_value();  // no entry was seen in between
    pending = Pending{key, d.tsc, durations.in_guest};
    if (!undecided(*pending)) count_before(*pending);
}

bool Statistics::undecided(const Pending& p) {
    return p.key.level == 2 && p.key.who == Who::Unknown;
}

void Statistics::count_before(const Pending& p) {
    if (p.before) exits_[p.key].before.add(*p.before);
}

/// What happened next says who handled an exit, where its routing could not be told from the transition.
void Statistics::decide(Pending& p, Who who) {
    const auto unknown = exits_.find(p.key);
    if (unknown != exits_.end() && --unknown->second.exits == 0) exits_.erase(unknown);
    p.key.who = who;
    ++exits_[p.key].exits;
    count_before(p);
}

void Statistics::close(std::optional<Pending>& p, std::uint64_t tsc) {
    if (p) exits_[p->key].away.add(tsc - p->tsc);
    p = std::nullopt;
}

std::uint64_t Statistics::open() const {
    std::uint64_t count = 0;
    for (const auto& [id, v] : vcpus_) count += v.l1.has_value() + std::uint64_t{v.l2.has_value()};
    return count;
}

}  // namespace vmxscope::core::query
