// pae-ept: nested EPT, L2 in PAE paging. The case that the PDPTE fields of the VMCS exist for.
//
// At the first VM-entry vmcs12 is dirty and KVM copies GUEST_PDPTR0-3 to vmcs02. Afterwards L1 writes only fields that
// KVM shadows, vmcs12 stays clean and KVM skips the copy: vmcs02 still holds what the processor saved at the last exit.
// Each exit copies the four values back, and since L2 loads CR3 every round, they change from frame A's to frame B's.
#include "l1.h"

const struct guest guest = {
    .teaches = "pae-ept: nested EPT, L2 in PAE paging",
    .mode = L2_PAE,
    .nested_ept = true,
    .cpus = 1,
    .l2_code = l2_program_32bit,
};
