#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "plugins/kvm/device.h"

namespace vmxscope::kvm {
namespace {

constexpr std::uint32_t kHeader = sizeof(vmxscope_record);
static_assert(kHeader == 88);

/// A ring written as the module's ring_write() does it: whole records, padding where one would wrap.
class Writer {
  public:
    /// `before`: bytes ever written and read already.
    explicit Writer(std::size_t size, std::uint64_t before = 0)
        : bytes(new std::byte[size]{}), tail(before), head(before), size_(size) {}

    void record(std::uint16_t type, std::uint32_t payload, std::uint64_t tsc = 0) {
        vmxscope_record h{};
        h.size = kHeader + payload;
        h.type = type;
        h.tsc = tsc;
        const std::size_t to_end = size_ - (head & (size_ - 1));
        if (h.size > to_end) raw(static_cast<std::uint32_t>(to_end), VMXSCOPE_REC_PAD, to_end);
        const std::size_t at = head & (size_ - 1);
        std::memcpy(bytes.get() + at, &h, sizeof h);
        std::memset(bytes.get() + at + sizeof h, static_cast<int>(tsc), payload);
        head += h.size;
    }
    /// The first bytes of a record that says it has `said` bytes, and takes `taken` of the ring.
    void raw(std::uint32_t said, std::uint16_t type, std::size_t taken) {
        vmxscope_record h{};
        h.size = said;
        h.type = type;
        const std::size_t at = head & (size_ - 1);
        std::memcpy(bytes.get() + at, &h, std::min({sizeof h, taken, size_ - at}));
        head += taken;
    }
    core::Result<std::uint64_t> walk(const std::function<void(const RawRecord&)>& visit) const {
        return walk_ring({bytes.get(), size_}, tail, head, visit);
    }

    std::unique_ptr<std::byte[]> bytes;  // on the heap, exactly as long: for asan
    std::uint64_t tail, head;

