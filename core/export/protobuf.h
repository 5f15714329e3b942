// Writes messages of Protocol Buffers (their wire format; there is no schema here).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vmxscope::core::exporting {

/// One message, field by field; its bytes are what() another message embeds, or a file has.
class Message {
  public:
    Message& number(std::uint32_t field, std::uint64_t n) {
        key(field, kVarint);
        varint(n);
        return *this;
    }
    /// Of a string (which must be UTF-8), bytes or an embedded message.
    Message& bytes(std::uint32_t field, std::string_view content) {
        key(field, kDelimited);
        varint(content.size());
        bytes_ += content;
        return *this;
    }
    Message& message(std::uint32_t field, const Message& m) { return bytes(field, m.bytes_); }

    const std::string& bytes() const { return bytes_; }

  private:
    static constexpr std::uint32_t kVarint = 0, kDelimited = 2;
    void key(std::uint32_t field, std::uint32_t type) { varint(std::uint64_t{field} << 3 | type); }
    void varint(std::uint64_t n) {
        for (; n >= 0x80; n >>= 7) bytes_ += static_cast<char>(n | 0x80);
        bytes_ += static_cast<char>(n);
    }

    std::string bytes_;
};

}  // namespace vmxscope::core::exporting
