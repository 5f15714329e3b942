#include "core/past_target.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/trace/block.h"

namespace vmxscope::core {
namespace {

constexpr std::uint64_t kStretch = 512;       // transitions looked at together
constexpr std::size_t kMostLooked = 1 << 16;  // for where a vCPU was that has long been idle
constexpr std::string_view kPresent = "This is the present: what comes next has not happened yet.";
constexpr std::string_view kBeginning = "What was seen of this guest begins here.";

bool ends_step(const std::vector<Action>& actions, const trace::Digest& d) {
    const auto of = std::ranges::find_if(actions, [&](const Action& a) { return !a.vcpu || *a.vcpu == d.vcpu; });
    return of != actions.end() && of->step && matches(*of->step, d.kind);
}

}  // namespace

std::unique_ptr<Target> with_past(std::unique_ptr<Target> target) {
    if (target->can(Ability::Back) || !target->can(Ability::Transitions)) return target;
    return std::make_unique<PastTarget>(std::move(target));
}

Result<void> PastTarget::may_move() const {
    if (runs_ || stop_) return fail("The guest runs.", "Interrupt it first.");
    if (non_stop_)
        return fail("In non-stop mode there is no way back: each vCPU is at a time of its own.", "Turn it off: set non-stop off.");
    return {};
}

Result<void> PastTarget::present_only(std::string_view what) const {
    if (!at_) return {};
    return fail(fmt::format("This is the past, at transition {}: of it only transitions are kept, and {}.", at_->seq, what),
                fmt::format("Go to the present: monitor goto {}.", kept_.last));
}

/// Those of a piece of the history; some may be missing in it.
Result<std::vector<trace::Digest>> PastTarget::digests(std::uint64_t from, std::uint64_t to) {
    std::vector<Digest> all;
    while (from <= to) {
        const auto block = inner().past(from);
        if (!block) return tl::unexpected(block.error());
        if (block->empty()) break;
        const auto some = trace::block_digests(*block);
        if (!some) return tl::unexpected(some.error());
        if (some->empty() || some->back().seq < from) break;
        for (const Digest& d : *some)
            if (d.seq >= from && d.seq <= to) all.push_back(d);
        from = some->back().seq + 1;
    }
    return all;
}

/// One stretch more of what was seen, older than what is at hand; at the beginning, nothing.
Result<void> PastTarget::extend_back() {
    std::uint64_t to = seen_.empty() ? kept_.last : seen_.front().seq - 1;
    const std::size_t before = seen_.size();
    while (seen_.size() == before && kept_.first != 0 && to >= kept_.first) {
        const std::uint64_t from = to - kept_.first < kStretch ? kept_.first : to - kStretch + 1;
        const auto more = digests(from, to);
        if (!more) return tl::unexpected(more.error());
        seen_.insert(seen_.begin(), more->begin(), more->end());
        to = from - 1;
    }
    return {};
}

/// So that what is at hand begins at or before `seq`, if there is so much.
Result<void> PastTarget::cover(std::uint64_t seq) {
    if (!at_) {
        const auto kept = inner().history();
        if (!kept) return tl::unexpected(kept.error());
        kept_ = *kept;
        seen_.clear();
    }
    for (std::size_t before = ~std::size_t{0}; seen_.size() != before && (seen_.empty() || seen_.front().seq > seq);) {
        before = seen_.size();
        if (auto more = extend_back(); !more) return more;
    }
    return {};
}

void PastTarget::stop_at(const Digest& at, Stop::Why why, std::string text) {
    stop_ = Stop{why, at.vcpu, at.seq, std::move(text)};
    if (at.seq == kept_.last)
        at_.reset();
    else
        at_ = at;
}

Result<void> PastTarget::resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) {
    if (auto may = may_move(); !may) return may;
    if (auto at_hand = cover(at_ ? at_->seq : ~0ull); !at_hand) return at_hand;
    const std::uint64_t here = at_ ? at_->seq : kept_.last;
    if (!step)
        if (auto all = cover(kept_.first); !all) return all;
    if (seen_.empty()) {
        stop_ = Stop{Stop::Why::End, vcpu.value_or(0), 0, std::string(kBeginning)};
        return {};
    }
    const std::vector<Action> wanted{{vcpu, step}};
    std::size_t i = seen_.size();  // all from here on were looked at
    for (;;) {
        for (; i-- > 0;)
            if (seen_[i].seq < here && ends_step(wanted, seen_[i])) {
                stop_at(seen_[i], Stop::Why::Transition);
                return {};
            }
        const std::size_t before = seen_.size();
        if (auto more = extend_back(); !more) return more;
        i = seen_.size() - before;
        if (i == 0) break;
    }
    stop_at(seen_.front(), Stop::Why::End, std::string(kBeginning));
    return {};
}

