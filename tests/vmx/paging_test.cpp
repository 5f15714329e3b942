#include "vmx/paging.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace vmxscope::vmx {
namespace {

/// Memory that holds what was put there; everything else reads as 0, and `hole` cannot be read.
struct Memory {
    std::map<std::uint64_t, std::uint64_t> qwords;
    std::optional<std::uint64_t> hole;
    ReadQword reader() const {
        return [this](std::uint64_t at) -> std::optional<std::uint64_t> {
            EXPECT_EQ(at % 8, 0u);
            if (hole && at / 4096 == *hole / 4096) return std::nullopt;
            const auto found = qwords.find(at);
            return found == qwords.end() ? 0 : found->second;
        };
    }
};

constexpr std::uint64_t kEptp4 = 0x1000 | 3 << 3 | 6;
constexpr std::uint64_t kRwx = 7;
constexpr std::uint64_t kWb = 6 << 3;

TEST(EptWalk, FourLevelsLeadToAPage) {
    Memory m;
    m.qwords = {{0x1000 + 8, 0x2000 | kRwx},  // GPA 0x8040201000 + 0x123: index 1 at every level
                {0x2000 + 8, 0x3000 | kRwx},
                {0x3000 + 8, 0x4000 | kRwx},
                {0x4000 + 8, 0xabc000 | kRwx | kWb}};
    const Walk w = walk_ept(kEptp4, 0x8040201123, 46, m.reader());
    EXPECT_EQ(w.fault, WalkFault::None);
    EXPECT_EQ(w.physical, 0xabc123u);
    EXPECT_EQ(w.page_size, 4096u);
    ASSERT_EQ(w.steps.size(), 4u);
    EXPECT_EQ(w.steps[0], (WalkStep{4, 0x1008, 0x2007}));
    EXPECT_EQ(w.steps[3], (WalkStep{1, 0x4008, 0xabc037}));
}

TEST(EptWalk, LargePagesEndTheWalkEarly) {
    Memory m;
    m.qwords = {{0x1000, 0x2000 | kRwx},
                {0x2000, 0x3000 | kRwx},
                {0x2008, 0x1c0000000 | kRwx | kWb | 1 << 7},
                {0x3000 + 8 * 3, 0x800000 | kRwx | kWb | 1 << 7}};
    const Walk two = walk_ept(kEptp4, 0x6abcde, 46, m.reader());
    EXPECT_EQ(two.physical, 0x8abcdeu);
    EXPECT_EQ(two.page_size, 2u << 20);
    const Walk one = walk_ept(kEptp4, 0x40000000 + 0x1234567, 46, m.reader());
    EXPECT_EQ(one.physical, 0x1c1234567u);
    EXPECT_EQ(one.page_size, 1u << 30);
    EXPECT_EQ(one.steps.size(), 2u);
}

TEST(EptWalk, FaultsAreToldApart) {
    Memory m;
    m.qwords = {{0x1000, 0x2000 | kRwx}, {0x2000, 0x3002}};
    EXPECT_EQ(walk_ept(kEptp4, 1ULL << 39, 46, m.reader()).fault, WalkFault::NotPresent);
    const Walk bad = walk_ept(kEptp4, 0, 46, m.reader());
    EXPECT_EQ(bad.fault, WalkFault::Misconfigured) << "W without R";
    EXPECT_EQ(bad.steps.size(), 2u);
    EXPECT_FALSE(bad.physical);
    m.hole = 0x2000;
    EXPECT_EQ(walk_ept(kEptp4, 0, 46, m.reader()).fault, WalkFault::Unreadable);
    EXPECT_EQ(walk_ept(kEptp4, 1ULL << 48, 46, m.reader()).fault, WalkFault::BadAddress);
    EXPECT_EQ(walk_ept(0x1000 | 2 << 3, 0, 46, m.reader()).fault, WalkFault::BadRoot);
}

TEST(EptWalk, FiveLevelsReachAddressesOf57Bits) {
    Memory m;
    m.qwords = {{0x1010, 0x2000 | kRwx}, {0x2000, 0x3000 | kRwx}, {0x3000, 1ULL << 30 | kRwx | kWb | 1 << 7}};
    const Walk w = walk_ept(0x1000 | 4 << 3 | 6, (1ULL << 49) + 5, 52, m.reader());
    EXPECT_EQ(w.physical, (1ULL << 30) + 5);
    EXPECT_EQ(w.steps[0].level, 5u);
}

TEST(EptEntry, ReservedBitsDependOnTheLevel) {
    EntryRules rules{.format = EntryFormat::Ept, .maxphyaddr = 46};
    EXPECT_EQ(decode_entry(4, 0x2000 | kRwx | 1 << 7, rules).reserved, 1u << 7);
    EXPECT_EQ(decode_entry(3, 0x2000 | kRwx | 1 << 3, rules).reserved, 1u << 3);
    EXPECT_EQ(decode_entry(2, 0x201000 | kRwx | kWb | 1 << 7, rules).reserved, 0x1000u);
    EXPECT_EQ(decode_entry(1, 0x2000 | kRwx | kWb | 1ULL << 46, rules).reserved, 1ULL << 46);
    EXPECT_EQ(decode_entry(1, 0x2000 | kRwx | kWb | 1ULL << 52, rules).reserved, 0u) << "63:52 are not";
    EXPECT_TRUE(decode_entry(1, 0x2000 | kRwx | 2 << 3, rules).faulting()) << "memory type 2";
    EXPECT_FALSE(decode_entry(1, 0x2004 | kWb, rules).faulting());
    rules.execute_only = false;
    EXPECT_TRUE(decode_entry(1, 0x2004 | kWb, rules).faulting());
    EXPECT_FALSE(decode_entry(1, 0x2400, rules).present);
    rules.mode_based_exec = true;
    EXPECT_TRUE(decode_entry(1, 0x2400, rules).present);
}

TEST(EptEntry, IsDescribedInWords) {
    const EntryRules rules{.format = EntryFormat::Ept, .maxphyaddr = 46};
    EXPECT_EQ(describe_entry(4, 0x5107, rules), "table at 0x5000, R W X A");
    EXPECT_EQ(describe_entry(2, 0x2003b3, rules), "2-MByte page at 0x200000, R W A D, WB");
    EXPECT_EQ(describe_entry(1, 0, rules), "not present");
    EXPECT_EQ(describe_entry(3, 0x5027, rules), "present, reserved bits 0x20 set");
    EXPECT_EQ(describe_entry(3, 0x5002, rules), "misconfigured: writable but not readable");
}

constexpr std::uint64_t kPg = 0x80000001, kPae = 0x20;

TEST(LinearWalk, WithoutPagingAnAddressIsItself) {
    const Walk w = walk_linear({.cr0 = 1}, 0x1234, 46, Memory{}.reader());
    EXPECT_EQ(w.physical, 0x1234u);
    EXPECT_TRUE(w.steps.empty());
}

TEST(LinearWalk, ThirtyTwoBitEntriesAreHalvesOfAQword) {
    Memory m;
    m.qwords = {{0x1000, 0x2007ULL << 32}, {0x2000 + 8, 0x7777007ULL << 32 | 0x5007}};
    const LinearMode mode{.cr0 = kPg, .cr3 = 0x1000, .cr4 = 0};
    const Walk w = walk_linear(mode, 0x400000 + 0x3456, 36, m.reader());
    EXPECT_EQ(w.physical, 0x7777456u);
    EXPECT_EQ(w.steps[0], (WalkStep{2, 0x1004, 0x2007}));
    EXPECT_EQ(w.steps[1], (WalkStep{1, 0x200c, 0x7777007}));
}

TEST(LinearWalk, FourMBytePagesNeedPseAndReachBeyond4G) {
    Memory m;
    m.qwords = {{0x1000, 0x00c00083 | 1 << 13}};
    const LinearMode pse{.cr0 = kPg, .cr3 = 0x1000, .cr4 = 0x10};
    EXPECT_EQ(walk_linear(pse, 0x123456, 36, m.reader()).physical, 0x100d23456u);
    EXPECT_EQ(walk_linear(pse, 0x123456, 32, m.reader()).fault, WalkFault::Reserved);
    const LinearMode no_pse{.cr0 = kPg, .cr3 = 0x1000, .cr4 = 0};
    EXPECT_EQ(walk_linear(no_pse, 0, 36, m.reader()).steps.size(), 2u);
}

TEST(LinearWalk, PaeTakesItsPdptesFromTheFieldsWhenGiven) {
    Memory m;
    m.qwords = {{0x1020 + 8, 0x2001}, {0x2000, 0x600087}, {0x3000, 0x800087}};
    LinearMode mode{.cr0 = kPg, .cr3 = 0x1020, .cr4 = kPae};
    EXPECT_EQ(walk_linear(mode, 0x40000abc, 36, m.reader()).physical, 0x600abcu);
    mode.pdptes = {{0, 0x3001, 0, 0}};
    const Walk w = walk_linear(mode, 0x40000abc, 36, m.reader());
    EXPECT_EQ(w.physical, 0x800abcu);
    EXPECT_EQ(w.steps[0], (WalkStep{3, 0x1028, 0x3001}));
    EXPECT_EQ(walk_linear(mode, 0, 36, m.reader()).fault, WalkFault::NotPresent);
    EXPECT_EQ(walk_linear(mode, 1ULL << 32, 36, m.reader()).fault, WalkFault::BadAddress);
}

TEST(LinearWalk, FourLevelsWantCanonicalAddresses) {
    Memory m;
    m.qwords = {{0x1ff8, 0x2003}, {0x2ff0, 0x40000083}};
    const LinearMode mode{.cr0 = kPg, .cr3 = 0x1000, .cr4 = kPae, .efer = 0x500};
    EXPECT_EQ(walk_linear(mode, 0xffffffff80001234, 46, m.reader()).physical, 0x40001234u);
    EXPECT_EQ(walk_linear(mode, 0x800000000000, 46, m.reader()).fault, WalkFault::BadAddress);
    EXPECT_EQ(paging_mode_name(mode), "4-level paging");
}

TEST(LinearEntry, XdIsReservedWithoutNxe) {
    EntryRules rules{.format = EntryFormat::Long, .maxphyaddr = 46, .nxe = false};
    EXPECT_EQ(decode_entry(1, 1ULL << 63 | 0x1001, rules).reserved, 1ULL << 63);
    rules.nxe = true;
    EXPECT_EQ(decode_entry(1, 1ULL << 63 | 0x1001, rules).reserved, 0u);
    EXPECT_EQ(decode_entry(4, 0x1081, rules).reserved, 0x80u);
    EXPECT_EQ(decode_entry(3, 0x2081, rules).reserved, 0x2000u);
    EXPECT_EQ(decode_entry(2, 1ULL << 60 | 0x2001, {.format = EntryFormat::Pae}).reserved, 1ULL << 60);
    EXPECT_EQ(describe_entry(1, 1ULL << 63 | 0x1067, rules), "4-KByte page at 0x1000, RW US A D XD");
    EXPECT_EQ(describe_entry(2, 0x2003, rules), "table at 0x2000, RW");
}

TEST(PagingEntries, DecodeAndEncodeAreInverse) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 200000; ++i) {
        const EntryRules rules{.format = static_cast<EntryFormat>(random() % 4),
                               .maxphyaddr = 30 + static_cast<unsigned>(random() % 30),
                               .nxe = (random() & 1) != 0,
                               .pse = (random() & 1) != 0,
                               .mode_based_exec = (random() & 1) != 0};
        const std::uint64_t bits = random();
        const unsigned level = static_cast<unsigned>(random() % 7);
        ASSERT_EQ(encode(decode_entry(level, bits, rules), rules.format), bits)
            << static_cast<int>(rules.format) << " " << level << " " << rules.maxphyaddr;
        ASSERT_FALSE(describe_entry(level, bits, rules).empty());
    }
}

TEST(Walks, EndWhateverTheMemoryHolds) {
    std::mt19937_64 random(2);
    const ReadQword noise = [&random](std::uint64_t) { return std::optional(random()); };
    const ReadQword loop = [](std::uint64_t) { return std::optional<std::uint64_t>(0x1007); };
    for (int i = 0; i < 20000; ++i) {
        for (const ReadQword& read : {noise, loop}) {
            EXPECT_LE(walk_ept(random(), random() >> (random() % 64), 46, read).steps.size(), 5u);
            const LinearMode mode{.cr0 = random(), .cr3 = random(), .cr4 = random(), .efer = random()};
            EXPECT_LE(walk_linear(mode, random() >> (random() % 64), 46, read).steps.size(), 5u);
        }
    }
}

}  // namespace
}  // namespace vmxscope::vmx
