// A section of a block: several streams of bytes, each compressed by itself, so that like stands with like.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/result.h"
#include "core/trace/bytes.h"

namespace vmxscope::core::trace {

inline constexpr std::size_t kMostRaw = 16u << 20;  // bytes of a section's streams, together
inline constexpr std::size_t kMostStreams = 16;

/// zstd's working memory, used again and again.
class Compressor {
  public:
    explicit Compressor(int level);
    ~Compressor();
    Compressor(Compressor&&) noexcept;
    Compressor& operator=(Compressor&&) noexcept;

    /// Appends the section. `compress` false stores the streams as they are.
    void section(Bytes& out, std::span<const Bytes> streams, bool compress = true);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The streams of a section. Owns what was decompressed; what was stored stays where it was.
class Section {
  public:
    Section();
    ~Section();
    Section(Section&&) noexcept;
    Section& operator=(Section&&) noexcept;

    /// Reads the section's directory; the bytes must outlive this. Streams are decompressed when they are asked for.
    Result<void> open(std::span<const std::byte> section);
    /// A stream that the section has not is empty. Valid until the next open().
    Result<std::span<const std::byte>> stream(std::size_t i);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace vmxscope::core::trace
