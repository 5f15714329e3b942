// pae-ept-smp: pae-ept on two processors, each with a vmcs12, an EPT and page tables of its own.
//
// Every address that L1 gives to processor 1 is 8 MiB above the one it gives to processor 0 (layout.h), so that a value
// of the one that turns up at the other is seen at once. Under a KVM with several processors of its own, a VMCS
// migrates.
#include "l1.h"

const struct guest guest = {
    .teaches = "pae-ept-smp: nested EPT, an L2 in PAE paging on each of two processors",
    .mode = L2_PAE,
    .nested_ept = true,
    .cpus = 2,
    .l2_code = l2_program_32bit,
};
