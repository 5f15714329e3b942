#include "core/rsp/codec.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace vmxscope::core::rsp {
namespace {

using What = Event::What;

std::vector<Event> decode_all(std::string_view bytes, std::size_t piece = std::string_view::npos) {
    Decoder decoder;
    std::vector<Event> events;
    while (!bytes.empty()) {
        decoder.feed(bytes.substr(0, piece));
        bytes.remove_prefix(std::min(piece, bytes.size()));
        while (auto e = decoder.next()) events.push_back(*e);
    }
    return events;
}

Event packet(std::string text) {
    return {What::Packet, std::move(text)};
}

/// Exactly one event, and it is Garbled, with `words` in it.
void expect_garbled(std::string_view bytes, std::string_view words) {
    const auto events = decode_all(bytes);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].what, What::Garbled);
    EXPECT_NE(events[0].text.find(words), std::string::npos) << events[0].text;
}

TEST(Codec, FramesAsTheManualSays) {
    EXPECT_EQ(frame("OK"), "$OK#9a");
    EXPECT_EQ(frame(""), "$#00");
    EXPECT_EQ(frame("a#b$c}d*e"),
              "$a}\x03"
              "b}\x04"
              "c}]d}\x0a"
              "e#51");
}

TEST(Codec, WhatIsFramedIsDecodedAgainForEveryByteAndEverySplit) {
    std::string all;
    for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
    for (std::size_t piece = 1; piece < 8; ++piece)
        EXPECT_EQ(decode_all(frame(all) + frame("") + frame("x"), piece),
                  (std::vector<Event>{packet(all), packet(""), packet("x")}));
}

TEST(Codec, RandomPayloadsSurviveRandomSplits) {
    std::mt19937 random(1);
    for (int round = 0; round < 300; ++round) {
        std::string payload(random() % 500, '\0'), bytes;
        for (char& c : payload) c = random() % 3 == 0 ? "#$}*+-%\x03"[random() % 8] : static_cast<char>(random());
        EXPECT_EQ(decode_all(frame(payload), 1 + random() % 50), std::vector<Event>{packet(payload)});
    }
}

TEST(Codec, ExpandsRunLengths) {
    EXPECT_EQ(decode_payload("0* "), "0000");  // ' ' is 3 more
    EXPECT_EQ(decode_payload("a0*~b"), "a" + std::string(98, '0') + "b");
    EXPECT_EQ(decode_payload("}]* "), "}}}}");  // an escaped byte can be repeated
}

TEST(Codec, RefusesRunLengthsAndEscapesThatMakeNoSense) {
    EXPECT_FALSE(decode_payload("*a"));            // nothing to repeat
    EXPECT_FALSE(decode_payload("a*"));            // no count
    EXPECT_FALSE(decode_payload("a*\x1c"));        // a count below the least
    EXPECT_FALSE(decode_payload("a}"));            // nothing escaped
    EXPECT_FALSE(decode_payload("a*~*~*~", 100));  // expands beyond the limit
}

TEST(Codec, TellsAcksInterruptsAndNotifications) {
    EXPECT_EQ(decode_all("+-\x03%Stop:T05#99"),
              (std::vector<Event>{
                  {What::Ack, {}}, {What::Nack, {}}, {What::Interrupt, {}}, {What::Notification, "Stop:T05"}}));
}

TEST(Codec, AnInterruptByteInsideAPacketIsData) {
    EXPECT_EQ(decode_all(frame("a\x03z")), std::vector<Event>{packet("a\x03z")});
}

TEST(Codec, SaysWhatIsWrongWithAGarbledPacket) {
    expect_garbled("$OK#9b", "checksum is 9b, and its bytes add up to 9a");
    expect_garbled("$OK#zz", "without a checksum");
    expect_garbled("$a}#de", "escapes");
    expect_garbled("GET / HTTP/1.1\r\n", "16 bytes came that belong to no packet");
}

TEST(Codec, APacketWithoutEndDoesNotTakeTheNextOneWithIt) {
    const auto events = decode_all("$abc$OK#9a");
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[0].what, What::Garbled);
    EXPECT_EQ(events[1], packet("OK"));
}

TEST(Codec, AnOverlongPacketIsRefusedAndTheNextOneRead) {
    const auto events = decode_all("$" + std::string(kMaxPacket + 1, 'a') + "#00$OK#9a", 4096);
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[0].what, What::Garbled);
    EXPECT_NE(events[0].text.find("longer than 131072"), std::string::npos);
    EXPECT_EQ(events[1], packet("OK"));
}

TEST(Codec, TheLongestPacketIsRead) {
    const std::string longest(kMaxPacket, 'a');
    EXPECT_EQ(decode_all(frame(longest), 5000), std::vector<Event>{packet(longest)});
}

TEST(Codec, FittingPrefixCountsEscapes) {
    EXPECT_EQ(fitting_prefix("abc", 3), 3u);
    EXPECT_EQ(fitting_prefix("abc", 2), 2u);
    EXPECT_EQ(fitting_prefix("a#c", 2), 1u);  // the escaped '#' takes two
    EXPECT_EQ(fitting_prefix("a#c", 3), 2u);
}

TEST(Hex, ReadsBackWhatItWrites) {
    EXPECT_EQ(to_hex(std::string_view("\0\x7f\xff", 3)), "007fff");
    EXPECT_EQ(from_hex("007FfF"), std::string("\0\x7f\xff", 3));
    EXPECT_FALSE(from_hex("0"));
    EXPECT_FALSE(from_hex("0g"));
    EXPECT_EQ(parse_hex("ffffffffffffffff"), ~0ULL);
    EXPECT_FALSE(parse_hex("10000000000000000"));
    EXPECT_FALSE(parse_hex(""));
    EXPECT_FALSE(parse_hex("-1"));
}

}  // namespace
}  // namespace vmxscope::core::rsp
