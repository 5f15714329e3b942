#include "nested/transition_codec.h"

#include <gtest/gtest.h>

#include "nested/pdptr.h"
#include "random_transition.h"

namespace vmxscope::nested {
namespace {

std::span<const std::byte> bytes_of(const std::string& s) {
    return {reinterpret_cast<const std::byte*>(s.data()), s.size()};
}

TEST(Codec, WhatIsDecodedIsWhatWasEncoded) {
    std::mt19937_64 random(20240607);
    for (int i = 0; i < 500; ++i) {
        const Transition t = random_transition(random);
        const auto back = decode(bytes_of(encode(t)));
        ASSERT_TRUE(back) << back.error().what;
        ASSERT_EQ(*back, t) << "transition " << i;
    }
}

TEST(Codec, AnEmptyTransitionIsSmall) {
    const std::string code = encode(Transition{});
    EXPECT_LT(code.size(), 150u);
    EXPECT_EQ(decode(bytes_of(code)), Transition{});
}

TEST(Codec, UnchangedImagesCostLittle) {
    Transition t;
    for (std::size_t i = 0; i < vmx::kFieldCount; ++i) t.vmcs12_before.at_index(i) = vmx::Value::of(0x1234567890 + i);
    const std::size_t one = encode(t).size();
    t.vmcs12_after = t.vmcs12_before;
    EXPECT_LT(encode(t).size(), one + 50);
}

TEST(Codec, EveryTruncationIsRefused) {
    std::mt19937_64 random(7);
    for (int i = 0; i < 5; ++i) {
        const std::string code = encode(random_transition(random));
        for (std::size_t size = 0; size < code.size(); ++size) {
            const auto result = decode(bytes_of(code.substr(0, size)));
            ASSERT_FALSE(result) << size << " of " << code.size();
            ASSERT_LE(result.error().offset, size);
            ASSERT_FALSE(result.error().what.empty());
        }
    }
}

TEST(Codec, BytesAfterTheEndAreRefused) {
    EXPECT_FALSE(decode(bytes_of(encode(Transition{}) + "x")));
}

TEST(Codec, FlippedBitsNeverCrashAndNeverGrow) {
    std::mt19937_64 random(11);
    for (int i = 0; i < 60; ++i) {
        const std::string code = encode(random_transition(random));
        for (int flips = 0; flips < 200; ++flips) {
            std::string broken = code;
            for (std::size_t n = random() % 4 + 1; n > 0; --n)
                broken[random() % broken.size()] ^= static_cast<char>(1u << (random() % 8));
            if (const auto result = decode(bytes_of(broken))) {
                ASSERT_LE(result->evidence.size() + result->notes.size(), broken.size());
                (void)pdptr_verdict(*result);  // a strange transition may be judged strangely, but it is judged
            }
        }
    }
}

TEST(Codec, NoiseIsRefused) {
    std::mt19937_64 random(13);
    for (int i = 0; i < 2000; ++i) {
        std::string noise(random() % 300, ' ');
        for (char& c : noise) c = static_cast<char>(random());
        ASSERT_FALSE(decode(bytes_of(noise)));
    }
}

TEST(Codec, AnImpossibleCountIsRefusedBeforeAnythingIsAllocated) {
    // The last two bytes of an empty transition are the numbers (length 0) of lost records and of notes.
    std::string code = encode(Transition{});
    code.back() = 8;
    code += std::string(8, '\xff');
    const auto result = decode(bytes_of(code));
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().what.find("do not fit"), std::string::npos) << result.error().what;
}

TEST(Codec, AnotherVersionIsNamed) {
    std::string code = encode(Transition{});
    ASSERT_EQ(code[5], 1);  // length of the version, after the five bytes of the magic number
    code[6] = 99;
    const auto result = decode(bytes_of(code));
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().what.find("version 99"), std::string::npos) << result.error().what;
}

}  // namespace
}  // namespace vmxscope::nested
