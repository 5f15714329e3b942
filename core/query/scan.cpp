#include "core/query/scan.h"

#include <algorithm>

#include <fmt/format.h>

namespace vmxscope::core::query {
namespace {

using trace::Digest;

constexpr std::size_t kMostDamage = 100;  // sentences

class Scanner {
  public:
    Scanner(const trace::Trace& trace, const Query& where, const ScanOptions& options,
            const std::function<bool(const Row&, Truth)>& each)
        : trace_(trace), o_(options), each_(each), evaluator_(where, trace.info().tsc_khz) {
        if (trace.blocks() > 0) moments_ = Moments(trace.block(0).first_tsc);
    }

    Scanned run() {
        const std::size_t begin = first_block();
        for (std::size_t i = begin; i < trace_.blocks() && !ended_; ++i) {
            const trace::BlockHead& head = trace_.block(i);
            if (head.first_seq > o_.last_seq || head.first_tsc > o_.last_tsc) break;
            if (const auto ok = block(i); !ok) damaged(head, ok.error().what);
            const double part = static_cast<double>(i + 1 - begin) / static_cast<double>(trace_.blocks() - begin);
            if (!ended_ && o_.progress && !o_.progress(part)) stop();
        }
        return std::move(result_);
    }

  private:
    /// One before the first of interest, so that its durations are known.
    std::size_t first_block() const {
        std::size_t i = 0;
        while (i < trace_.blocks() &&
               (trace_.block(i).last_seq < o_.first_seq || trace_.block(i).last_tsc < o_.first_tsc))
            ++i;
        return i > 0 ? i - 1 : 0;
    }

    void damaged(const trace::BlockHead& head, const std::string& what) {
        if (result_.damage.size() < kMostDamage)
            result_.damage.push_back(fmt::format("Transitions {} to {}: {}", head.first_seq, head.last_seq, what));
    }

    void stop() {
        ended_ = true;
        result_.complete = false;
    }

    bool within(const Digest& d) const {
        return d.seq >= o_.first_seq && d.seq <= o_.last_seq && d.tsc >= o_.first_tsc && d.tsc <= o_.last_tsc;
    }

    Row row(std::size_t i, const nested::Transition* t) const {
        return {&digests_[i], durations_.empty() ? Durations{} : durations_[i], t};
    }

    Result<void> block(std::size_t number) {
        const auto digests = trace_.digests(number);
        if (!digests) return tl::unexpected(digests.error());
        digests_ = *digests;
        durations_.clear();
        if (o_.durations || evaluator_.query().uses_durations())
            for (const Digest& d : digests_) durations_.push_back(moments_.take(d));
        evaluator_.truths(digests_, durations_, truths_);

        const bool open_decides = !evaluator_.query().digest_only();
        const auto needs_whole = [&](std::size_t i) {
            return within(digests_[i]) &&
                   ((open_decides && truths_[i] == Truth::Unknown) || (o_.whole && truths_[i] == Truth::Yes));
        };
        std::size_t last = digests_.size();
        while (last > 0 && !needs_whole(last - 1)) --last;
        if (last > 0) return decoded(number, last);
        for (std::size_t i = 0; i < digests_.size() && !ended_; ++i) deliver(row(i, nullptr), truths_[i]);
        return {};
    }

    /// The transitions decide, up to `last`.
    Result<void> decoded(std::size_t number, std::size_t last) {
        copy_.assign(digests_.begin(), digests_.end());  // what Trace gave is valid until the next call
        digests_ = copy_;
        const auto bytes = trace_.block_bytes(number);
        if (!bytes) return tl::unexpected(bytes.error());
        std::size_t i = 0;
        const auto ok = trace::decode_block(*bytes, [&](const nested::Transition& t) {
            if (i >= digests_.size() || t.seq != digests_[i].seq) return false;
            const Row whole = row(i, &t);
            const bool open = truths_[i] == Truth::Unknown && !evaluator_.query().digest_only();
            deliver(whole, open && within(digests_[i]) ? evaluator_.truth(whole) : truths_[i]);
            ++i;
            return !ended_ && i < last;
        });
        if (!ok) return ok;
        if (!ended_ && i < last) return fail("The digests of the block are not those of its transitions.");
        for (; i < digests_.size() && !ended_; ++i) deliver(row(i, nullptr), truths_[i]);
        return {};
    }

    void deliver(const Row& r, Truth truth) {
        if (!within(*r.digest)) return;
        ++result_.rows;
        result_.matches += truth == Truth::Yes;
        result_.unknown += truth == Truth::Unknown;
        if ((truth == Truth::Yes || o_.everything) && !each_(r, truth)) stop();
    }

    const trace::Trace& trace_;
    const ScanOptions& o_;
    const std::function<bool(const Row&, Truth)>& each_;
    Evaluator evaluator_;
    Moments moments_;
    std::span<const Digest> digests_;
    std::vector<Digest> copy_;
    std::vector<Durations> durations_;
    std::vector<Truth> truths_;
    Scanned result_;
    bool ended_ = false;
};

}  // namespace

Scanned scan(const trace::Trace& trace, const Query& where, const ScanOptions& options,
             const std::function<bool(const Row&, Truth)>& each) {
    return Scanner(trace, where, options, each).run();
}

}  // namespace vmxscope::core::query
