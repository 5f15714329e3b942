#include "vmx/decode/bitmaps.h"

#include <gtest/gtest.h>

#include <random>

namespace vmxscope::vmx {
namespace {

using Page = std::array<std::byte, kBitmapPage>;

void set(Page& page, unsigned byte, unsigned bit) {
    page[byte] |= static_cast<std::byte>(1u << bit);
}

/// SDM 25.6.9: reads of low MSRs at 0, of high ones at 1024, writes at 2048 and 3072.
TEST(MsrBitmap, EachQuarterHasItsMsrsAndItsAccess) {
    Page page{};
    set(page, 0x174 / 8, 0x174 % 8);
    set(page, 0x175 / 8, 0x175 % 8);
    set(page, 1024 + 0x80 / 8, 0);
    set(page, 2048 + 0x1fff / 8, 7);
    set(page, 3072 + 0x103 / 8, 3);
    EXPECT_EQ(intercepted_msrs(page, MsrAccess::Read),
              (std::vector<BitmapRange>{{0x174, 0x175}, {0xc0000080, 0xc0000080}}));
    EXPECT_EQ(intercepted_msrs(page, MsrAccess::Write),
              (std::vector<BitmapRange>{{0x1fff, 0x1fff}, {0xc0000103, 0xc0000103}}));
    EXPECT_EQ(intercepts_msr(page, 0xc0000080, MsrAccess::Read), true);
    EXPECT_EQ(intercepts_msr(page, 0xc0000080, MsrAccess::Write), false);
    EXPECT_FALSE(intercepts_msr(page, 0x40000000, MsrAccess::Read)) << "not covered: exits always";
    EXPECT_FALSE(intercepts_msr(page, 0xc0002000, MsrAccess::Read));
}

TEST(MsrBitmap, AFullOneIsTwoRanges) {
    Page page;
    page.fill(std::byte{0xff});
    EXPECT_EQ(intercepted_msrs(page, MsrAccess::Read),
              (std::vector<BitmapRange>{{0, 0x1fff}, {0xc0000000, 0xc0001fff}}));
}

TEST(MsrBitmap, DifferencesSayWhoIntercepts) {
    Page of_l1{}, merged{};
    set(of_l1, 0x10 / 8, 0);
    set(merged, 0x10 / 8, 0);
    set(merged, 0x48 / 8, 0);
    set(of_l1, 0x1b / 8, 3);
    EXPECT_EQ(differing_msrs(of_l1, merged, MsrAccess::Read),
              (std::vector<BitmapDifference>{{{0x1b, 0x1b}, true}, {{0x48, 0x48}, false}}));
    EXPECT_TRUE(differing_msrs(of_l1, merged, MsrAccess::Write).empty());
}

TEST(MsrBitmap, RangesAreNamed) {
    EXPECT_EQ(describe_msrs({0x174, 0x174}), "0x174 IA32_SYSENTER_CS");
    EXPECT_EQ(describe_msrs({0x174, 0x176}), "0x174 to 0x176 (IA32_SYSENTER_CS, IA32_SYSENTER_ESP, IA32_SYSENTER_EIP)");
    EXPECT_EQ(describe_msrs({0x5, 0x5}), "0x5");
    EXPECT_EQ(describe_msrs({0x100, 0x105}), "0x100 to 0x105");
    EXPECT_NE(describe_msrs({0, 0x1fff}).find(" more)"), std::string::npos);
}

TEST(IoBitmaps, PortsRunOnFromAToB) {
    Page a{}, b{};
    set(a, 0x3f8 / 8, 0);
    set(a, 4095, 7);
    set(b, 0, 0);
    EXPECT_EQ(intercepted_ports(a, b), (std::vector<BitmapRange>{{0x3f8, 0x3f8}, {0x7fff, 0x8000}}));
    EXPECT_EQ(describe_ports({0x3f8, 0x3ff}), "0x3f8 to 0x3ff");
    EXPECT_EQ(differing_ports(a, b, a, Page{}), (std::vector<BitmapDifference>{{{0x8000, 0x8000}, true}}));
}

TEST(Bitmaps, RangesHoldExactlyTheSetBits) {
    std::mt19937_64 random(7);
    Page page;
    for (std::byte& b : page) b = static_cast<std::byte>(random() & random());
    std::size_t msrs = 0, bits = 0;
    for (const BitmapRange& r : intercepted_msrs(page, MsrAccess::Read)) {
        msrs += r.last - r.first + 1;
        for (std::uint32_t m = r.first; m <= r.last; ++m) EXPECT_EQ(intercepts_msr(page, m, MsrAccess::Read), true);
    }
    for (unsigned i = 0; i < 2048; ++i)
        bits += static_cast<unsigned>(__builtin_popcount(static_cast<unsigned>(page[i])));
    EXPECT_EQ(msrs, bits);
}

}  // namespace
}  // namespace vmxscope::vmx
