#include "vmx/pdpte.h"

#include <gtest/gtest.h>

namespace vmxscope::vmx {
namespace {

TEST(Pdpte, APresentEntryPointsToAPageDirectory) {
    const Pdpte p = decode_pdpte(0x103001);
    EXPECT_TRUE(p.present);
    EXPECT_EQ(p.address, 0x103000u);
    EXPECT_FALSE(p.write_through || p.cache_disable || p.faulting());
    EXPECT_EQ(describe_pdpte(0x103001), "page directory at 0x103000");
    EXPECT_EQ(describe_pdpte(0x103019), "page directory at 0x103000, PWT, PCD");
}

TEST(Pdpte, ReservedBitsFaultOnlyWhenPresent) {
    for (const std::uint64_t bit : {1u, 2u, 5u, 6u, 7u, 8u}) {
        EXPECT_TRUE(decode_pdpte(1ULL << bit | 1).faulting()) << bit;
        EXPECT_FALSE(decode_pdpte(1ULL << bit).faulting()) << bit;
    }
    EXPECT_EQ(describe_pdpte(0x103007), "present, reserved bits 0x6 set");
    EXPECT_EQ(describe_pdpte(0x103006), "not present");
}

TEST(Pdpte, Bits11To9AreIgnored) {
    const Pdpte p = decode_pdpte(0xe01);
    EXPECT_EQ(p.ignored, 0xe00u);
    EXPECT_FALSE(p.faulting());
    EXPECT_EQ(p.address, 0u);
}

TEST(Pdpte, AddressBitsAboveMaxphyaddrAreReserved) {
    const std::uint64_t bit39 = 1ULL << 39 | 1;
    EXPECT_TRUE(decode_pdpte(bit39, 39).faulting());
    EXPECT_FALSE(decode_pdpte(bit39, 40).faulting());
    EXPECT_EQ(decode_pdpte(bit39, 40).address, 1ULL << 39);
    EXPECT_TRUE(decode_pdpte(1ULL << 63 | 1, 52).faulting());
    EXPECT_TRUE(decode_pdpte(1ULL << 52 | 1, 200).faulting()) << "52 bits is the most there are";
}

}  // namespace
}  // namespace vmxscope::vmx
