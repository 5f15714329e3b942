// Exits counted and timed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/query/statistics.h"
#include "query_samples.h"

namespace vmxscope::core::query {
namespace {

using nested::Kind;
using test::digest;
using Who = nested::Routing::Who;

TEST(QueryStatistics, QuantilesAreWithinAThirtySecond) {
    std::mt19937_64 random(3);
    Distribution d, first, second;
    std::vector<std::uint64_t> all;
    for (int i = 0; i < 20'000; ++i) {
        all.push_back(random() >> (random() % 60));
        d.add(all.back());
        (i % 3 ? first : second).add(all.back());
    }
    std::sort(all.begin(), all.end());
    first.add(second);
    for (const Distribution* x : {&d, &first}) {
        EXPECT_EQ(x->count(), all.size());
        EXPECT_EQ(x->least(), all.front());
        EXPECT_EQ(x->most(), all.back());
        for (const double part : {0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0}) {
            const auto place = static_cast<std::size_t>(std::ceil(part * static_cast<double>(all.size())));
            const std::uint64_t exact = all[std::max<std::size_t>(place, 1) - 1];
            EXPECT_GE(x->quantile(part), exact) << part;
            EXPECT_LE(x->quantile(part) - exact, exact / 32) << part;
        }
    }
    Distribution small;
    for (const std::uint64_t n : {0, 1, 31, 32, 33, 63, 64}) small.add(n);
    EXPECT_EQ(small.quantile(0.5), 32u) << "small numbers are exact";
    EXPECT_EQ(small.total(), 224u);
    EXPECT_EQ(Distribution().quantile(0.5), 0u);
}

/// One exit that L0 kept, one that L1 wanted, and L1's own in between.
std::vector<trace::Digest> round_trip(std::uint8_t cpuid_routing, std::uint8_t ept_routing) {
    return {digest(1, Kind::L2Entry, 1000),        digest(2, Kind::L2Exit, 1500, 48, ept_routing),
            digest(3, Kind::L2Entry, 2500),        digest(4, Kind::L2Exit, 3000, 10, cpuid_routing),
            digest(5, Kind::NestedExit, 3100, 10), digest(6, Kind::L1Entry, 3300),
            digest(7, Kind::L1Exit, 3400, 24),     digest(8, Kind::NestedEntry, 3500),
            digest(9, Kind::L2Entry, 4000),        digest(10, Kind::L2Exit, 4100, 12, 1)};
}

TEST(QueryStatistics, ExitsAreTimedUntilTheGuestRunsAgain) {
    for (const bool routed : {true, false}) {
        SCOPED_TRACE(routed ? "the routing is known" : "concluded from what happened");
        Statistics s;
        for (const auto& d : round_trip(routed ? 2 : 0, routed ? 1 : 0)) s.take(d);
        ASSERT_EQ(s.exits().size(), 4u);
        const auto& ept = s.exits().at({2, 48, Who::L0, {}});
        EXPECT_EQ(ept.exits, 1u);
        EXPECT_EQ(ept.away.total(), 1000u);
        EXPECT_EQ(ept.before.total(), 500u);
        const auto& cpuid = s.exits().at({2, 10, Who::L1, {}});
        EXPECT_EQ(cpuid.away.total(), 1000u) << "from 3000 to 4000, L1's handling included";
        EXPECT_EQ(cpuid.before.total(), 500u);
        const auto& vmresume = s.exits().at({1, 24, Who::Unknown, {}});
        EXPECT_EQ(vmresume.away.total(), 600u);
        EXPECT_EQ(vmresume.before.total(), 100u);
        const auto& hlt = s.exits().at({2, 12, Who::L0, {}});
        EXPECT_EQ(hlt.exits, 1u);
        EXPECT_EQ(hlt.away.count(), 0u);
        EXPECT_EQ(s.open(), 1u);
        EXPECT_EQ(s.left_out(), 0u);
        EXPECT_EQ(s.nested_entries(), 1u);
        EXPECT_EQ(s.nested_exits(), 1u);
        EXPECT_EQ(s.transitions(), 10u);
        EXPECT_EQ(s.span(), 3100u);
    }
}

TEST(QueryStatistics, TimesOverAGapAreLeftOutAndCounted) {
    auto all = round_trip(2, 1);
    all[2].lost_before = 4;
    Statistics s;
    for (const auto& d : all) s.take(d);
    EXPECT_EQ(s.exits().at({2, 48, Who::L0, {}}).exits, 1u);
    EXPECT_EQ(s.exits().at({2, 48, Who::L0, {}}).away.count(), 0u);
    EXPECT_EQ(s.exits().at({2, 10, Who::L1, {}}).away.count(), 1u);
    EXPECT_EQ(s.left_out(), 1u);
    EXPECT_EQ(s.lost(), 4u);

    all = round_trip(2, 1);
    all.erase(all.begin() + 4, all.begin() + 6);
    Statistics missing;
    for (const auto& d : all) missing.take(d);
    EXPECT_EQ(missing.exits().at({2, 10, Who::L1, {}}).away.count(), 0u);
    EXPECT_EQ(missing.left_out(), 1u);
}

TEST(QueryStatistics, VcpusAreApartWhenTold) {
    Statistics s(true);
    std::uint64_t seq = 0;
    for (const auto& d : round_trip(2, 1))
        for (const std::uint32_t vcpu : {0u, 1u}) {
            trace::Digest of = d;
            of.seq = ++seq;
            of.vcpu = vcpu;
            s.take(of);
        }
    EXPECT_EQ(s.exits().size(), 8u);
    for (const std::uint32_t vcpu : {0u, 1u}) EXPECT_EQ(s.exits().at({2, 10, Who::L1, vcpu}).away.total(), 1000u);
}

TEST(QueryStatistics, WhatIsNotCountedDisturbsNothing) {
    Statistics s;
    for (const auto& d : round_trip(2, 1)) s.take(d, d.reason == 10);
    ASSERT_EQ(s.exits().size(), 1u);
    EXPECT_EQ(s.exits().begin()->second.away.total(), 1000u);
    EXPECT_EQ(s.left_out(), 0u);
}

}  // namespace
}  // namespace vmxscope::core::query
