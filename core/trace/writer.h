// Makes a trace file (.vxt): head, blocks, and at the end an index that can be rebuilt from them.
#pragma once

#include <filesystem>

#include "core/fd.h"
#include "core/trace/block.h"
#include "core/trace/trace_info.h"

namespace vmxscope::core::trace {

class Writer {
  public:
    /// Makes the file anew; an existing one is an Error unless `replace`.
    static Result<Writer> create(const std::filesystem::path& path, const TraceInfo& info, BlockLimits limits = {},
                                 bool replace = false);
    Writer(Writer&&) noexcept;
    Writer& operator=(Writer&&) noexcept;
    ~Writer();  // finishes; what then fails is not told

    /// Full blocks are written at once, so what was added is in the file but for the newest block. After an Error (the
    /// disk is full) the file stays readable up to its last whole block, and every later call gives the same Error.
    Result<void> add(const nested::Transition& t);
    /// A block made elsewhere (the ring, another trace), as it is. Its transitions follow all those added.
    Result<void> add_block(std::span<const std::byte> block);
    /// Writes the block under way, however short it is.
    Result<void> flush();
    /// flush(), index, end of file. Nothing can be added any more.
    Result<void> finish();

    std::uint64_t transitions() const;
    std::uint64_t bytes() const;  // written so far

  private:
    struct State;
    explicit Writer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace vmxscope::core::trace
