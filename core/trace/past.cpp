#include "core/trace/past.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace vmxscope::core::trace {

struct Past::State {
    struct Kept {
        BlockHead head;
        Bytes bytes;
    };
    std::size_t most;
    BlockBuilder builder;
    std::deque<Kept> blocks;
    std::size_t size = 0;
    std::uint64_t under_way = 0;  // seq of the first transition in the builder
    std::uint64_t dropped = 0;
    // The block that was last looked into; of the one under way, as it was then.
    std::optional<BlockReader> reader;
    // The digests that were last asked for, and which.
    std::vector<Digest> digests;
    std::optional<std::pair<std::uint64_t, ChangedFields>> changed;  // by the block's first seq

    State(std::size_t m, const BlockLimits& limits) : most(m), builder(limits) {}

    void take();
    const Kept* find(std::uint64_t seq) const;
    Result<void> look_into(Bytes block);
};

void Past::State::take() {
    Bytes block = builder.take();
    if (block.empty()) return;
    const BlockHead head = *block_head(block);
    size += block.size();
    blocks.push_back({head, std::move(block)});
    // The newest stays, however little room there is.
    while (size > most && blocks.size() > 1) {
        size -= blocks.front().bytes.size();
        dropped += blocks.front().head.count;
        blocks.pop_front();
    }
}

/// The oldest block that ends at `seq` or after it.
const Past::State::Kept* Past::State::find(std::uint64_t seq) const {
    const auto at = std::ranges::lower_bound(blocks, seq, {}, [](const Kept& k) { return k.head.last_seq; });
    return at == blocks.end() ? nullptr : &*at;
}

Result<void> Past::State::look_into(Bytes block) {
    auto opened = BlockReader::open(std::move(block));
    if (!opened) return tl::unexpected(opened.error());
    reader = std::move(*opened);
    return {};
}

Past::Past(std::size_t most_bytes, BlockLimits limits) : state_(std::make_unique<State>(most_bytes, limits)) {}
Past::~Past() = default;
Past::Past(Past&&) noexcept = default;
Past& Past::operator=(Past&&) noexcept = default;

void Past::add(const nested::Transition& t) {
    State& s = *state_;
    if (s.builder.count() == 0) s.under_way = t.seq;
    if (s.builder.add(t)) s.take();
}

std::uint64_t Past::first() const {
    const State& s = *state_;
    if (!s.blocks.empty()) return s.blocks.front().head.first_seq;
    return s.builder.count() ? s.under_way : 0;
}

std::uint64_t Past::last() const {
    return state_->builder.last_seq();
}

std::size_t Past::bytes() const {
    return state_->size + state_->builder.bytes();
}

std::uint64_t Past::dropped() const {
    return state_->dropped;
}

Result<nested::Transition> Past::transition(std::uint64_t seq) const {
    State& s = *state_;
    const auto missing = [&] {
        return fail(fmt::format("Transition {} is not kept.", seq),
                    first() ? fmt::format("Those from {} to {} are.", first(), last()) : "None is kept yet.");
    };
    if (first() == 0 || seq < first() || seq > last()) return missing();
    const auto* const kept = s.find(seq);
    const bool same = s.reader && s.reader->head().first_seq == (kept ? kept->head.first_seq : s.under_way) &&
                      (s.reader->head().last_seq >= seq);
    if (!same)
        if (const auto looked = s.look_into(kept ? kept->bytes : s.builder.peek()); !looked)
            return tl::unexpected(looked.error());
    const auto t = s.reader->find(seq);
    if (!t) return tl::unexpected(t.error());
    if (!*t) return missing();
    return **t;
}

std::uint64_t Past::at_tsc(std::uint64_t tsc) const {
    const auto newest = [tsc](std::span<const Digest> digests) -> std::uint64_t {
        const auto found =
            std::find_if(digests.rbegin(), digests.rend(), [&](const Digest& d) { return d.tsc <= tsc; });
        return found == digests.rend() ? 0 : found->seq;
    };
    const State& s = *state_;
    if (s.builder.count() > 0)
        if (const auto digests = digests_at(s.under_way); digests && newest(*digests)) return newest(*digests);
    for (auto kept = s.blocks.rbegin(); kept != s.blocks.rend(); ++kept) {
        if (kept->head.first_tsc > tsc) continue;
        const auto digests = digests_at(kept->head.first_seq);
        if (digests && newest(*digests)) return newest(*digests);
    }
    return first();
}

Result<std::span<const Digest>> Past::digests_at(std::uint64_t seq) const {
    State& s = *state_;
    const auto* const kept = s.find(seq);
    if (!kept && (s.builder.count() == 0 || seq > last())) return std::span<const Digest>();
    const std::uint64_t from = kept ? kept->head.first_seq : s.under_way, to = kept ? kept->head.last_seq : last();
    if (s.digests.empty() || s.digests.front().seq != from || s.digests.back().seq != to) {
        auto made = block_digests(kept ? kept->bytes : s.builder.peek());
        if (!made) return tl::unexpected(made.error());
        s.digests = std::move(*made);
    }
    return std::span<const Digest>(s.digests);
}

std::optional<ChangedFields> Past::changed_at(std::uint64_t seq) const {
    State& s = *state_;
    const auto* const kept = s.find(seq);
    if (!kept) return std::nullopt;
    if (!s.changed || s.changed->first != kept->head.first_seq) {
        const auto made = block_changes(kept->bytes);
        if (!made) return std::nullopt;
        s.changed.emplace(kept->head.first_seq, *made);
    }
    return s.changed->second;
}

Bytes Past::block_from(std::uint64_t seq) {
    State& s = *state_;
    if (!s.find(seq)) s.take();
    const auto* const kept = s.find(seq);
    return kept ? kept->bytes : Bytes{};
}

Result<void> Past::save(Writer& to) {
    State& s = *state_;
    s.take();
    for (const State::Kept& kept : s.blocks)
        if (auto added = to.add_block(kept.bytes); !added) return added;
    return to.flush();
}

}  // namespace vmxscope::core::trace
