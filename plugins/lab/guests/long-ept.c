// long-ept: nested EPT, L2 in 64-bit mode. The common case today: no PDPTE registers, so GUEST_PDPTR0-3 are unused.
//
// KVM's early copy does not know that yet and writes them at the first VM-entry all the same; later entries skip, and
// so does every exit. What vmcs02 then holds is undefined, and unused.
#include "l1.h"

const struct guest guest = {
    .teaches = "long-ept: nested EPT, L2 in 64-bit mode",
    .mode = L2_LONG,
    .nested_ept = true,
    .cpus = 1,
    .l2_code = l2_program_64bit,
};
