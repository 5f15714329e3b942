// KVM's own words for refusing a nested entry: its tracepoint kvm_nested_vmenter_failed, in a trace instance of ours.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "core/fd.h"
#include "core/result.h"

namespace vmxscope::kvm {

struct Refusal {
    std::uint32_t tid = 0;
    std::uint64_t tsc = 0;
    std::string text;  // "!nested_cr0_valid(vcpu, vmcs12->guest_cr0)"
    bool operator==(const Refusal&) const = default;
};

/// One line of trace_pipe, its clock being x86-tsc. Empty when it is not of this event.
std::optional<Refusal> parse_refusal(std::string_view line);

class Refusals {
  public:
    /// The instance is made once, and stays, silent between two clients, until this program ends: a slow machine takes
    /// seconds for it. Those that agents which were killed have left are removed. tracefs is mounted for nobody but this
    /// process. Fails where the kernel has no tracing, or not this event.
    static core::Result<Refusals> open();
    Refusals(Refusals&&) noexcept = default;
    Refusals& operator=(Refusals&&) = delete;
    ~Refusals();

    /// What KVM said in this thread between two readings of the TSC, of several the texts with "; " between; what is
    /// older is forgotten.
    std::string take(std::uint32_t tid, std::uint64_t after, std::uint64_t until);

  private:
    explicit Refusals(core::Fd pipe) : pipe_(std::move(pipe)) {}
    void read();

    core::Fd pipe_;     // of the instance
    std::string rest_;  // of a line that has not ended
    std::deque<Refusal> come_;
};

}  // namespace vmxscope::kvm
