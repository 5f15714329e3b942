// A value read from a machine, or the reason why there is none. Unknown is not zero.
#pragma once

#include <cstdint>

namespace vmxscope::vmx {

enum class Known : std::uint8_t {
    NotRead,      // nobody read it: not asked for, or the VMCS could not be identified as the expected one
    Yes,          // `bits` is what was read
    Unsupported,  // this processor (VMfailValid 12) or this layout has no such field
    Faulted,      // the read itself faulted
};

struct Value {
    std::uint64_t bits = 0;  // meaningful only when state is Yes; 0 otherwise
    Known state = Known::NotRead;

    static constexpr Value of(std::uint64_t bits) { return {bits, Known::Yes}; }
    static constexpr Value unsupported() { return {0, Known::Unsupported}; }
    static constexpr Value faulted() { return {0, Known::Faulted}; }
    constexpr bool known() const { return state == Known::Yes; }
    constexpr bool operator==(const Value&) const = default;
};

}  // namespace vmxscope::vmx
