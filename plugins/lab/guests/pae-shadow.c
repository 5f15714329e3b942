// pae-shadow: no nested EPT, L2 in PAE paging. How hypervisors did it before EPT: L2's CR3 is L1's to choose.
//
// The processor reads the four PDPTEs from the table that GUEST_CR3 points to; GUEST_PDPTR0-3 of vmcs12 mean nothing.
// KVM, which does use EPT for L2, loads them from L1's memory at each entry and puts them in vmcs02, and at an exit
// leaves vmcs12's alone. Page faults of L2 are L1's business: the page that the other guests lack in the EPT is missing
// in L2's page tables here.
#include "l1.h"

const struct guest guest = {
    .teaches = "pae-shadow: no nested EPT, L2 in PAE paging",
    .mode = L2_PAE,
    .nested_ept = false,
    .cpus = 1,
    .l2_code = l2_program_32bit,
};
