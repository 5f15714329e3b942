// Exits counted and timed: what KVM's exits cost, by reason, and by who handled them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/query/moments.h"
#include "core/trace/digest.h"
#include "nested/routing.h"

namespace vmxscope::core::query {

/// Of times in cycles. Count, least, most and total are exact, a quantile within 1/32 of its value.
class Distribution {
  public:
    void add(std::uint64_t cycles);
    void add(const Distribution& other);
    std::uint64_t count() const { return count_; }
    std::uint64_t least() const { return count_ ? least_ : 0; }
    std::uint64_t most() const { return most_; }
    std::uint64_t total() const { return total_; }  // stays at its highest value rather than overflow
    /// The time that `part` (0…1) of all do not exceed; 0 when there are none.
    std::uint64_t quantile(double part) const;

  private:
    static constexpr std::size_t kSteps = 32;  // of each power of two
    using Steps = std::array<std::uint64_t, kSteps>;
    std::array<std::unique_ptr<Steps>, 64> powers_;
    std::uint64_t count_ = 0, least_ = ~0ull, most_ = 0, total_ = 0;
};

struct ExitKey {
    int level = 2;                                             // whose exit
    std::uint32_t reason = 0;                                  // basic; kNoReason when it was not read
    nested::Routing::Who who = nested::Routing::Who::Unknown;  // of L2's: who handled it
    std::optional<std::uint32_t> vcpu;                         // when they are counted apart
    auto operator<=>(const ExitKey&) const = default;
};
inline constexpr std::uint32_t kNoReason = 0x10000;

struct ExitStatistics {
    std::uint64_t exits = 0;
    Distribution away;    // from the exit until L2 runs again; of L1's exits: until L1 or L2 runs
    Distribution before;  // how long the guest had run before it
};

/// Fed with the digests of a session in order. A time with a gap within it is left out.
class Statistics {
  public:
    explicit Statistics(bool by_vcpu = false) : by_vcpu_(by_vcpu) {}

    /// `counted`: an exit that is not, is not in the rows; the times of others are right all the same.
    void take(const trace::Digest& d, bool counted = true);

    const std::map<ExitKey, ExitStatistics>& exits() const { return exits_; }
    std::uint64_t transitions() const { return transitions_; }
    std::uint64_t nested_entries() const { return nested_entries_; }
    std::uint64_t nested_exits() const { return nested_exits_; }
    std::uint64_t failed_entries() const { return failed_entries_; }
    std::uint64_t lost() const { return lost_; }          // records
    std::uint64_t left_out() const { return left_out_; }  // times away, for a gap within them
    std::uint64_t open() const;                           // exits whose guest has not run again by the end
    /// First to last transition, cycles.
    std::uint64_t span() const { return newest_tsc_ - first_tsc_; }

  private:
    struct Pending {
        ExitKey key;
        std::uint64_t tsc = 0;
        std::optional<std::uint64_t> before;  // cycles that the guest had run
    };
    struct Vcpu {
        std::optional<Pending> l1, l2;
        std::uint64_t newest = 0;  // TSC
    };
    void forget(Vcpu& v);
    void exit(Vcpu& v, const trace::Digest& d, const Durations& durations);
    static bool undecided(const Pending& p);
    void count_before(const Pending& p);
    void decide(Pending& p, nested::Routing::Who who);
    void close(std::optional<Pending>& p, std::uint64_t tsc);

    bool by_vcpu_;
    Moments moments_;
    std::map<std::uint32_t, Vcpu> vcpus_;
    std::map<ExitKey, ExitStatistics> exits_;
    std::uint64_t transitions_ = 0, nested_entries_ = 0, nested_exits_ = 0, failed_entries_ = 0, lost_ = 0,
                  left_out_ = 0;
    std::uint64_t newest_seq_ = 0, first_tsc_ = 0, newest_tsc_ = 0;
};

}  // namespace vmxscope::core::query
