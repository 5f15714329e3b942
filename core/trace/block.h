// A block: some hundred transitions, encoded as differences within it, compressed, checked by a checksum and readable by
// itself. What a trace file is made of, and what the agent sends of its past. docs/trace-format.md says how it looks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/result.h"
#include "core/trace/digest.h"
#include "nested/transition.h"

namespace vmxscope::core::trace {

using Bytes = std::vector<std::byte>;

struct BlockLimits {
    std::size_t transitions = 512;
    std::size_t bytes = 1u << 20;  // of the encoding before compression
    int level = 3;                 // zstd's
    bool digests = true;           // without them the block is cheaper to make; readers make them themselves
};

/// The transitions of a session in order go in, blocks come out. Keeps the state that differences are made from; each block
/// begins without any.
class BlockBuilder {
  public:
    explicit BlockBuilder(BlockLimits limits = {});
    ~BlockBuilder();
    BlockBuilder(BlockBuilder&&) noexcept;
    BlockBuilder& operator=(BlockBuilder&&) noexcept;

    /// True once the block is full: take() it before the next add(). seq must grow.
    bool add(const nested::Transition& t);
    std::size_t count() const;  // transitions added since the last take()
    /// The block so far, or no bytes when it is empty; the next begins.
    Bytes take();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// What a block's head says, before anything is decompressed.
struct BlockHead {
    std::uint64_t first_seq = 0, last_seq = 0;
    std::uint64_t first_tsc = 0, last_tsc = 0;
    std::uint32_t count = 0;
    std::size_t size = 0;  // of the whole block, bytes
};
inline constexpr std::size_t kBlockHeadSize = 64;
/// Of at least kBlockHeadSize bytes. Fails for what is no block, is damaged, is of another version, or claims a size out of
/// proportion.
Result<BlockHead> block_head(std::span<const std::byte> bytes);

/// Calls `each` with every transition in order until it says false; the reference is valid during the call only. Checks
/// everything: a damaged block gives an Error, after the transitions before the damage.
Result<void> decode_block(std::span<const std::byte> block, const std::function<bool(const nested::Transition&)>& each);
/// The digests alone; made from the transitions where the block has none, or those of another derivation.
Result<std::vector<Digest>> block_digests(std::span<const std::byte> block);

}  // namespace vmxscope::core::trace
