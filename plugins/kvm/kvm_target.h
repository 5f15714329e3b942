// A nested guest of this machine's KVM, through /dev/vmxscope: core::Target as the agent serves it. Attaching and looking are
// in kvm_target.cpp, what is watched and who runs in kvm_running.cpp.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/target.h"
#include "plugins/kvm/device.h"
#include "plugins/kvm/inspector.h"
#include "plugins/kvm/intake.h"
#include "plugins/kvm/probe_plan.h"
#include "plugins/kvm/processes.h"
#include "plugins/kvm/writer.h"

namespace vmxscope::kvm {

struct AttachOptions {
    std::string resume_qmp;  // QEMU's monitor socket: once everything is watched, let a paused guest go; empty = leave it
    std::uint32_t ring_bytes = WatchFor{}.ring_bytes;  // of the kernel's ring: a power of two, 64 KiB to 64 MiB
    bool allow_writes = false;
};

/// Attaches to the guest of `process`: every vCPU stops before its next VM-entry.
core::Result<std::unique_ptr<core::Target>> attach_kvm(ProbePlan plan, const KvmProcess& process, const AttachOptions& options);

/// What a vCPU is armed with that steps to one of these.
std::uint32_t stop_classes(core::StepKind kind);

class KvmTarget : public core::Target {
  public:
    KvmTarget(ProbePlan plan, std::uint32_t pid);
    ~KvmTarget() override;

    core::Result<void> start(const AttachOptions& options);
    const core::TargetInfo& info() const override { return info_; }
    core::Abilities abilities() const override;
    core::Result<std::vector<core::Vcpu>> vcpus() override;
    core::Result<void> resume(const std::vector<core::Action>& actions) override;
    core::Result<std::optional<core::Stop>> wait(std::chrono::milliseconds limit) override;
    core::Result<void> interrupt() override;
    core::Result<void> set_non_stop(bool on) override;
    core::Result<void> interrupt_one(std::uint32_t vcpu) override;
    core::Result<core::History> history() override;
    core::Result<nested::Transition> transition(std::uint64_t seq) override { return intake_.journal().transition(seq); }
    core::Result<std::vector<std::byte>> past(std::uint64_t from) override { return intake_.journal().block_from(from); }
    core::Result<void> record(const core::RecordSettings& settings) override;
    core::Result<void> set_evidence(nested::EvidenceScope scope) override;
    core::Result<core::TargetCapabilities> capabilities() override;
    core::Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, std::size_t size) override;
    core::Result<std::vector<std::byte>> msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) override;
    core::Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) override;
    core::Result<void> write_memory(std::uint32_t vcpu, core::Space space, std::uint64_t address, const std::vector<std::byte>& bytes) override;
    core::Result<void> write_field(std::uint32_t vcpu, core::WrittenVmcs which, vmx::Field field, std::uint64_t value) override;
    core::Result<std::vector<core::Write>> ledger() override { return writer_ ? writer_->ledger() : std::vector<core::Write>{}; }
    core::Result<void> detach() override;

  private:
    core::Result<void> drain(std::chrono::milliseconds limit);
    core::Result<void> drain_when_due();
    core::Result<void> ask_what_was_missed();
    core::Result<void> change_watch(const WatchFor& what);
    core::Result<void> watch_for_stepping();
    Watched watched() const;
    std::optional<core::Stop> look_for_stop();
    core::Stop stop_at(Slot& slot, std::uint32_t index, core::Stop::Why why, std::uint64_t seq);
    core::Result<void> stop_all();
    core::Result<void> let_go(std::uint32_t index, Slot& slot);
    core::Result<void> let_go_what_is_held();
    bool runs() const;
    bool interrupted(const Slot& slot) const { return slot.interrupted || interrupted_; }
    core::Result<void> be_prompt(bool yes);
    core::Result<void> resume_all_stop(const std::vector<core::Action>& actions);
    core::Result<void> resume_some(const std::vector<core::Action>& actions);
    bool process_gone() const;
    core::Result<const Inspector*> inspector();
    core::Result<HeldVcpu> held(std::uint32_t vcpu);
    /// What `ask` answers of that vCPU, if it is held.
    template <typename Ask>
    auto look(std::uint32_t vcpu, Ask ask) -> decltype(ask(std::declval<const Inspector&>(), HeldVcpu{})) {
        const auto v = held(vcpu);
        if (!v) return tl::unexpected(v.error());
        const auto in = inspector();
        if (!in) return tl::unexpected(in.error());
        return ask(**in, *v);
    }

    ProbePlan plan_;
    std::uint32_t pid_;
    Parameters parameters_;
    WatchFor watching_;
    nested::EvidenceScope stepping_scope_ = nested::EvidenceScope::Pdptrs;  // what a recording goes back to
    bool recording_ = false;
    bool behind_ = false;             // more records wait than are taken at once
    core::TargetInfo info_;
    std::unique_ptr<Device> device_;
    int pidfd_ = -1;
    std::optional<Inspector> inspector_;  // once it is asked for
    std::optional<Writer> writer_;        // if writing is allowed; of device_
    Intake intake_;
    std::uint32_t missed_ = 0;        // the module's count, as last asked
    bool running_ = false;            // all-stop: some vCPU was let go since the last stop
    bool interrupted_ = false;        // all-stop: every vCPU is asked to stop, also those that were not seen yet
    bool attaching_ = true;           // the first stop is still to come
    bool non_stop_ = false;
    bool gone_ = false;
    std::chrono::steady_clock::time_point attached_at_, asked_at_, drained_at_;
};

}  // namespace vmxscope::kvm
