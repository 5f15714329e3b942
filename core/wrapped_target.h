// A target behind another: everything is passed on, and errors can be explained by who knows more about it (a lab that
// has ended).
#pragma once

#include <memory>
#include <utility>

#include "core/target.h"

namespace vmxscope::core {

class WrappedTarget : public Target {
  public:
    explicit WrappedTarget(std::unique_ptr<Target> inner) : inner_(std::move(inner)) {}

    const TargetInfo& info() const override { return inner_->info(); }
    Abilities abilities() const override { return inner_->abilities(); }
    Result<std::vector<Vcpu>> vcpus() override { return explained(inner_->vcpus()); }
    Result<void> resume(const std::vector<Action>& actions) override { return explained(inner_->resume(actions)); }
    Result<std::optional<Stop>> wait(std::chrono::milliseconds limit) override {
        return explained(inner_->wait(limit));
    }
    Result<void> interrupt() override { return explained(inner_->interrupt()); }
    Result<History> history() override { return explained(inner_->history()); }
    Result<nested::Transition> transition(std::uint64_t seq) override { return explained(inner_->transition(seq)); }
    Result<std::vector<std::byte>> past(std::uint64_t from) override { return explained(inner_->past(from)); }
    Result<void> resume_back(std::optional<StepKind> step, std::optional<std::uint32_t> vcpu) override {
        return explained(inner_->resume_back(step, vcpu));
    }
    Result<void> go_to(std::uint64_t seq) override { return explained(inner_->go_to(seq)); }
    Result<void> record(const RecordSettings& settings) override { return explained(inner_->record(settings)); }
    Result<void> set_evidence(nested::EvidenceScope scope) override { return explained(inner_->set_evidence(scope)); }
    Result<TargetCapabilities> capabilities() override { return explained(inner_->capabilities()); }
    Result<std::vector<std::byte>> read_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                                               std::size_t size) override {
        return explained(inner_->read_memory(vcpu, space, address, size));
    }
    Result<std::vector<std::byte>> msr_bitmap(std::uint32_t vcpu, HardwareVmcs which) override {
        return explained(inner_->msr_bitmap(vcpu, which));
    }
    Result<std::vector<vmx::WalkStep>> ept02_walk(std::uint32_t vcpu, std::uint64_t l2_physical) override {
        return explained(inner_->ept02_walk(vcpu, l2_physical));
    }
    Result<void> set_non_stop(bool on) override { return explained(inner_->set_non_stop(on)); }
    Result<void> interrupt_one(std::uint32_t vcpu) override { return explained(inner_->interrupt_one(vcpu)); }
    Result<void> write_memory(std::uint32_t vcpu, Space space, std::uint64_t address,
                              const std::vector<std::byte>& bytes) override {
        return explained(inner_->write_memory(vcpu, space, address, bytes));
    }
    Result<void> write_field(std::uint32_t vcpu, WrittenVmcs which, vmx::Field field, std::uint64_t value) override {
        return explained(inner_->write_field(vcpu, which, field, value));
    }
    Result<std::vector<Write>> ledger() override { return explained(inner_->ledger()); }
    Result<std::vector<RegisterBytes>> registers(std::uint32_t vcpu) override {
        return explained(inner_->registers(vcpu));
    }
    Result<void> insert_breakpoint(std::uint64_t address) override {
        return explained(inner_->insert_breakpoint(address));
    }
    Result<void> remove_breakpoint(std::uint64_t address) override {
        return explained(inner_->remove_breakpoint(address));
    }
    Result<void> detach() override { return inner_->detach(); }

  protected:
    Target& inner() { return *inner_; }
    const Target& inner() const { return *inner_; }
    /// What is known of why a call failed; empty = no more than its own error.
    virtual std::optional<Error> explanation() const { return std::nullopt; }

  private:
    template <typename T>
    Result<T> explained(Result<T> result) const {
        if (!result)
            if (auto why = explanation()) return tl::unexpected(std::move(*why));
        return result;
    }

    std::unique_ptr<Target> inner_;
};

}  // namespace vmxscope::core
