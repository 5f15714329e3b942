#include "core/trace/section.h"

#include <zstd.h>

#include <array>

#include <fmt/format.h>

namespace vmxscope::core::trace {

struct Compressor::State {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    Bytes frame;
    ~State() { ZSTD_freeCCtx(context); }
};

Compressor::Compressor(int level) : state_(std::make_unique<State>()) {
    ZSTD_CCtx_setParameter(state_->context, ZSTD_c_compressionLevel, level);
}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

void Compressor::section(Bytes& out, std::span<const Bytes> streams, bool compress) {
    put_byte(out, static_cast<std::uint8_t>(streams.size()));
    Bytes data;
    for (const Bytes& stream : streams) {
        std::span<const std::byte> stored = stream;
        if (compress && stream.size() > 16) {
            state_->frame.resize(ZSTD_compressBound(stream.size()));
            const std::size_t size = ZSTD_compress2(state_->context, state_->frame.data(), state_->frame.size(),
                                                    stream.data(), stream.size());
            if (!ZSTD_isError(size) && size < stream.size()) stored = std::span(state_->frame).first(size);
        }
        put_number(out, stream.size());
        put_number(out, stored.size());
        data.insert(data.end(), stored.begin(), stored.end());
    }
    out.insert(out.end(), data.begin(), data.end());
}

struct Section::State {
    struct Stream {
        std::size_t raw = 0;
        std::span<const std::byte> stored;
        Bytes unpacked;
        bool is_unpacked = false;
    };
    ZSTD_DCtx* context = ZSTD_createDCtx();
    std::array<Stream, kMostStreams> streams;
    std::size_t count = 0;
    ~State() { ZSTD_freeDCtx(context); }
};

Section::Section() : state_(std::make_unique<State>()) {}
Section::~Section() = default;
Section::Section(Section&&) noexcept = default;
Section& Section::operator=(Section&&) noexcept = default;

Result<void> Section::open(std::span<const std::byte> section) {
    State& s = *state_;
    s.count = 0;
    Cursor in(section);
    const std::size_t count = in.byte();
    if (count > kMostStreams)
        return fail(fmt::format("A section has {} streams; {} are the most.", count, kMostStreams));
    std::size_t all = 0;
    std::array<std::size_t, kMostStreams> stored{};
    for (std::size_t i = 0; i < count; ++i) {
        s.streams[i].raw = in.number(kMostRaw);
        stored[i] = in.number(s.streams[i].raw);
        s.streams[i].is_unpacked = false;
        all += s.streams[i].raw;
    }
    if (all > kMostRaw) return fail(fmt::format("A section claims {} bytes; {} are the most.", all, kMostRaw));
    for (std::size_t i = 0; i < count; ++i) s.streams[i].stored = in.take(stored[i]);
    if (!in.finished()) return fail("The sizes of a section's streams are not those of the section.");
    s.count = count;
    return {};
}

Result<std::span<const std::byte>> Section::stream(std::size_t i) {
    State& s = *state_;
    if (i >= s.count) return std::span<const std::byte>{};
    State::Stream& stream = s.streams[i];
    if (stream.stored.size() == stream.raw) return stream.stored;
    if (!stream.is_unpacked) {
        // The frame's own word is asked first: nothing is made room for that it does not hold.
        if (ZSTD_getFrameContentSize(stream.stored.data(), stream.stored.size()) != stream.raw)
            return fail("A compressed stream is not of the size that its section says.");
        stream.unpacked.resize(stream.raw);
        const std::size_t size = ZSTD_decompressDCtx(s.context, stream.unpacked.data(), stream.unpacked.size(),
                                                     stream.stored.data(), stream.stored.size());
        if (ZSTD_isError(size) || size != stream.raw)
            return fail(fmt::format("A compressed stream cannot be unpacked{}.",
                                    ZSTD_isError(size) ? fmt::format(": {}", ZSTD_getErrorName(size)) : ""));
        stream.is_unpacked = true;
    }
    return std::span<const std::byte>(stream.unpacked);
}

}  // namespace vmxscope::core::trace
