// SDM Vol. 3C 27.2.2 to 27.2.4: checks on the host-state area.
#include "vmx/entry_check/context.h"
#include "vmx/entry_check/registers.h"

namespace vmxscope::vmx {
namespace {

using Host = Rule<Answer::VmFailHost>;
using C = const EntryContext&;
using enum Field;
constexpr std::string_view kRegisters = "27.2.2";
constexpr std::string_view kSegments = "27.2.3";
constexpr std::string_view kSize = "27.2.4";
constexpr std::string_view kFred = "27.2.2, FRED";

bool host64(C c) {
    return c.exits(exits::kHostAddressSpaceSize);
}

#define CANONICAL_RULE(ID, SECTION, FIELD) \
    Host("host." ID, SECTION, #FIELD " is canonical", on<of(FIELD)>, [](C c) { return unless(c.canonical(c[FIELD])); })
/// Only when the VM-exit control loads the MSR.
#define LOADED_RULE(ID, SECTION, TITLE, FIELD, MASK, LOAD, FAULT)                            \
    Host("host." ID, SECTION, TITLE, on<of(FIELD, MASK), of(VM_EXIT_CONTROLS, exits::LOAD)>, \
         [](C c) -> std::uint64_t { return c.exits(exits::LOAD) ? (FAULT) : 0; })

// CR0.NW and CR0.CD are not changed by VM-exits, and not checked. Linear-address masking uses CR3[62:61].
constexpr std::uint64_t kCr0Unchecked = cr0::kNw | cr0::kCd;

std::uint64_t cr3_reserved(C c) {
    const bool masks = c.allowed_of<HOST_CR4>().may_one & cr4::kLamSup;
    return c.beyond_width(c[HOST_CR3]) & ~(masks ? bits(62, 61) : 0);
}

constexpr Host kRegisterRules[] = {
    Host("host.cr0.required", kRegisters, "HOST_CR0 has every bit that IA32_VMX_CR0_FIXED0 requires", on<of(HOST_CR0)>,
         [](C c) { return c.lacking<HOST_CR0>(kCr0Unchecked); }),
    Host("host.cr0.allowed", kRegisters, "HOST_CR0 has only bits that IA32_VMX_CR0_FIXED1 allows", on<of(HOST_CR0)>,
         [](C c) { return c.excess<HOST_CR0>() & ~kCr0Unchecked; }),
    Host("host.cr4.required", kRegisters, "HOST_CR4 has every bit that IA32_VMX_CR4_FIXED0 requires", on<of(HOST_CR4)>,
         [](C c) { return c.lacking<HOST_CR4>(); }),
    Host("host.cr4.allowed", kRegisters, "HOST_CR4 has only bits that IA32_VMX_CR4_FIXED1 allows", on<of(HOST_CR4)>,
         [](C c) { return c.excess<HOST_CR4>(); }),
    Host("host.cr4.cet-needs-wp", kRegisters, "CR4.CET needs CR0.WP",
         on<of(HOST_CR4, cr4::kCet), of(HOST_CR0, cr0::kWp)>,
         [](C c) { return unless(!(c[HOST_CR4] & cr4::kCet) || (c[HOST_CR0] & cr0::kWp)); }),
    Host("host.cr3.width", kRegisters, "HOST_CR3 is within the processor's physical-address width", on<of(HOST_CR3)>,
         cr3_reserved),
    CANONICAL_RULE("sysenter-esp", kRegisters, HOST_IA32_SYSENTER_ESP),
    CANONICAL_RULE("sysenter-eip", kRegisters, HOST_IA32_SYSENTER_EIP),
    LOADED_RULE("perf-global-ctrl", kRegisters, "HOST_IA32_PERF_GLOBAL_CTRL has its reserved bits 0",
                HOST_IA32_PERF_GLOBAL_CTRL, kPerfGlobalCtrlReserved, kLoadPerfGlobalCtrl,
                c[HOST_IA32_PERF_GLOBAL_CTRL] & kPerfGlobalCtrlReserved),
    LOADED_RULE("pat", kRegisters, "Each byte of HOST_IA32_PAT is a memory type", HOST_IA32_PAT, ~0ULL, kLoadPat,
                bad_pat_bytes(c[HOST_IA32_PAT])),
    LOADED_RULE("efer.reserved", kRegisters, "HOST_IA32_EFER has its reserved bits 0", HOST_IA32_EFER, kEferReserved,
                kLoadEfer, c[HOST_IA32_EFER] & kEferReserved),
    Host("host.efer.lma", kRegisters, "EFER.LMA of the host is the VM-exit control \"host address-space size\"",
         on<of(HOST_IA32_EFER, efer::kLma), of(VM_EXIT_CONTROLS, exits::kLoadEfer | exits::kHostAddressSpaceSize)>,
         [](C c) { return unless(!c.exits(exits::kLoadEfer) || !!(c[HOST_IA32_EFER] & efer::kLma) == host64(c)); }),
    Host("host.efer.lme", kRegisters, "EFER.LME of the host is the VM-exit control \"host address-space size\"",
         on<of(HOST_IA32_EFER, efer::kLme), of(VM_EXIT_CONTROLS, exits::kLoadEfer | exits::kHostAddressSpaceSize)>,
         [](C c) { return unless(!c.exits(exits::kLoadEfer) || !!(c[HOST_IA32_EFER] & efer::kLme) == host64(c)); }),
    LOADED_RULE("s-cet.reserved", kRegisters, "HOST_S_CET has bits 9:6 0", HOST_S_CET, kSCetReserved, kLoadCet,
                c[HOST_S_CET] & kSCetReserved),
    LOADED_RULE("s-cet.suppress-tracker", kRegisters,
                "HOST_S_CET does not have both SUPPRESS (bit 10) and TRACKER (bit 11)", HOST_S_CET,
                kSCetSuppressAndTracker, kLoadCet,
                unless((c[HOST_S_CET] & kSCetSuppressAndTracker) != kSCetSuppressAndTracker)),
    LOADED_RULE("s-cet.canonical", kRegisters, "HOST_S_CET is canonical", HOST_S_CET, ~0ULL, kLoadCet,
                unless(c.canonical(c[HOST_S_CET]))),
    LOADED_RULE("ssp.aligned", kRegisters, "HOST_SSP has bits 1:0 0", HOST_SSP, bits(1, 0), kLoadCet,
                c[HOST_SSP] & bits(1, 0)),
    LOADED_RULE("ssp.canonical", kRegisters, "HOST_SSP is canonical", HOST_SSP, ~0ULL, kLoadCet,
                unless(c.canonical(c[HOST_SSP]))),
    LOADED_RULE("interrupt-ssp-table", kRegisters, "HOST_INTR_SSP_TABLE is canonical", HOST_INTR_SSP_TABLE, ~0ULL,
                kLoadCet, unless(c.canonical(c[HOST_INTR_SSP_TABLE]))),
    LOADED_RULE("pkrs", kRegisters, "HOST_IA32_PKRS has bits 63:32 0", HOST_IA32_PKRS, kHigh, kLoadPkrs,
                c[HOST_IA32_PKRS] & kHigh),
};

#define FRED_RULE(ID, TITLE, FIELD, MASK, FAULT)                                                                \
    Host("host.fred." ID, kFred, TITLE, on<of(FIELD, MASK), of(SECONDARY_VM_EXIT_CONTROLS, exits2::kLoadFred)>, \
         [](C c) -> std::uint64_t { return c.exits2(exits2::kLoadFred) ? (FAULT) : 0; })
#define FRED_STACK_RULES(ID, FIELD, ALIGNED, ALIGNED_BITS)                                           \
    FRED_RULE(ID ".canonical", #FIELD " is canonical", FIELD, ~0ULL, unless(c.canonical(c[FIELD]))), \
        FRED_RULE(ID ".aligned", #FIELD " has bits " ALIGNED " 0", FIELD, ALIGNED_BITS, c[FIELD] & (ALIGNED_BITS))

constexpr Host kFredRules[] = {
    FRED_RULE("config.reserved", "HOST_IA32_FRED_CONFIG has bits 2, 5:4 and 11 0", HOST_IA32_FRED_CONFIG,
              kFredConfigReserved, c[HOST_IA32_FRED_CONFIG] & kFredConfigReserved),
    FRED_RULE("config.canonical", "HOST_IA32_FRED_CONFIG is canonical", HOST_IA32_FRED_CONFIG, ~0ULL,
              unless(c.canonical(c[HOST_IA32_FRED_CONFIG]))),
    FRED_STACK_RULES("rsp1", HOST_IA32_FRED_RSP1, "5:0", bits(5, 0)),
    FRED_STACK_RULES("rsp2", HOST_IA32_FRED_RSP2, "5:0", bits(5, 0)),
    FRED_STACK_RULES("rsp3", HOST_IA32_FRED_RSP3, "5:0", bits(5, 0)),
    FRED_STACK_RULES("ssp1", HOST_IA32_FRED_SSP1, "2:0", bits(2, 0)),
    FRED_STACK_RULES("ssp2", HOST_IA32_FRED_SSP2, "2:0", bits(2, 0)),
    FRED_STACK_RULES("ssp3", HOST_IA32_FRED_SSP3, "2:0", bits(2, 0)),
};

#define SELECTOR_RULE(ID, FIELD)                                                                                       \
    Host("host." ID ".selector", kSegments, #FIELD " has RPL and TI 0", on<of(FIELD, selector::kRpl | selector::kTi)>, \
         [](C c) { return c[FIELD] & (selector::kRpl | selector::kTi); })

constexpr Host kSegmentRules[] = {
    SELECTOR_RULE("es", HOST_ES_SELECTOR),
    SELECTOR_RULE("cs", HOST_CS_SELECTOR),
    SELECTOR_RULE("ss", HOST_SS_SELECTOR),
    SELECTOR_RULE("ds", HOST_DS_SELECTOR),
    SELECTOR_RULE("fs", HOST_FS_SELECTOR),
    SELECTOR_RULE("gs", HOST_GS_SELECTOR),
    SELECTOR_RULE("tr", HOST_TR_SELECTOR),
    Host("host.cs.null", kSegments, "HOST_CS_SELECTOR is not 0", on<of(HOST_CS_SELECTOR)>,
         [](C c) { return unless(c[HOST_CS_SELECTOR] != 0); }),
    Host("host.tr.null", kSegments, "HOST_TR_SELECTOR is not 0", on<of(HOST_TR_SELECTOR)>,
         [](C c) { return unless(c[HOST_TR_SELECTOR] != 0); }),
    Host("host.ss.null", kSegments, "For a 32-bit host, HOST_SS_SELECTOR is not 0",
         on<of(HOST_SS_SELECTOR), of(VM_EXIT_CONTROLS, exits::kHostAddressSpaceSize)>,
         [](C c) { return unless(host64(c) || c[HOST_SS_SELECTOR] != 0); }),
    CANONICAL_RULE("fs.base", kSegments, HOST_FS_BASE),
    CANONICAL_RULE("gs.base", kSegments, HOST_GS_BASE),
    CANONICAL_RULE("gdtr.base", kSegments, HOST_GDTR_BASE),
    CANONICAL_RULE("idtr.base", kSegments, HOST_IDTR_BASE),
    CANONICAL_RULE("tr.base", kSegments, HOST_TR_BASE),
};

constexpr FieldBits kHost64 = of(VM_EXIT_CONTROLS, exits::kHostAddressSpaceSize);

constexpr Host kSizeRules[] = {
    Host("host.size.guest64-needs-host64", kSize, "An IA-32e guest needs a 64-bit host",
         on<of(VM_ENTRY_CONTROLS, entries::kIa32eGuest), kHost64>, [](C c) { return unless(host64(c) || !c.ia32e()); }),
    Host("host.cr4.pcide", kSize, "For a 32-bit host, CR4.PCIDE is 0", on<of(HOST_CR4, cr4::kPcide), kHost64>,
         [](C c) { return host64(c) ? 0 : c[HOST_CR4] & cr4::kPcide; }),
    Host("host.rip.wide", kSize, "For a 32-bit host, HOST_RIP has bits 63:32 0", on<of(HOST_RIP, kHigh), kHost64>,
         [](C c) { return host64(c) ? 0 : c[HOST_RIP] & kHigh; }),
    Host("host.s-cet.wide", kSize, "For a 32-bit host, HOST_S_CET has bits 63:32 0",
         on<of(HOST_S_CET, kHigh), of(VM_EXIT_CONTROLS, exits::kHostAddressSpaceSize | exits::kLoadCet)>,
         [](C c) { return host64(c) || !c.exits(exits::kLoadCet) ? 0 : c[HOST_S_CET] & kHigh; }),
    Host("host.ssp.wide", kSize, "For a 32-bit host, HOST_SSP has bits 63:32 0",
         on<of(HOST_SSP, kHigh), of(VM_EXIT_CONTROLS, exits::kHostAddressSpaceSize | exits::kLoadCet)>,
         [](C c) { return host64(c) || !c.exits(exits::kLoadCet) ? 0 : c[HOST_SSP] & kHigh; }),
    Host("host.cr4.pae", kSize, "For a 64-bit host, CR4.PAE is 1", on<of(HOST_CR4, cr4::kPae), kHost64>,
         [](C c) { return host64(c) ? ~c[HOST_CR4] & cr4::kPae : 0; }),
    Host("host.rip.canonical", kSize, "For a 64-bit host, HOST_RIP is canonical", on<of(HOST_RIP), kHost64>,
         [](C c) { return unless(!host64(c) || c.canonical(c[HOST_RIP])); }),
    Host("host.cr4.fred", kSize, "For a 32-bit host, CR4.FRED is 0", on<of(HOST_CR4, cr4::kFred), kHost64>,
         [](C c) { return host64(c) ? 0 : c[HOST_CR4] & cr4::kFred; }),
};

}  // namespace

std::span<const EntryRule> host_rules() {
    return joined<kRegisterRules, kFredRules, kSegmentRules, kSizeRules>();
}

}  // namespace vmxscope::vmx
