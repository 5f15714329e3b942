#include "core/rsp/codec.h"

#include <fmt/format.h>

#include <algorithm>

namespace vmxscope::core::rsp {

namespace {

constexpr char kInterrupt = '\x03';
constexpr char kEscape = '}';
constexpr char kEscapeBit = 0x20;
constexpr char kRunLength = '*';
constexpr char kRunBias = 29;  // a run-length character is the number of repeats + 29, and printable

constexpr bool needs_escape(char c) {
    return c == '#' || c == '$' || c == kEscape || c == kRunLength;
}

/// How many bytes from `at` on come before one that `ends`: what is copied in one go.
template <typename Ends>
std::size_t run_length(std::string_view bytes, std::size_t at, Ends ends) {
    return static_cast<std::size_t>(std::find_if(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), ends) - bytes.begin()) - at;
}

std::uint8_t sum_of(std::string_view bytes) {
    unsigned sum = 0;
    for (const char c : bytes) sum += static_cast<unsigned char>(c);
    return static_cast<std::uint8_t>(sum);
}

std::optional<unsigned> digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return {};
}

}  // namespace

std::string frame(std::string_view payload, char begin) {
    std::string out(1, begin);
    out.reserve(payload.size() + payload.size() / 8 + 4);
    for (std::size_t i = 0; i < payload.size(); ++i) {
        const std::size_t run = run_length(payload, i, [](char c) { return needs_escape(c); });
        out.append(payload, i, run);
        if ((i += run) == payload.size()) break;
        out += kEscape;
        out += static_cast<char>(payload[i] ^ kEscapeBit);
    }
    const std::uint8_t sum = sum_of(std::string_view(out).substr(1));
    return out += fmt::format("#{:02x}", sum);
}

std::size_t fitting_prefix(std::string_view payload, std::size_t room) {
    std::size_t used = 0;
    for (std::size_t i = 0; i < payload.size(); ++i) {
        used += needs_escape(payload[i]) ? 2 : 1;
        if (used > room) return i;
    }
    return payload.size();
}

std::optional<std::string> decode_payload(std::string_view raw, std::size_t limit) {
    std::string out;
    out.reserve(raw.size());
    for (std::size_t i = 0; i < raw.size(); ++i) {
        const std::size_t run = run_length(raw, i, [](char c) { return c == kEscape || c == kRunLength; });
        out.append(raw, i, run);
        if (out.size() > limit) return {};
        if ((i += run) == raw.size()) break;
        const char mark = raw[i];
        if (++i == raw.size()) return {};
        if (mark == kEscape) {
            out += static_cast<char>(raw[i] ^ kEscapeBit);
        } else {
            if (out.empty() || raw[i] < ' ' || raw[i] > '~') return {};
            out.append(static_cast<std::size_t>(raw[i] - kRunBias), out.back());
        }
        if (out.size() > limit) return {};
    }
    return out;
}

void Decoder::feed(std::string_view bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (at_ == At::Payload) {
            const std::size_t run = run_length(bytes, i, [](char c) { return c == '#' || c == '$'; });
            take_payload(bytes.substr(i, run));
            if ((i += run) == bytes.size()) return;
        }
        take(bytes[i]);
    }
}

void Decoder::take_payload(std::string_view some) {
    const std::string_view fits = some.substr(0, kMaxPacket - raw_.size());
    if (fits.size() != some.size()) overlong_ = true;
    raw_ += fits;
    sum_ = static_cast<std::uint8_t>(sum_ + sum_of(fits));
}

std::optional<Event> Decoder::next() {
    if (at_ == At::Outside) end_noise();
    if (events_.empty()) return {};
    Event e = std::move(events_.front());
    events_.pop_front();
    return e;
}

void Decoder::take(char c) {
    switch (at_) {
        case At::Outside:
            return outside(c);
        case At::Payload:
            // A '$' is always escaped in a payload, so here the end of the packet before it went missing.
            if (c == '$') {
                garbled("a packet had no end before the next one began");
                return begin(c);
            }
            at_ = At::Checksum1;  // it is a '#'
            return;
        case At::Checksum1:
            first_digit_ = c;
            at_ = At::Checksum2;
            return;
        case At::Checksum2:
            return end_packet(c);
    }
}

void Decoder::outside(char c) {
    const auto simple = [&](Event::What what) {
        end_noise();
        events_.push_back({what, {}});
    };
    switch (c) {
        case '$':
        case '%':
            return begin(c);
        case '+':
            return simple(Event::What::Ack);
        case '-':
            return simple(Event::What::Nack);
        case kInterrupt:
            return simple(Event::What::Interrupt);
        default:
            ++noise_;
    }
}

void Decoder::begin(char c) {
    end_noise();
    at_ = At::Payload;
    notification_ = c == '%';
    overlong_ = false;
    sum_ = 0;
    raw_.clear();
}

void Decoder::end_noise() {
    if (noise_ != 0) garbled(fmt::format("{} bytes came that belong to no packet", noise_));
    noise_ = 0;
}

void Decoder::end_packet(char second_digit) {
    at_ = At::Outside;
    if (overlong_) return garbled(fmt::format("a packet was longer than {} bytes", kMaxPacket));
    const auto high = digit(first_digit_), low = digit(second_digit);
    if (!high || !low) return garbled("a packet ended without a checksum");
    const unsigned said = *high << 4 | *low;
    if (said != sum_)
        return garbled(fmt::format("a packet's checksum is {:02x}, and its bytes add up to {:02x}", said, sum_));
    auto payload = decode_payload(raw_);
    if (!payload) return garbled("a packet's escapes or run lengths make no sense");
    events_.push_back({notification_ ? Event::What::Notification : Event::What::Packet, std::move(*payload)});
}

std::string to_hex(std::string_view bytes) {
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    out.reserve(2 * bytes.size());
    for (unsigned char c : bytes) {
        out += digits[c >> 4];
        out += digits[c & 15];
    }
    return out;
}

std::optional<std::string> from_hex(std::string_view hex) {
    if (hex.size() % 2 != 0) return {};
    std::string out;
    out.reserve(hex.size() / 2);
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        const auto high = digit(hex[i]), low = digit(hex[i + 1]);
        if (!high || !low) return {};
        out += static_cast<char>(*high << 4 | *low);
    }
    return out;
}

std::optional<std::uint64_t> parse_hex(std::string_view digits) {
    if (digits.empty() || digits.size() > 16) return {};
    std::uint64_t value = 0;
    for (char c : digits) {
        const auto d = digit(c);
        if (!d) return {};
        value = value << 4 | *d;
    }
    return value;
}

}  // namespace vmxscope::core::rsp
