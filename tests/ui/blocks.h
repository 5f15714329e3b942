// What of a block is new, as the session's worker sends it.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "core/trace/block.h"
#include "ui/session_worker.h"

namespace vmxscope::ui::test {

inline void add_seqs(const PastBlock& block, std::vector<std::uint64_t>& seqs) {
    const auto decoded = core::trace::decode_block(*block.bytes, [&](const nested::Transition& t) {
        if (t.seq >= block.first && t.seq <= block.last) seqs.push_back(t.seq);
        return true;
    });
    EXPECT_TRUE(decoded);
}

}  // namespace vmxscope::ui::test
