// The VM-entries that broken-entries tries, each of which breaks one rule of the SDM.
#pragma once

#include "l1.h"

enum answer_kind {
    VMFAIL,
    EXIT,
    NOT_OFFERED,  // not tried: this processor lacks what the case needs, or allows what the case does
    NOT_KEPT,     // not tried: VMWRITE drops the bits that would break the rule, as it may with reserved ones
};

/// What a VM-entry comes to.
struct answer {
    u8 kind;            // enum answer_kind
    bool entry_failed;  // EXIT: bit 31 of the exit reason: L2 did not run
    u16 number;         // VMFAIL: the VM-instruction error (0: VMfailInvalid has none); EXIT: the basic exit reason
    u64 qualification;  // EXIT with entry_failed; else 0
};

/// What is done to a field before the VM-entry, and undone after it.
enum change {
    NO_CHANGE,
    LACKS,  // none, and the last: where IA32_VMX_MISC has these bits, the case breaks no rule and is not tried
    WITH,   // these control bits on; where they are not offered, the case cannot be tried
    ON,     // these bits on
    OFF,    // these bits off
    SET,    // this value
};
struct change_of_field {
    u8 change;  // enum change
    u16 field;  // enum vmcs_field
    u64 bits;
};

#define CASE_CHANGES 8
#define CASE_NAME 64  // with the zeros that fill it: as much as R8 to R15 hold

struct broken_case {
    char name[CASE_NAME];  // the rule that is broken
    struct answer expected;
    struct change_of_field changes[CASE_CHANGES];
};
extern const struct broken_case broken_cases[];
extern const unsigned broken_case_count;
#define MAX_BROKEN_CASES 256
