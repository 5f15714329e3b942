// The framing of the GDB remote protocol, for both sides: $payload#checksum, escapes, run-length, acks, 0x03.
// Pure: bytes in, events out. (gdb manual, "Remote Protocol: Overview".)
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace vmxscope::core::rsp {

/// No packet's payload is longer than this, in either direction, as it crosses the wire (PacketSize=20000).
inline constexpr std::size_t kMaxPacket = 0x20000;

/// `payload` ready to send: "$…#cs", with '#', '$', '}' and '*' escaped. Its escaped form must fit kMaxPacket. A
/// notification begins with '%'.
std::string frame(std::string_view payload, char begin = '$');

/// How many bytes at the start of `payload` fit into `room` bytes once escaped.
std::size_t fitting_prefix(std::string_view payload, std::size_t room);

struct Event {
    enum class What : std::uint8_t {
        Packet,        // `text` is the payload, unescaped and expanded
        Notification,  // the same, begun with '%'
        Ack,           // '+'
        Nack,          // '-'
        Interrupt,     // 0x03
        Garbled,       // a packet that cannot be used; `text` says in words what was wrong with it
    };
    What what = What::Packet;
    std::string text;
    bool operator==(const Event&) const = default;
};

/// Takes bytes as they come from the peer, in pieces of any size, and gives what they mean. Never keeps more than one
/// packet's bytes, whatever the peer sends; the events not yet taken are the caller's to bound.
class Decoder {
  public:
    void feed(std::string_view bytes);
    std::optional<Event> next();  // empty: more bytes are needed

  private:
    enum class At : std::uint8_t { Outside, Payload, Checksum1, Checksum2 };

    void take_payload(std::string_view some);  // what comes before the next '#' or '$'
    void take(char c);
    void outside(char c);
    void begin(char c);
    void end_packet(char second_digit);
    void garbled(std::string why) { events_.push_back({Event::What::Garbled, std::move(why)}); }
    void end_noise();

    At at_ = At::Outside;
    bool notification_ = false;
    bool overlong_ = false;
    char first_digit_ = 0;
    std::uint8_t sum_ = 0;
    std::size_t noise_ = 0;  // bytes outside any packet, so far
    std::string raw_;        // the payload as it crosses the wire
    std::deque<Event> events_;
};

/// Undoes escapes and run-length. Empty when `raw` is no valid payload, or expands beyond `limit` bytes.
std::optional<std::string> decode_payload(std::string_view raw, std::size_t limit = kMaxPacket);

// Hexadecimal, as packets use it.
std::string to_hex(std::string_view bytes);
std::optional<std::string> from_hex(std::string_view hex);        // empty: odd length, or not hex
std::optional<std::uint64_t> parse_hex(std::string_view digits);  // all of `digits`: 1 to 16 of them

}  // namespace vmxscope::core::rsp
