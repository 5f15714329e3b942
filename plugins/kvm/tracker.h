// A recording's records have only what changed (REC_CHANGES) and come from few hooks. The Tracker keeps what they told of one
// vCPU and makes of each the samples that stepping's hooks would have given, so that the Assembler need not know of
// recordings. Pure: no device, no clock.
//
// A nested entry has ended when the hardware enters L2 (it succeeded) or L1 (it failed); a nested exit, when it enters L1.
// What a record did not look at is not read: of the state, only what its hook reads counts; of vmcs02, the last values do,
// as nobody but the processor and L0 writes it.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "plugins/kvm/sample.h"

namespace vmxscope::kvm {

class Tracker {
  public:
    /// `plan` must outlive it.
    explicit Tracker(const ProbePlan& plan);

    /// Takes a REC_CHANGES in and appends what the assembler is to be given, in order. Fails when the record has not the shape
    /// that was asked for; nothing is appended then.
    core::Result<void> take(const RawRecord& record, std::vector<Sample>& out);

  private:
    void forget();  // what was told: the record says that it begins anew
    void forget_flow();
    enum class UnderWay : std::uint8_t { Nothing, Entry, Exit, Refusal };

    core::Result<void> apply(const RawRecord& record);
    void apply_word(std::size_t word, std::uint64_t value, bool readable);
    Sample sample_of(const RawRecord& record) const;
    void add_state(Sample& s, std::uint32_t groups) const;
    void hardware_entry(Sample s, std::vector<Sample>& out);
    void end_entry(const Sample& at, std::int32_t status, std::vector<Sample>& out);

    const ProbePlan* plan_;
    std::vector<std::uint16_t> first_word_;  // of each mem
    std::vector<std::uint16_t> mem_of_;      // of each word
    std::uint64_t vcpu_ = 0;                 // its address: records that are told afresh have it
    std::vector<std::uint64_t> words_;
    std::vector<bool> readable_;             // of each word
    std::array<vmx::VmcsImage, 2> vmcs_;     // vmcs01, vmcs02
    std::optional<std::size_t> vmcs12_mem_;  // the one with the whole of it

    UnderWay under_way_ = UnderWay::Nothing;
    std::optional<Sample> begun_;            // of the nested entry, the last one that began
    std::uint64_t lost_ = 0;                 // records, as of the newest
    bool failed_ = false;                    // nested_vmx_fail, since it began
    bool entering_ = false;                  // the newest crossing is L1's exit for VMLAUNCH or VMRESUME, not yet answered
};

}  // namespace vmxscope::kvm
