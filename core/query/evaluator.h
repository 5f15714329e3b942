// Answers a query: for many digests at once, or for one transition.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/query/query.h"

namespace vmxscope::core::query {

/// Unknown: a value that decides is not known, or, for a digest without its transition, not in the digest. Not a match.
enum class Truth : std::uint8_t { No, Yes, Unknown };

/// One transition, as far as it is at hand.
struct Row {
    const trace::Digest* digest = nullptr;
    Durations durations;
    const nested::Transition* transition = nullptr;  // null: not decoded
};

/// Not thread-safe: each thread has its own.
class Evaluator {
  public:
    /// `tsc_khz`: of L0's processor; 0: not known, and every comparison of a time is then unknown.
    Evaluator(Query query, std::uint64_t tsc_khz);

    const Query& query() const { return query_; }

    /// A condition over digests alone, in order. `durations`: of the same rows; may be empty if
    /// !query().uses_durations(). Yes and No are final: the whole transition would say the same. Unknown is final only
    /// if query().digest_only().
    void truths(std::span<const trace::Digest> digests, std::span<const Durations> durations, std::vector<Truth>& out);
    Truth truth(const Row& row);

    Cell value(const Row& row);                       // of any type but Text
    std::optional<std::string> text(const Row& row);  // of Type::Text; needs the transition

  private:
    Query query_;
    std::uint64_t tsc_khz_;
    std::vector<Lane> stack_;
};

/// For a live target, whose transitions come one by one: evaluator and durations in one.
class Watch {
  public:
    Watch(Query query, std::uint64_t tsc_khz) : evaluator_(std::move(query), tsc_khz) {}
    /// `t` follows those taken before it.
    Truth take(const nested::Transition& t) { return take(t, trace::digest_of(t)); }
    Truth take(const nested::Transition& t, const trace::Digest& digest);  // where the digest is made anyway

  private:
    Evaluator evaluator_;
    Moments moments_;
};

/// May the condition hold for a transition of this kind? True also where only the transition itself could tell.
bool may_hold(const Query& query, nested::Kind kind);

/// What code from `begin` on leaves, when it loads nothing.
Cell constant_value(const Program& program, std::size_t begin);

}  // namespace vmxscope::core::query
