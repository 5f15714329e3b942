// Transitions as a small nested guest's would follow each other, for traces: round trips with evidence of every field,
// values that stay, values that step and values that nobody could foretell.
#pragma once

#include <deque>
#include <random>

#include "nested/transition.h"

namespace vmxscope::core::test {

class RoundTrips {
  public:
    explicit RoundTrips(std::uint64_t seed, unsigned vcpus = 1);
    /// The next in order; seq grows by one.
    const nested::Transition& next();

  private:
    struct Vcpu {
        nested::Transition now;  // the images and numbers that go from one to the next
        std::uint64_t l1_rip = 0xffffffff81004a10;
        std::size_t place = 0;  // in L2's program
        std::uint32_t id = 0;
        std::deque<nested::Kind> plan;  // the rest of the round trip
    };
    void plan(Vcpu& v);
    nested::Transition& begin(Vcpu& v, nested::Kind kind);
    void l2_runs(nested::Transition& t, Vcpu& v);
    void evidence(nested::Transition& t);
    void l1_fields(nested::Transition& t, Vcpu& v);
    std::uint64_t below(std::uint64_t n) { return random_() % n; }

    std::mt19937_64 random_;
    std::deque<Vcpu> vcpus_;
    std::uint64_t seq_ = 0, tsc_ = 0x1'2345'6789;
};

}  // namespace vmxscope::core::test
