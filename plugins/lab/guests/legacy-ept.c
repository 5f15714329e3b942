// legacy-ept: nested EPT, L2 in 32-bit paging without PAE. As long-ept for the PDPTEs, but for another reason: CR4.PAE
// is 0.
#include "l1.h"

const struct guest guest = {
    .teaches = "legacy-ept: nested EPT, L2 in 32-bit paging",
    .mode = L2_32BIT,
    .nested_ept = true,
    .cpus = 1,
    .l2_code = l2_program_32bit,
};
