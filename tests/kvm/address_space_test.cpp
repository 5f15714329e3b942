#include "plugins/kvm/address_space.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

namespace vmxscope::kvm {
namespace {

using core::Space;

constexpr std::uint64_t kRwx = 7, kPresent = 1, kLarge = 1 << 7;
constexpr std::uint64_t kLa = 0x80000011, kPae = 0x20, kLme = 0x500;

/// L1's physical memory: 1 MiB from 0 on, each byte its address, and tables put over it.
class Guest {
  public:
    Guest() {
        for (std::size_t i = 0; i < memory_.size(); ++i) memory_[i] = static_cast<std::byte>(i / 4096 * 3 + i);
        // EPT12 at 0x10000: the first 2 MiB of L2 lie at 0x0 but for the page 0x5000, which lies at 0x7000, and 0x6000:
        // nowhere.
        put(0x10000, 0x11000 | kRwx);
        put(0x11000, 0x12000 | kRwx);
        put(0x12000, 0x13000 | kRwx);
        for (std::uint64_t i = 0; i < 256; ++i) put(0x13000 + 8 * i, i << 12 | 6 << 3 | kRwx);
        put(0x13000 + 8 * 5, 0x7000 | 6 << 3 | kRwx);
        put(0x13000 + 8 * 6, 0);
        // L2's page tables at L2-physical 0x20000 (4-level): linear 0x40000000 on is L2-physical 0x0 on.
        put(0x20000, 0x21000 | 3);
        put(0x21000 + 8, 0x0 | 3 | kLarge);
        t.l2 = vmx::LinearMode{kLa, 0x20000, kPae, kLme, {}};
        t.nested_ept = true;
        t.ept12 = 0x10000 | 3 << 3 | 6;
        t.maxphyaddr = 40;
    }

    void put(std::uint64_t at, std::uint64_t entry) { std::memcpy(&memory_.at(at), &entry, sizeof entry); }
    std::byte at(std::uint64_t physical) const { return memory_.at(physical); }
    core::Result<std::vector<std::byte>> read(Space space, std::uint64_t address, std::size_t size) const {
        return read_space(space, address, size, t,
                          [this](std::uint64_t physical, std::span<std::byte> to) -> core::Result<void> {
                              EXPECT_EQ(physical / 4096, (physical + to.size() - 1) / 4096) << "a range crosses a page";
                              if (physical >= memory_.size()) return core::fail("no memory there");
                              std::memcpy(to.data(), &memory_.at(physical), to.size());
                              return {};
                          });
    }
    core::Result<void> write(Space space, std::uint64_t address, const std::vector<std::byte>& bytes) {
        return write_space(
            space, address, bytes, t,
            [this](std::uint64_t physical, std::span<std::byte> to) -> core::Result<void> {
                if (physical >= memory_.size()) return core::fail("no memory there");
                std::memcpy(to.data(), &memory_.at(physical), to.size());
                return {};
            },
            [this](std::uint64_t physical, std::span<const std::byte> from) -> core::Result<void> {
                EXPECT_EQ(physical / 4096, (physical + from.size() - 1) / 4096) << "a range crosses a page";
                std::memcpy(&memory_.at(physical), from.data(), from.size());
                return {};
            });
    }
    std::string refusal(Space space, std::uint64_t address, std::size_t size = 1) const {
        const auto r = read(space, address, size);
        EXPECT_FALSE(r) << std::hex << address;
        return r ? "" : r.error().what;
    }

    Translation t;

