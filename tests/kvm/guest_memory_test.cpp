#include "plugins/kvm/guest_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>

namespace vmxscope::kvm {
namespace {

constexpr std::uint64_t kKvm = 0x1000, kSlots = 0x2000;

/// KVM's objects as a few numbers at addresses. Nodes of the second set lead to slots; the first set leads nowhere.
struct Kernel {
    MemslotLayout l{.memslots = 0x10,
                    .gfn_tree = 0x20,
                    .node_idx = 0x28,
                    .gfn_node = 0x40,
                    .node_size = 24,
                    .left = 16,
                    .right = 8,
                    .base_gfn = 0x80,
                    .npages = 0x88,
                    .userspace_addr = 0x90};
    std::map<std::uint64_t, std::uint64_t> words;

    Kernel() {
        words[kKvm + l.memslots] = kSlots;
        words[kSlots + l.node_idx] = 0xdead00000001;  // an int: what follows it is not its
        slot(0x3000, 0x100, 0x100, 0x7f0000000000);
        slot(0x4000, 0x0, 0xa0, 0x7e0000000000);
        slot(0x5000, 0x100000, 0x10, 0x7d0000000000);
        words[kSlots + l.gfn_tree] = node(0x3000);
        words[node(0x3000) + l.left] = node(0x4000);
        words[node(0x3000) + l.right] = node(0x5000);
    }
    std::uint64_t node(std::uint64_t slot_at) const { return slot_at + l.gfn_node + l.node_size; }
    void slot(std::uint64_t at, std::uint64_t base, std::uint64_t pages, std::uint64_t address) {
        words[at + l.base_gfn] = base;
        words[at + l.npages] = pages;
        words[at + l.userspace_addr] = address;
        words[node(at) + l.left] = words[node(at) + l.right] = 0;
    }
    core::Result<std::uint64_t> find(std::uint64_t physical) const {
        return userspace_address(l, kKvm, physical, [this](std::uint64_t a) -> std::optional<std::uint64_t> {
            const auto it = words.find(a);
            if (it == words.end()) return std::nullopt;
            return it->second;
        });
    }
};

TEST(UserspaceAddress, IsFoundInTheSlotThatHoldsThePage) {
    const Kernel k;
    EXPECT_EQ(k.find(0x100000), 0x7f0000000000u);
    EXPECT_EQ(k.find(0x1fffff), 0x7f00000fffffu);
    EXPECT_EQ(k.find(0x0), 0x7e0000000000u);
    EXPECT_EQ(k.find(0x9fff8), 0x7e000009fff8u);
    EXPECT_EQ(k.find(0x100000000 + 0xf123), 0x7d000000f123u);
}

TEST(UserspaceAddress, BetweenAndBeyondTheSlotsIsNoMemory) {
    const Kernel k;
    for (const std::uint64_t hole : {0xa0000ull, 0x200000ull, 0x100010000ull, ~0ull}) {
        const auto r = k.find(hole);
        ASSERT_FALSE(r) << std::hex << hole;
        EXPECT_NE(r.error().what.find("no memory of the guest's"), std::string::npos) << r.error().what;
    }
}

TEST(UserspaceAddress, ATreeThatIsBrokenEndsInAnError) {
    Kernel loop;
    loop.words[loop.node(0x5000) + loop.l.right] = loop.node(0x5000);
    EXPECT_FALSE(loop.find(~0ull));
    Kernel torn;
    torn.words.erase(0x5000 + torn.l.npages);
    EXPECT_FALSE(torn.find(0x100000000));
    Kernel empty;
    empty.words.clear();
    EXPECT_FALSE(empty.find(0));
}

TEST(ReadProcess, ReadsThisOneAndSaysWhereAnotherEnds) {
    const std::array<char, 6> here = {'h', 'e', 'l', 'l', 'o', 0};
    std::array<std::byte, 6> to{};
    ASSERT_TRUE(
        read_process(static_cast<std::uint32_t>(::getpid()), reinterpret_cast<std::uintptr_t>(here.data()), to));
    EXPECT_EQ(std::memcmp(to.data(), here.data(), here.size()), 0);
    const auto nowhere = read_process(static_cast<std::uint32_t>(::getpid()), 16, to);
    ASSERT_FALSE(nowhere);
    EXPECT_FALSE(nowhere.error().what.empty());
}

}  // namespace
}  // namespace vmxscope::kvm
