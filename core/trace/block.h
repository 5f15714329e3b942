// A block: some hundred transitions, encoded as differences within it, compressed, checked by a checksum and readable
// by itself. What a trace file is made of, and what the agent sends of its past. docs/trace-format.md says how it
// looks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/result.h"
#include "core/trace/digest.h"
#include "core/trace/payload.h"
#include "nested/transition.h"

namespace vmxscope::core::trace {

struct BlockLimits {
    std::size_t transitions = 512;  // at most 65,536
    std::size_t bytes = 1u << 20;   // of the encoding before compression; a block never takes more than 16 MiB
    int level = 3;                  // zstd's
    bool digests = true;            // without them the block is cheaper to make; readers make them themselves
};

/// The transitions of a session in order go in, blocks come out. Keeps the state that differences are made from; each
/// block begins without any.
class BlockBuilder {
  public:
    explicit BlockBuilder(BlockLimits limits = {});
    ~BlockBuilder();
    BlockBuilder(BlockBuilder&&) noexcept;
    BlockBuilder& operator=(BlockBuilder&&) noexcept;

    /// True once the block is full: take() it before the next add(). seq must grow. Evidence and texts of one
    /// transition that take more than 6 MiB are left out, and a note says so.
    bool add(const nested::Transition& t);
    std::size_t count() const;       // transitions added since the last take()
    std::size_t bytes() const;       // of their encoding, before compression
    std::uint64_t last_seq() const;  // of all that were added; 0 = none
    /// The block so far, or no bytes when it is empty; the next begins.
    Bytes take();
    /// The block so far, not compressed, or no bytes; it goes on.
    Bytes peek() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// What a block's head says, before anything is decompressed.
struct BlockHead {
    std::uint64_t first_seq = 0, last_seq = 0;
    std::uint64_t first_tsc = 0, last_tsc = 0;  // the lowest and the highest
    std::uint64_t lost = 0;                     // records, all transitions' lost_before together
    std::uint32_t count = 0;
    std::size_t columns = 0;  // bytes from the block's start that digests and changed fields need
    std::size_t size = 0;     // of the whole block, bytes
    bool operator==(const BlockHead&) const = default;
};
inline constexpr std::size_t kBlockHeadSize = 72;
/// Of at least kBlockHeadSize bytes. Fails for what is no block, is damaged, is of another version, or claims a size
/// out of proportion.
Result<BlockHead> block_head(std::span<const std::byte> bytes);

/// Gives a block's transitions one after another.
class BlockReader {
  public:
    /// Checks the head and both checksums.
    static Result<BlockReader> open(Bytes block);
    BlockReader(BlockReader&&) noexcept;
    BlockReader& operator=(BlockReader&&) noexcept;
    ~BlockReader();

    const BlockHead& head() const;
    /// The next transition, valid until the next call; nullptr after the last.
    Result<const nested::Transition*> next();
    /// The transition of that number, valid until the next call; nullptr: the block has none. next() then gives the one
    /// after it. Quick forward; backward it begins at the block's start again.
    Result<const nested::Transition*> find(std::uint64_t seq);

  private:
    struct State;
    explicit BlockReader(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

/// Calls `each` with every transition in order until it says false; the reference is valid during the call only. Checks
/// everything: a damaged block gives an Error, after the transitions before the damage.
Result<void> decode_block(std::span<const std::byte> block, const std::function<bool(const nested::Transition&)>& each);
/// The digests alone; made from the transitions where the block has none, or those of another derivation.
Result<std::vector<Digest>> block_digests(std::span<const std::byte> block);
/// The fields that any of the block's transitions changed, or were changed since the one before it of that vCPU, the
/// one in the block before included. Needs the first BlockHead::columns bytes only.
Result<ChangedFields> block_changes(std::span<const std::byte> block);

}  // namespace vmxscope::core::trace