  private:
    std::vector<std::byte> memory_ = std::vector<std::byte>(1 << 20);
};

TEST(ReadSpace, L1PhysicalMemoryIsReadAsItIs) {
    const Guest g;
    const auto bytes = g.read(Space::L1Physical, 0x30ffe, 4);
    ASSERT_TRUE(bytes);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ((*bytes)[i], g.at(0x30ffe + i));
}

TEST(ReadSpace, L2PhysicalMemoryGoesThroughEpt12PageByPage) {
    const Guest g;
    const auto bytes = g.read(Space::L2Physical, 0x4ffe, 4);
    ASSERT_TRUE(bytes) << bytes.error().what;
    EXPECT_EQ((*bytes)[1], g.at(0x4fff));
    EXPECT_EQ((*bytes)[2], g.at(0x7000)) << "the next page lies elsewhere";
    EXPECT_NE(g.refusal(Space::L2Physical, 0x5ffe, 4).find("L2-physical address 0x6000 is not mapped: not present"),
              std::string::npos);
}

TEST(ReadSpace, WithoutNestedEptL2PhysicalIsL1Physical) {
    Guest g;
    g.t.nested_ept = false;
    const auto bytes = g.read(Space::L2Physical, 0x5000, 1);
    ASSERT_TRUE(bytes);
    EXPECT_EQ((*bytes)[0], g.at(0x5000));
}

TEST(ReadSpace, L2LinearMemoryGoesThroughL2sTablesAndThenEpt12) {
    const Guest g;
    const auto bytes = g.read(Space::L2Linear, 0x40005010, 2);
    ASSERT_TRUE(bytes) << bytes.error().what;
    EXPECT_EQ((*bytes)[0], g.at(0x7010));
    EXPECT_NE(g.refusal(Space::L2Linear, 0x40006000).find("L2-physical address 0x6000"), std::string::npos);
    EXPECT_NE(g.refusal(Space::L2Linear, 0x80000000).find("L2-linear address 0x80000000"), std::string::npos);
    EXPECT_NE(g.refusal(Space::L2Linear, 1ull << 47).find("not mapped"), std::string::npos) << "not canonical";
}

TEST(ReadSpace, L2sTablesAreLookedForThroughEpt12) {
    Guest g;
    g.t.l2->cr3 = 0x6000;
    EXPECT_NE(g.refusal(Space::L2Linear, 0x40000000).find("unreadable"), std::string::npos)
        << g.refusal(Space::L2Linear, 0x40000000);
}

TEST(ReadSpace, L1sOwnTablesAreInL1PhysicalMemory) {
    Guest g;
    g.put(0x40000, 0x41000 | kPresent);  // PAE: the PDPTE of the first GiB
    g.put(0x41000 + 8, 0x0 | kPresent | kLarge);
    g.t.l1 = vmx::LinearMode{kLa, 0x40000, kPae, 0, {}};
    const auto bytes = g.read(Space::L1Linear, 0x205000, 1);
    ASSERT_TRUE(bytes) << bytes.error().what;
    EXPECT_EQ((*bytes)[0], g.at(0x5000)) << "EPT12 is not in the way";
}

TEST(ReadSpace, WhatIsNotKnownIsSaid) {
    Guest g;
    g.t.why = "L1 is new.";
    EXPECT_EQ(g.refusal(Space::L1Linear, 0), "L1 is new.");
    g.t.ept12.reset();
    EXPECT_EQ(g.refusal(Space::L2Physical, 0), "L1 is new.");
}

TEST(ReadSpace, ImpossibleRangesAreRefused) {
    const Guest g;
    EXPECT_FALSE(g.refusal(Space::L1Physical, 0, core::kMostMemory + 1).empty());
    EXPECT_FALSE(g.refusal(Space::L1Physical, ~0ull, 2).empty());
    EXPECT_FALSE(g.refusal(Space::L1Physical, ~0ull, 1).empty());
    EXPECT_EQ(g.read(Space::L1Physical, 0, 0)->size(), 0u);
}

TEST(WriteSpace, WritesPageByPageWhereEpt12Leads) {
    Guest g;
    const std::vector<std::byte> mark{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    ASSERT_TRUE(g.write(Space::L2Physical, 0x4ffe, mark));
    EXPECT_EQ(g.at(0x4fff), std::byte{2});
    EXPECT_EQ(g.at(0x7000), std::byte{3}) << "the next page lies elsewhere";
    EXPECT_EQ(*g.read(Space::L2Linear, 0x40004ffe, 4), mark);
}

TEST(WriteSpace, WritesNothingWhereAPartIsNotMapped) {
    Guest g;
    const std::byte before = g.at(0x7fff);
    EXPECT_FALSE(g.write(Space::L2Physical, 0x5fff, {std::byte{0xaa}, std::byte{0xbb}}));
    EXPECT_EQ(g.at(0x7fff), before);
    EXPECT_FALSE(g.write(Space::L1Physical, ~0ull, {std::byte{1}, std::byte{2}})) << "it would wrap";
    EXPECT_FALSE(g.write(Space::L1Physical, 0, std::vector<std::byte>(core::kMostWritten + 1)));
}

}  // namespace
}  // namespace vmxscope::kvm
