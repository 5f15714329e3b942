// The evidence half of the PDPTR verdict: what KVM did with GUEST_PDPTR0-3, from the VMREADs and VMWRITEs seen as they
// executed, the values, and vmcs02's own control bits. Does not look at the conditions that the rule decides from.
#pragma once

#include <optional>
#include <string>

#include "nested/pdptr.h"

namespace vmxscope::nested {

struct Observed {
    Did did = Did::Unknown;
    std::string why_unknown;      // one clause, when did is Unknown: "only 2 of the 4 fields were seen written"
    bool early = false;           // a VMWRITE in prepare_vmcs02_rare (prepare_vmcs02_full before v5.3)
    bool late = false;            // a VMWRITE anywhere but there and in the flush
    bool flush = false;           // a VMWRITE in vmx_ept_load_pdptrs: from the vCPU's cache
    std::optional<bool> hw_uses;  // by vmcs02's own bits: the processor loads its PDPTEs from the fields
};

Observed observe_pdptrs(const Transition& t, Direction direction);

/// Whether a VM entry with this VMCS loads the PDPTEs from its fields (SDM 27.3.2.4): "enable EPT" in activated
/// secondary controls, CR0.PG, CR4.PAE, and not "IA-32e mode guest". Empty when it cannot be known.
std::optional<bool> loads_pdpte_fields(const vmx::VmcsImage& vmcs);

}  // namespace vmxscope::nested
