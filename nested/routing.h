// Why an exit of L2's went where it went: L0 kept it, or L1 asked for it, and by which control, bitmap or mask
// (nested_vmx_l0_wants_exit and nested_vmx_l1_wants_exit of KVM's nested.c).
#pragma once

#include <optional>
#include <string>

#include "nested/transition.h"

namespace vmxscope::nested {

struct Routing {
    enum class Who : std::uint8_t { Unknown, L0, L1 };
    Who who = Who::Unknown;
    std::string by;                   // one sentence: "HLT exiting is on in vmcs12."
    std::optional<vmx::Field> field;  // of vmcs12, that decided; empty: no field did
    std::uint64_t bits = 0;           // of that field
};
std::string_view name_of(Routing::Who w);  // "L0 kept it", "L1 asked for it", "unknown"

/// Where a bitmap in L1's memory decides (MSR, I/O, VMREAD bitmap), and its bit was read: what it is.
struct BitmapBit {
    std::optional<bool> set;
};

/// Of an l2-exit or a nested-exit; empty for the other kinds. At a nested-exit it is known that L1 got it, so what a
/// bitmap must have said is concluded from that.
std::optional<Routing> routing_of(const Transition& t, BitmapBit bitmap = {});

}  // namespace vmxscope::nested
