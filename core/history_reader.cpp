#include "core/history_reader.h"

#include <algorithm>

#include "core/trace/block.h"

namespace vmxscope::core {

Result<void> for_each(const HistoryPiece& piece, const std::function<void(const nested::Transition&)>& each) {
    return trace::decode_block(piece.block, [&](const nested::Transition& t) {
        if (t.seq > piece.last) return false;
        if (t.seq >= piece.first) each(t);
        return true;
    });
}

Result<std::optional<HistoryPiece>> HistoryReader::next(Target& target) {
    const auto kept = target.history();
    if (!kept) return tl::unexpected(kept.error());
    kept_ = *kept;
    if (unread() == 0) return std::nullopt;
    auto block = target.past(last_ + 1);
    if (!block) return tl::unexpected(block.error());
    if (block->empty()) return std::nullopt;
    const auto head = trace::block_head(*block);
    if (!head) return tl::unexpected(head.error());
    if (head->last_seq <= last_) return fail("The target sent another part of its past than was asked for.");
    // A block may begin before what was asked for, and go on to what is not shown yet.
    const std::uint64_t first = std::max(last_ + 1, head->first_seq), last = std::min(head->last_seq, kept_.last);
    missed_ += std::min(first, kept_.last + 1) - (last_ + 1);
    last_ = std::max(first - 1, last);
    if (first > last) return std::nullopt;
    return HistoryPiece{std::move(*block), first, last};
}

void HistoryReader::pass_over(std::uint64_t seq) {
    last_ = std::max(last_, seq);
}

}  // namespace vmxscope::core
