// A live target that goes back: its view goes through the transitions that were seen, and forth again until the present;
// from there the guest runs on. The guest itself stays where it is held all the while.
#pragma once

#include <deque>
#include <optional>

#include "core/trace/digest.h"
#include "core/wrapped_target.h"

namespace vmxscope::core {

/// `target` with Ability::Back; as it came if it has that already, or knows no transitions. In the past, vcpus() are as
/// they were then, memory and registers are refused, and nothing is written. Forth it stops at the present, with
/// Stop::Why::End if no transition on the way ended the run; the next run is the guest's. Not in non-stop mode.
std::unique_ptr<Target> with_past(std::unique_ptr<Target> target);

class PastTarget final : public WrappedTarget {
  public:
    explicit PastTarget(std::unique_ptr<Target> inner) : WrappedTarget(std::move(inner)) {}

    Abilities abilities() const override { return WrappedTarget::abilities().with(Ability::Back); }
    Result<std::vector<Vcpu>> vcpus() override;
    Result<void> resume(const std::vector<Action>& actions) override;
    Result<void> resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) override;
    Result<void> go_to(std::uint64_t seq) override;
    Result<std::optional<Stop>> wait(std::chrono::milliseconds limit) override;
    Result<void> interrupt() override;
    Result<void> set_non_stop(bool on) override;
    Result<void> record(const RecordSettings& settings) override;
    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                               std::size_t size) override;
    Result<std::vector<std::byte>> msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) override;
    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) override;
    Result<void> write_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                              const std::vector<std::byte>& bytes) override;
    Result<void> write_field(std::uint32_t vcpu, WrittenVmcs which, vmx::Field field, std::uint64_t value) override;
    Result<std::vector<RegisterBytes>> registers(std::uint32_t vcpu) override;

  private:
    using Digest = trace::Digest;
    Result<void> may_move() const;
    Result<void> present_only(std::string_view what) const;
    Result<void> extend_back();
    Result<void> cover(std::uint64_t seq);
    Result<std::vector<Digest>> digests(std::uint64_t from, std::uint64_t to);
    void stop_at(const Digest& at, Stop::Why why, std::string text = {});

    std::optional<Digest> at_;   // empty: the present
    History kept_;               // when the past was last entered; the guest stands still meanwhile
    std::deque<Digest> seen_;    // the end of it, without a gap, as far back as was needed
    std::optional<Stop> stop_;   // to be told by wait()
    bool runs_ = false;          // the guest does
    bool non_stop_ = false;
};

}  // namespace vmxscope::core
