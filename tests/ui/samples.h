// Transitions made by hand: what the lab's guests do, without the lab. Values are those of a small PAE guest.
#pragma once

#include <memory>
#include <vector>

#include "nested/transition.h"

namespace vmxscope::ui::samples {

using TransitionPtr = std::shared_ptr<const nested::Transition>;

/// One story of transitions from seq 1 on, ending at the transition that the name speaks of.
std::vector<TransitionPtr> copied();         // entry 1, dirty vmcs12, nested EPT, PAE: the first VMLAUNCH
std::vector<TransitionPtr> skipped();        // …and the second entry: vmcs12 not dirty, the CPU saved the PDPTRs
std::vector<TransitionPtr> undefined();      // PAE turned on by L1 without dirtying vmcs12: the alarm
std::vector<TransitionPtr> from_memory();    // no nested EPT
std::vector<TransitionPtr> copied_unused();  // 64-bit L2
std::vector<TransitionPtr> refused();        // L1 cleared CR0.PE under CR0.PG: KVM refuses the entry
std::vector<TransitionPtr> disagreeing();    // evidence of every field; GUEST_CR3 was written with another value

}  // namespace vmxscope::ui::samples
