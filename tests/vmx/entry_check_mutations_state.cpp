#include "entry_check_images.h"
#include "entry_check_mutations.h"
#include "vmx/controls.h"

namespace vmxscope::vmx::test {
namespace {

using enum Field;
using Changes = std::vector<Change>;

constexpr std::uint64_t kNotCanonical = bit(60);

Change exits_on(std::uint64_t bits) {
    return {VM_EXIT_CONTROLS, with(long_mode_image, VM_EXIT_CONTROLS, bits)};
}
Change entries_on(VmcsImage (*base)(), std::uint64_t bits) {
    return {VM_ENTRY_CONTROLS, with(base, VM_ENTRY_CONTROLS, bits)};
}
Change injected(std::uint64_t type, std::uint64_t vector, std::uint64_t more = 0) {
    return {VM_ENTRY_INTR_INFO_FIELD, injection::kValid | type << 8 | vector | more};
}

void add_fred(std::vector<Mutation>& all, const std::string& side, Field config, const Changes& on) {
    const auto add = [&](const std::string& rule, Field f, std::uint64_t bits) {
        Changes changes = on;
        changes.push_back({f, bits});
        all.push_back({side + ".fred." + rule, long_mode_image, changes});
    };
    const auto nth = [config](unsigned n) { return static_cast<Field>(static_cast<unsigned>(config) + 2 * n); };
    add("config.reserved", config, bit(4));
    add("config.canonical", config, kNotCanonical);
    for (unsigned n = 1; n <= 3; ++n) {  // RSP1 to RSP3 follow, then STKLVLS and SSP1 to SSP3
        add("rsp" + std::to_string(n) + ".canonical", nth(n), kNotCanonical);
        add("rsp" + std::to_string(n) + ".aligned", nth(n), 0x1008);
        add("ssp" + std::to_string(n) + ".canonical", nth(n + 4), kNotCanonical);
        add("ssp" + std::to_string(n) + ".aligned", nth(n + 4), 0x1004);
    }
}

/// For a 32-bit host, which has only 32-bit guests. It has no EFER of its own here, and a RIP below 4 GiB.
Changes host32(Changes more) {
    Changes changes = {
        {VM_EXIT_CONTROLS, with(long_mode_image, VM_EXIT_CONTROLS, exits::kLoadCet, exits::kHostAddressSpaceSize)},
        {HOST_IA32_EFER, 0},
        {HOST_RIP, 0x1000}};
    changes.insert(changes.end(), more.begin(), more.end());
    return changes;
}

}  // namespace

std::vector<Mutation> host_mutations() {
    std::vector<Mutation> all;
    const auto add = [&](const char* rule, Changes changes, bool first = true) {
        all.push_back({rule, long_mode_image, std::move(changes), first});
    };
    const auto add32 = [&](const char* rule, Changes changes) {
        all.push_back({rule, pae_image, host32(std::move(changes))});
    };
    add("host.cr0.required", {{HOST_CR0, 0x80010013}});
    add("host.cr0.allowed", {{HOST_CR0, 0x80010033 | bit(32)}});
    add("host.cr4.required", {{HOST_CR4, 0x20}});
    add("host.cr4.allowed", {{HOST_CR4, 0x2020 | bit(15)}});
    add("host.cr4.cet-needs-wp", {{HOST_CR4, 0x2020 | cr4::kCet}, {HOST_CR0, 0x80000033}});
    add("host.cr3.width", {{HOST_CR3, bit(62)}});
    for (const auto& [rule, field] : {std::pair{"host.sysenter-esp", HOST_IA32_SYSENTER_ESP},
                                      {"host.sysenter-eip", HOST_IA32_SYSENTER_EIP},
                                      {"host.fs.base", HOST_FS_BASE},
                                      {"host.gs.base", HOST_GS_BASE},
                                      {"host.gdtr.base", HOST_GDTR_BASE},
                                      {"host.idtr.base", HOST_IDTR_BASE},
                                      {"host.tr.base", HOST_TR_BASE},
                                      {"host.rip.canonical", HOST_RIP}})
        add(rule, {{field, kNotCanonical}});
    add("host.perf-global-ctrl", {exits_on(exits::kLoadPerfGlobalCtrl), {HOST_IA32_PERF_GLOBAL_CTRL, bit(60)}});
    add("host.pat", {{HOST_IA32_PAT, 0x0007040600070402}});
    add("host.efer.reserved", {{HOST_IA32_EFER, 0x501 | bit(12)}});
    add("host.efer.lma", {{HOST_IA32_EFER, efer::kLme}});
    add("host.efer.lme", {{HOST_IA32_EFER, efer::kLma}});
    const Change cet = exits_on(exits::kLoadCet);
    add("host.s-cet.reserved", {cet, {HOST_S_CET, bit(7)}});
    add("host.s-cet.suppress-tracker", {cet, {HOST_S_CET, bits(11, 10)}});
    add("host.s-cet.canonical", {cet, {HOST_S_CET, kNotCanonical}});
    add("host.ssp.aligned", {cet, {HOST_SSP, 0x1002}});
    add("host.ssp.canonical", {cet, {HOST_SSP, kNotCanonical}});
    add("host.interrupt-ssp-table", {cet, {HOST_INTR_SSP_TABLE, kNotCanonical}});
    add("host.pkrs", {exits_on(exits::kLoadPkrs), {HOST_IA32_PKRS, bit(32)}});
    add_fred(all, "host", HOST_IA32_FRED_CONFIG,
             {exits_on(exits::kSecondaryControls), {SECONDARY_VM_EXIT_CONTROLS, exits2::kLoadFred}});
    for (const auto& [rule, field] : {std::pair{"host.es.selector", HOST_ES_SELECTOR},
                                      {"host.cs.selector", HOST_CS_SELECTOR},
                                      {"host.ss.selector", HOST_SS_SELECTOR},
                                      {"host.ds.selector", HOST_DS_SELECTOR},
                                      {"host.fs.selector", HOST_FS_SELECTOR},
                                      {"host.gs.selector", HOST_GS_SELECTOR},
                                      {"host.tr.selector", HOST_TR_SELECTOR}}) {
        add(rule, {{field, 0x13}});
        add(rule, {{field, 0x14}});
    }
    add("host.cs.null", {{HOST_CS_SELECTOR, 0}});
    add("host.tr.null", {{HOST_TR_SELECTOR, 0}});
    add32("host.ss.null", {{HOST_SS_SELECTOR, 0}});
    all.push_back({"host.size.guest64-needs-host64", long_mode_image, host32({})});
    add32("host.cr4.pcide", {{HOST_CR4, 0x2020 | cr4::kPcide}});
    add32("host.rip.wide", {{HOST_RIP, bit(32)}});
    add32("host.s-cet.wide", {{HOST_S_CET, bit(32)}});
    add32("host.ssp.wide", {{HOST_SSP, bit(32)}});
    add32("host.cr4.fred", {{HOST_CR4, 0x2020 | cr4::kFred}});
    add("host.cr4.pae", {{HOST_CR4, 0x2000}});
    return all;
}

std::vector<Mutation> guest_register_mutations() {
    std::vector<Mutation> all;
    const auto add = [&](const char* rule, Changes changes, bool first = true) {
        all.push_back({rule, long_mode_image, std::move(changes), first});
    };
    add("guest.cr0.required", {{GUEST_CR0, 0x80010013}});
    add("guest.cr0.allowed", {{GUEST_CR0, 0x80010033 | bit(32)}});
    all.push_back({"guest.cr0.pg-needs-pe", real_mode_image, {{GUEST_CR0, 0x30 | cr0::kPg}}});
    add("guest.cr4.required", {{GUEST_CR4, 0x20}});
    add("guest.cr4.allowed", {{GUEST_CR4, 0x2020 | bit(15)}});
    add("guest.cr4.cet-needs-wp", {{GUEST_CR4, 0x2020 | cr4::kCet}, {GUEST_CR0, 0x80000033}});
    add("guest.debugctl", {{GUEST_IA32_DEBUGCTL, bit(16)}});
    add("guest.cr0.ia32e-needs-pg",
        {{SECONDARY_VM_EXEC_CONTROL, secondary::kEpt | secondary::kUnrestrictedGuest}, {GUEST_CR0, 0x33}});
    add("guest.cr4.ia32e-needs-pae", {{GUEST_CR4, 0x2000}});
    all.push_back({"guest.cr4.pcide-needs-ia32e", pae_image, {{GUEST_CR4, 0x2020 | cr4::kPcide}}});
    all.push_back({"guest.cr4.fred-needs-ia32e", pae_image, {{GUEST_CR4, 0x2020 | cr4::kFred}}});
    add("guest.cr3.width", {{GUEST_CR3, bit(40)}});
    add("guest.cr3.width", {{GUEST_CR3, bit(61)}});
    add("guest.dr7", {{GUEST_DR7, bit(32)}});
    for (const auto& [rule, field] : {std::pair{"guest.sysenter-esp", GUEST_SYSENTER_ESP},
                                      {"guest.sysenter-eip", GUEST_SYSENTER_EIP},
                                      {"guest.gdtr.base", GUEST_GDTR_BASE},
                                      {"guest.idtr.base", GUEST_IDTR_BASE}})
        add(rule, {{field, kNotCanonical}});
    const auto on = [](std::uint64_t bits) { return entries_on(long_mode_image, bits); };
    add("guest.s-cet.reserved", {on(entries::kLoadCet), {GUEST_S_CET, bit(6)}});
    add("guest.s-cet.suppress-tracker", {on(entries::kLoadCet), {GUEST_S_CET, bits(11, 10)}});
    add("guest.s-cet.canonical", {on(entries::kLoadCet), {GUEST_S_CET, kNotCanonical}});
    add("guest.interrupt-ssp-table", {on(entries::kLoadCet), {GUEST_INTR_SSP_TABLE, kNotCanonical}});
    add("guest.perf-global-ctrl", {on(entries::kLoadPerfGlobalCtrl), {GUEST_IA32_PERF_GLOBAL_CTRL, bit(50)}});
    add("guest.pat", {{GUEST_IA32_PAT, 0x0307040600070406}});
    add("guest.efer.reserved", {{GUEST_IA32_EFER, 0x500 | bit(9)}});
    add("guest.efer.lma", {{GUEST_IA32_EFER, 0}});
    add("guest.efer.lme", {{GUEST_IA32_EFER, efer::kLma}});
    add("guest.bndcfgs.reserved", {on(entries::kLoadBndcfgs), {GUEST_BNDCFGS, bit(5)}});
    add("guest.bndcfgs.canonical", {on(entries::kLoadBndcfgs), {GUEST_BNDCFGS, kNotCanonical}});
    add("guest.rtit-ctl", {on(entries::kLoadRtitCtl), {GUEST_IA32_RTIT_CTL, bit(18)}});
    add("guest.lbr-ctl", {on(entries::kLoadLbrCtl), {GUEST_IA32_LBR_CTL, bit(8)}});
    add("guest.pkrs", {on(entries::kLoadPkrs), {GUEST_IA32_PKRS, bit(33)}});
    add("guest.uinv", {on(entries::kLoadUinv), {GUEST_UINV, 0x1ec}});
    add_fred(all, "guest", GUEST_IA32_FRED_CONFIG, {on(entries::kLoadFred)});
    add("guest.gdtr.limit", {{GUEST_GDTR_LIMIT, 0x10000}});
    add("guest.idtr.limit", {{GUEST_IDTR_LIMIT, 0x10000}});
    all.push_back({"guest.rip.wide", pae_image, {{GUEST_RIP, bit(32)}}});
    add("guest.rip.wide", {{GUEST_CS_AR_BYTES, 0xc09b}, {GUEST_RIP, bit(32)}});
    add("guest.rip.upper", {{GUEST_RIP, bit(48)}});
    add("guest.rflags.reserved", {{GUEST_RFLAGS, 2 | bit(15)}});
    add("guest.rflags.bit-1", {{GUEST_RFLAGS, 0}});
    add("guest.rflags.vm-ia32e", {{GUEST_RFLAGS, 2 | rflags::kVm}}, false);
    all.push_back(
        {"guest.rflags.vm-needs-pe",
         virtual_8086_image,
         {{CPU_BASED_VM_EXEC_CONTROL, with(virtual_8086_image, CPU_BASED_VM_EXEC_CONTROL, proc::kSecondaryControls)},
          {SECONDARY_VM_EXEC_CONTROL, secondary::kEpt | secondary::kUnrestrictedGuest},
          {GUEST_CR0, 0x30}}});
    add("guest.rflags.if", {injected(injection::kExternalInterrupt, 0x20)});
    add("guest.ssp.aligned", {on(entries::kLoadCet), {GUEST_SSP, 0x1001}});
    all.push_back({"guest.ssp.wide", pae_image, {entries_on(pae_image, entries::kLoadCet), {GUEST_SSP, bit(32)}}});
    add("guest.ssp.upper", {on(entries::kLoadCet), {GUEST_SSP, bit(50)}});
    return all;
}

std::vector<Mutation> guest_state_mutations() {
    std::vector<Mutation> all;
    const auto add = [&](const char* rule, Changes changes, bool first = true) {
        all.push_back({rule, long_mode_image, std::move(changes), first});
    };
    const Change halted = {GUEST_ACTIVITY_STATE, activity::kHlt};
    const auto blocked = [](std::uint64_t bits) { return Change{GUEST_INTERRUPTIBILITY_INFO, bits}; };
    const Change interrupts_on = {GUEST_RFLAGS, 2 | rflags::kIf};
    add("guest.activity.defined", {{GUEST_ACTIVITY_STATE, 4}});
    all.push_back({"guest.activity.supported",
                   long_mode_image,
                   {{GUEST_ACTIVITY_STATE, activity::kShutdown}},
                   true,
                   [](Capabilities& c) { c[CapabilityMsr::Misc].bits &= ~bit(7); }});
    all.push_back({"guest.activity.hlt-dpl",
                   real_mode_image,
                   {halted, {GUEST_CR0, 0x31}, {GUEST_CS_AR_BYTES, 0xfb}, {GUEST_SS_AR_BYTES, 0xf3}}});
    add("guest.activity.blocking", {halted, interrupts_on, blocked(interruptibility::kSti)});
    add("guest.activity.injection", {halted, injected(injection::kHardwareException, 6)});
    add("guest.activity.injection",
        {{GUEST_ACTIVITY_STATE, activity::kShutdown}, interrupts_on, injected(injection::kExternalInterrupt, 0x20)});
    add("guest.activity.injection", {{GUEST_ACTIVITY_STATE, activity::kWaitForSipi}, injected(injection::kNmi, 2)});
    const Change smm = {VM_ENTRY_CONTROLS, with(long_mode_image, VM_ENTRY_CONTROLS, entries::kSmm)};
    add("guest.activity.smm", {smm, {GUEST_ACTIVITY_STATE, activity::kWaitForSipi}}, false);
    add("guest.interruptibility.reserved", {blocked(bit(5))});
    add("guest.interruptibility.sti-and-mov-ss",
        {interrupts_on, blocked(interruptibility::kSti | interruptibility::kMovSs)});
    add("guest.interruptibility.sti-needs-if", {blocked(interruptibility::kSti)});
    add("guest.interruptibility.interrupt",
        {interrupts_on, injected(injection::kExternalInterrupt, 0x20), blocked(interruptibility::kMovSs)});
    add("guest.interruptibility.nmi-mov-ss", {injected(injection::kNmi, 2), blocked(interruptibility::kMovSs)});
    add("guest.interruptibility.nmi-sti",
        {interrupts_on, injected(injection::kNmi, 2), blocked(interruptibility::kSti)});
    add("guest.interruptibility.smi", {blocked(interruptibility::kSmi)});
    add("guest.interruptibility.smm", {smm}, false);
    add("guest.interruptibility.virtual-nmi",
        {{PIN_BASED_VM_EXEC_CONTROL, with(long_mode_image, PIN_BASED_VM_EXEC_CONTROL, pin::kVirtualNmis)},
         injected(injection::kNmi, 2),
         blocked(interruptibility::kNmi)});
    add("guest.interruptibility.enclave-mov-ss", {blocked(interruptibility::kEnclave | interruptibility::kMovSs)});
    add("guest.pending-debug.reserved", {{GUEST_PENDING_DBG_EXCEPTIONS, bit(5)}});
    add("guest.pending-debug.bs-set", {halted, {GUEST_RFLAGS, 2 | rflags::kTf}});
    add("guest.pending-debug.bs-clear", {halted, {GUEST_PENDING_DBG_EXCEPTIONS, pending_debug::kBs}});
    add("guest.pending-debug.rtm-alone", {{GUEST_PENDING_DBG_EXCEPTIONS, pending_debug::kRtm}});
    add("guest.pending-debug.rtm-mov-ss",
        {{GUEST_PENDING_DBG_EXCEPTIONS, pending_debug::kRtm | pending_debug::kEnabledBreakpoint},
         blocked(interruptibility::kMovSs)});
    add("guest.link-pointer.aligned", {{VMCS_LINK_POINTER, 0x1008}});
    add("guest.link-pointer.width", {{VMCS_LINK_POINTER, bit(44)}});
    for (unsigned n = 0; n < 4; ++n)
        all.push_back({"guest.pdpte" + std::to_string(n),
                       pae_image,
                       {{static_cast<Field>(static_cast<unsigned>(GUEST_PDPTR0) + 2 * n), 0x103003}}});
    return all;
}

std::vector<Mutation> msr_mutations() {
    std::vector<Mutation> all;
    const auto add = [&](const char* rule, MsrEntry entry) {
        Mutation m{rule, long_mode_image, {{VM_ENTRY_MSR_LOAD_COUNT, 2}, {VM_ENTRY_MSR_LOAD_ADDR, 0x2000}}};
        m.msrs = {{0x174, 0, 0x10}, entry};
        all.push_back(std::move(m));
    };
    all.push_back({"msr.count",
                   long_mode_image,
                   {{VM_ENTRY_MSR_LOAD_COUNT, 513}, {VM_ENTRY_MSR_LOAD_ADDR, 0x2000}},
                   true,
                   {},
                   std::vector<MsrEntry>(513, MsrEntry{0x174, 0, 0x10})});
    add("msr.fs-gs-base", {0xc0000100, 0, 0});
    add("msr.x2apic", {0x808, 0, 0});
    add("msr.smm-monitor", {0x9b, 0, 0});
    add("msr.microcode", {0x79, 0, 0});
    add("msr.read-only", {0x480, 0, 0});
    add("msr.reserved", {0x174, 1, 0});
    add("msr.efer", {0xc0000080, 0, bit(1)});
    add("msr.pat", {0x277, 0, 2});
    add("msr.debugctl", {0x1d9, 0, bit(16)});
    add("msr.high-half", {0xc0000103, 0, bit(32)});
    add("msr.canonical", {0xc0000082, 0, kNotCanonical});
    return all;
}

}  // namespace vmxscope::vmx::test