Result<void> PastTarget::resume(const std::vector<Action>& actions) {
    if (!at_) {
        if (stop_) return fail("The guest has just stopped.", "Look at its stop first.");
        auto resumed = WrappedTarget::resume(actions);
        if (resumed) runs_ = true;
        return resumed;
    }
    if (auto may = may_move(); !may) return may;
    const auto after = std::ranges::upper_bound(seen_, at_->seq, {}, &Digest::seq);
    const auto next = std::find_if(after, seen_.end(), [&](const Digest& d) { return ends_step(actions, d); });
    if (next != seen_.end()) {
        stop_at(*next, Stop::Why::Transition);
    } else {
        stop_at(seen_.back(), Stop::Why::End, std::string(kPresent));
        at_.reset();
    }
    return {};
}

Result<void> PastTarget::go_to(std::uint64_t seq) {
    if (auto may = may_move(); !may) return may;
    if (auto at_hand = cover(seq); !at_hand) return at_hand;
    const auto at = std::ranges::lower_bound(seen_, seq, {}, &Digest::seq);
    if (at == seen_.end() || at->seq != seq)
        return fail(fmt::format("Transition {} is not among those that are kept: {} to {}.", seq, kept_.first, kept_.last));
    stop_at(*at, Stop::Why::Transition);
    return {};
}

Result<std::optional<Stop>> PastTarget::wait(std::chrono::milliseconds limit) {
    if (stop_) return std::exchange(stop_, std::nullopt);
    auto stop = WrappedTarget::wait(limit);
    if (!stop || *stop) runs_ = false;
    return stop;
}

/// In the past nothing runs: every run there has ended already.
Result<void> PastTarget::interrupt() {
    return at_ || stop_ ? Result<void>{} : WrappedTarget::interrupt();
}

Result<void> PastTarget::set_non_stop(bool on) {
    if (auto here = present_only("none of them runs"); !here) return here;
    auto set = WrappedTarget::set_non_stop(on);
    if (set) non_stop_ = on;
    if (set && !on) runs_ = false;
    return set;
}

Result<void> PastTarget::record(const RecordSettings& settings) {
    if (auto here = present_only("they are recorded already"); !here) return here;
    return WrappedTarget::record(settings);
}

Result<std::vector<Vcpu>> PastTarget::vcpus() {
    auto all = WrappedTarget::vcpus();
    if (!at_ || !all) return all;
    for (Vcpu& v : *all) {
        if (v.state != VcpuState::Gone) v.state = VcpuState::Held;
        const bool later = v.last_seq > at_->seq;
        if (!later) continue;
        v.last_seq = 0;
        v.level.reset();
        for (std::size_t before = ~std::size_t{0}; seen_.size() != before && seen_.size() < kMostLooked;) {
            const auto newest = std::find_if(seen_.rbegin(), seen_.rend(),
                                             [&](const Digest& d) { return d.seq <= at_->seq && d.vcpu == v.id; });
            if (newest != seen_.rend()) {
                v.last_seq = newest->seq;
                v.level = level_after(newest->kind);
                break;
            }
            before = seen_.size();
            if (auto more = extend_back(); !more) return tl::unexpected(more.error());
        }
    }
    return all;
}

Result<std::vector<std::byte>> PastTarget::read_memory(std::uint32_t vcpu, Space space, std::uint64_t address, std::size_t size) {
    if (auto here = present_only("memory is of the present"); !here) return tl::unexpected(here.error());
    return WrappedTarget::read_memory(vcpu, space, address, size);
}

Result<std::vector<std::byte>> PastTarget::msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) {
    if (auto here = present_only("bitmaps are of the present"); !here) return tl::unexpected(here.error());
    return WrappedTarget::msr_bitmap(vcpu, which);
}

Result<std::vector<vmx::WalkStep>> PastTarget::ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) {
    if (auto here = present_only("paging structures are of the present"); !here) return tl::unexpected(here.error());
    return WrappedTarget::ept02_walk(vcpu, l2_physical);
}

Result<void> PastTarget::write_memory(std::uint32_t vcpu, Space space, std::uint64_t address, const std::vector<std::byte>& bytes) {
    if (auto here = present_only("the past cannot be written"); !here) return here;
    return WrappedTarget::write_memory(vcpu, space, address, bytes);
}

Result<void> PastTarget::write_field(std::uint32_t vcpu, WrittenVmcs which, vmx::Field field, std::uint64_t value) {
    if (auto here = present_only("the past cannot be written"); !here) return here;
    return WrappedTarget::write_field(vcpu, which, field, value);
}

Result<std::vector<RegisterBytes>> PastTarget::registers(std::uint32_t vcpu) {
    if (auto here = present_only("registers apart from them are of the present"); !here) return tl::unexpected(here.error());
    return WrappedTarget::registers(vcpu);
}

}  // namespace vmxscope::core
