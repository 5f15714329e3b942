// Reading a trace file. Opens in the time that its index takes; holds no more than a few blocks in memory, whatever the
// file's size. Not thread-safe: each thread opens its own.
#pragma once

#include <array>
#include <filesystem>
#include <functional>

#include "core/trace/block.h"
#include "core/trace/trace_info.h"

namespace vmxscope::core::trace {

class Trace {
  public:
    /// A file that was cut, or whose index is missing, opens up to its last whole block, and damage() says so. Fails
    /// for what is not a trace, comes from a later version, or cannot be read.
    static Result<Trace> open(const std::filesystem::path& path);
    Trace(Trace&&) noexcept;
    Trace& operator=(Trace&&) noexcept;
    ~Trace();

    const TraceInfo& info() const;
    const std::filesystem::path& path() const;
    /// What is missing or unreadable, one sentence each; empty for a whole file. Grows when a block proves damaged as
    /// it is read.
    const std::vector<std::string>& damage() const;

    std::uint64_t count() const;  // transitions
    std::uint64_t first() const;  // seq; 0 = there is none
    std::uint64_t last() const;
    std::uint64_t bytes() const;  // of the file
    std::uint64_t lost() const;   // records lost while recording, as the transitions tell

    /// Fails when there is none of that number (a gap, or outside).
    Result<nested::Transition> transition(std::uint64_t seq) const;
    /// seq of the newest transition at or before `tsc`; of the first when all are after it; 0 = there is none.
    std::uint64_t at_tsc(std::uint64_t tsc) const;

    std::size_t blocks() const;
    const BlockHead& block(std::size_t i) const;
    Result<std::size_t> block_of(std::uint64_t seq) const;  // that has it, or where it would be
    Result<Bytes> block_bytes(std::size_t i) const;
    /// The digests of one block, valid until the next call.
    Result<std::span<const Digest>> digests(std::size_t i) const;

    /// Which fields the block's transitions changed: others need not be looked for there.
    Result<ChangedFields> changed(std::size_t i) const;

    /// Every transition from `first` on, in order, until `each` says false. What is damaged is left out and added to
    /// damage().
    Result<void> scan(std::uint64_t first, const std::function<bool(const nested::Transition&)>& each) const;
    /// Reads every block and checks its checksums and columns, for damage().
    void verify() const;

  private:
    struct State;
    explicit Trace(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace vmxscope::core::trace