  private:
    std::size_t size_;
};

std::vector<std::uint64_t> seen(const Writer& w) {
    std::vector<std::uint64_t> out;
    const auto tail = w.walk([&](const RawRecord& r) {
        out.push_back(r.header.tsc);
        for (const std::byte b : r.payload) EXPECT_EQ(b, static_cast<std::byte>(r.header.tsc));
        EXPECT_EQ(r.payload.size(), r.header.size - kHeader);
    });
    EXPECT_EQ(tail, w.head);
    return out;
}

std::string error_of(const Writer& w) {
    const auto tail = w.walk([](const RawRecord&) { ADD_FAILURE() << "visited"; });
    return tail ? "" : tail.error().what;
}

TEST(WalkRing, RecordsComeInOrderWithTheirPayload) {
    Writer w(1024);
    for (std::uint64_t i = 1; i <= 3; ++i) w.record(VMXSCOPE_REC_HOOK, 8 * static_cast<std::uint32_t>(i), i);
    EXPECT_EQ(seen(w), (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST(WalkRing, ChangesHaveTheirRegistersAtTheEndIfAny) {
    constexpr std::uint32_t kShort = offsetof(vmxscope_record, regs);
    Writer w(1024);
    vmxscope_record h{};
    const auto write = [&](std::uint32_t size, std::uint32_t flags, std::initializer_list<std::uint64_t> rest) {
        h.type = VMXSCOPE_REC_CHANGES;
        h.size = size;
        h.flags = flags;
        std::memcpy(w.bytes.get() + w.head, &h, kShort);
        std::memcpy(w.bytes.get() + w.head + kShort, rest.begin(), 8 * rest.size());
        w.head += size;
    };
    write(kShort + 8, 0, {11});
    write(kShort + 7 * 8, VMXSCOPE_REC_REGS, {22, 1, 2, 3, 4, 5, 6});
    std::vector<std::uint64_t> first_registers, payloads;
    EXPECT_EQ(w.walk([&](const RawRecord& r) {
        first_registers.push_back(r.header.regs[0]);
        ASSERT_EQ(r.payload.size(), 8u);
        std::memcpy(&payloads.emplace_back(), r.payload.data(), 8);
    }), w.head);
    EXPECT_EQ(first_registers, (std::vector<std::uint64_t>{0, 1}));
    EXPECT_EQ(payloads, (std::vector<std::uint64_t>{11, 22}));

    for (const std::uint32_t flags : {0u, VMXSCOPE_REC_REGS}) {
        w.head = 0;
        write(flags ? kHeader - 8 : kShort - 8, flags, {});
        EXPECT_NE(error_of(w).find("impossible size"), std::string::npos) << flags;
    }
}

TEST(WalkRing, AnEmptyRingHasNoRecords) { EXPECT_TRUE(seen(Writer(1024, 12345 * 8)).empty()); }

TEST(WalkRing, AFullRingIsReadWhole) {
    Writer w(1024, 512);
    w.record(VMXSCOPE_REC_HOOK, 512 - kHeader, 1);
    w.record(VMXSCOPE_REC_HOOK, 512 - kHeader, 2);
    EXPECT_EQ(w.head - w.tail, 1024u);
    EXPECT_EQ(seen(w), (std::vector<std::uint64_t>{1, 2}));
}

TEST(WalkRing, PaddingAtTheWrapIsPassedBy) {
    Writer w(1024, 800);
    w.record(VMXSCOPE_REC_OP, 0, 1);
    w.record(VMXSCOPE_REC_HOOK, 200, 2);
    EXPECT_EQ(seen(w), (std::vector<std::uint64_t>{1, 2}));
}

TEST(WalkRing, PaddingShorterThanAHeaderIsPassedBy) {
    for (std::uint64_t to_end = 8; to_end < kHeader; to_end += 8) {
        Writer w(1024, 1024 - to_end);
        w.record(VMXSCOPE_REC_HOOK, 16, 7);
        EXPECT_EQ(w.head, 1024 + kHeader + 16);
        EXPECT_EQ(seen(w), (std::vector<std::uint64_t>{7})) << to_end;
    }
}

TEST(WalkRing, TheCountsMayRunOverSixtyFourBits) {
    Writer w(1024, ~0ull - 7 - 104);
    w.record(VMXSCOPE_REC_HOOK, 16, 1);
    w.record(VMXSCOPE_REC_HOOK, 16, 2);
    EXPECT_LT(w.head, w.tail);
    EXPECT_EQ(seen(w), (std::vector<std::uint64_t>{1, 2}));
}

TEST(WalkRing, AnImpossibleSizeIsAnErrorThatNamesIt) {
    for (const std::uint32_t size : {0u, 4u, 12u, 80u, 92u, 2048u, 0xfffffff8u, 0xffffffffu}) {
        Writer w(1024);
        w.raw(size, VMXSCOPE_REC_HOOK, 1024);
        EXPECT_NE(error_of(w).find(std::to_string(size) + " bytes"), std::string::npos) << size;
    }
    for (const std::uint32_t size : {0u, 4u, 12u, 2048u}) {
        Writer w(1024);
        w.raw(size, VMXSCOPE_REC_PAD, 1024);
        EXPECT_NE(error_of(w), "") << size;
    }
}

TEST(WalkRing, ARecordThatReachesOverTheRingsEndIsAnError) {
    Writer w(1024, 1024 - 96);
    w.raw(104, VMXSCOPE_REC_HOOK, 104);
    EXPECT_NE(error_of(w), "");
}

TEST(WalkRing, ARecordThatReachesOverTheHeadIsAnError) {
    Writer w(1024);
    w.raw(104, VMXSCOPE_REC_HOOK, 96);
    EXPECT_NE(error_of(w), "");
    Writer half(1024);
    half.raw(8, VMXSCOPE_REC_PAD, 4);
    EXPECT_NE(error_of(half), "");
}

TEST(WalkRing, WhatCameBeforeADamagedRecordIsVisited) {
    Writer w(1024);
    w.record(VMXSCOPE_REC_HOOK, 0, 1);
    w.raw(3, VMXSCOPE_REC_HOOK, kHeader);
    int visits = 0;
    EXPECT_FALSE(w.walk([&](const RawRecord&) { ++visits; }));
    EXPECT_EQ(visits, 1);
}

TEST(WalkRing, ImpossibleHeadAndTailAreAnError) {
    Writer w(1024);
    w.head = 1025;
    EXPECT_NE(error_of(w).find("head and tail"), std::string::npos);
    w.head = 0;
    w.tail = 8;
    EXPECT_NE(error_of(w).find("head and tail"), std::string::npos);
}

TEST(WalkRing, WhatIsWrittenIsReadWhateverTheSizes) {
    std::mt19937 random(3);
    Writer w(4096, 8 * (random() % 512));
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::uint64_t> written;
        for (unsigned n = random() % 4; n-- > 0;) {
            const auto payload = static_cast<std::uint32_t>(8 * (random() % 100));
            written.push_back(random());
            w.record(VMXSCOPE_REC_HOOK, payload, written.back());
        }
        EXPECT_EQ(seen(w), written);
        w.tail = w.head;
    }
}

TEST(WalkRing, RandomBytesAreNeverReadBeyondTheRing) {
    std::mt19937_64 random(4);
    for (int round = 0; round < 5000; ++round) {
        Writer w(256, 0);
        for (std::size_t i = 0; i < 256; i += 8) {
            const std::uint16_t types[] = {VMXSCOPE_REC_PAD, VMXSCOPE_REC_HOOK, VMXSCOPE_REC_CHANGES};
            const vmxscope_record likely{.size = static_cast<std::uint32_t>(8 * (random() % 20)),
                                         .type = types[random() % 3], .hook = 0, .slot = 0, .tid = 0, .tsc = 0,
                                         .lost = 0, .flags = 0, .first = 0, .nr = 0, .regs = {}};
            const std::uint64_t noise = random();
            std::memcpy(w.bytes.get() + i, random() % 4 ? static_cast<const void*>(&likely) : &noise, 8);
        }
        w.tail = random() % 1024;
        w.head = w.tail + random() % 300;
        std::uint64_t visited = 0;
        const std::byte *first = w.bytes.get(), *last = first + 256;
        const auto tail = w.walk([&](const RawRecord& r) {
            visited += r.header.size;
            ASSERT_GE(r.payload.data(), first);
            ASSERT_LE(r.payload.data() + r.payload.size(), last);
        });
        EXPECT_LE(visited, 256u);
        if (tail) { EXPECT_EQ(*tail, w.head); }
    }
}

}  // namespace
}  // namespace vmxscope::kvm
