// Numbers as bytes and back, for traces: fixed little-endian ones, variable ones (seven bits a byte, the lowest first,
// the top bit set on all but the last), and signed ones folded so that small ones are short either way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace vmxscope::core::trace {

using Bytes = std::vector<std::byte>;

constexpr std::uint64_t fold(std::uint64_t difference) {
    return (difference << 1) ^ (0 - (difference >> 63));
}
constexpr std::uint64_t unfold(std::uint64_t folded) {
    return (folded >> 1) ^ (0 - (folded & 1));
}

inline void put_byte(Bytes& out, std::uint8_t value) {
    out.push_back(static_cast<std::byte>(value));
}
inline void put_number(Bytes& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) put_byte(out, static_cast<std::uint8_t>(value | 0x80));
    put_byte(out, static_cast<std::uint8_t>(value));
}
inline void put_text(Bytes& out, std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    out.insert(out.end(), bytes.begin(), bytes.end());
}
/// The lowest `size` bytes, of 8 at most.
inline void put_fixed(Bytes& out, std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) put_byte(out, static_cast<std::uint8_t>(value >> (8 * i)));
}
constexpr std::uint64_t get_fixed(std::span<const std::byte> bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<std::uint64_t>(bytes[i]);
    return value;
}

/// Reads forward. Past the end, and after anything that is no number, it gives zeros and is no longer ok().
class Cursor {
  public:
    Cursor() = default;
    explicit Cursor(std::span<const std::byte> bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

    bool ok() const { return ok_; }
    std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
    bool finished() const { return ok_ && at_ == end_; }
    void spoil() {
        ok_ = false;
        at_ = end_;
    }

    std::uint8_t byte() {
        if (at_ == end_) return spoil(), std::uint8_t{0};
        return static_cast<std::uint8_t>(*at_++);
    }
    std::uint64_t number() {
        if (at_ != end_ && static_cast<std::uint8_t>(*at_) < 0x80) return static_cast<std::uint64_t>(*at_++);
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const std::uint64_t b = byte();
            if (shift == 63 && b > 1) break;
            value |= (b & 0x7f) << shift;
            if (b < 0x80) return value;
        }
        spoil();
        return 0;
    }
    /// At most `most`; more is an error.
    std::uint64_t number(std::uint64_t most) {
        const std::uint64_t value = number();
        if (value <= most) return value;
        spoil();
        return 0;
    }
    std::span<const std::byte> take(std::size_t size) {
        if (size > left()) return spoil(), std::span<const std::byte>{};
        at_ += size;
        return {at_ - size, size};
    }
    std::uint64_t fixed(std::size_t size) { return get_fixed(take(size)); }

  private:
    const std::byte* at_ = nullptr;
    const std::byte* end_ = nullptr;
    bool ok_ = true;
};

}  // namespace vmxscope::core::trace
