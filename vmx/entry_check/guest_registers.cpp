// SDM Vol. 3C 27.3.1.1, 27.3.1.3 and 27.3.1.4: checks on the guest's control and debug registers and MSRs, on GDTR and
// IDTR, and on RIP, RFLAGS and SSP.
#include "vmx/entry_check/context.h"
#include "vmx/entry_check/registers.h"

namespace vmxscope::vmx {
namespace {

using Guest = Rule<Answer::InvalidGuestState>;
using C = const EntryContext&;
using enum Field;
constexpr std::string_view k = "27.3.1.1";
constexpr std::string_view kTables = "27.3.1.3";
constexpr std::string_view kFlags = "27.3.1.4";
constexpr std::string_view kFred = "27.3.1.1, FRED";

#define CANONICAL_RULE(ID, SECTION, FIELD)                             \
    Guest("guest." ID, SECTION, #FIELD " is canonical", on<of(FIELD)>, \
          [](C c) { return unless(c.canonical(c[FIELD])); })
/// Only when the VM-entry control loads the register.
#define LOADED_RULE(ID, SECTION, TITLE, FIELD, MASK, LOAD, FAULT)                                 \
    Guest("guest." ID, SECTION, TITLE, on<of(FIELD, MASK), of(VM_ENTRY_CONTROLS, entries::LOAD)>, \
          [](C c) -> std::uint64_t { return c.entries(entries::LOAD) ? (FAULT) : 0; })
#define LOADED_RESERVED(ID, FIELD, LOAD, RESERVED) \
    LOADED_RULE(ID, k, #FIELD " has its reserved bits 0", FIELD, RESERVED, LOAD, c[FIELD] & (RESERVED))

// CR0.NW and CR0.CD are not changed by VM-entries, and not checked. Linear-address masking uses CR3[62:61].
constexpr std::uint64_t kCr0Unchecked = cr0::kNw | cr0::kCd;

std::uint64_t cr0_lacking(C c) {
    return c.lacking<GUEST_CR0>(kCr0Unchecked | (c.unrestricted() ? cr0::kPe | cr0::kPg : 0));
}

std::uint64_t cr3_reserved(C c) {
    const bool masks = c.allowed_of<GUEST_CR4>().may_one & cr4::kLamSup;
    return c.beyond_width(c[GUEST_CR3]) & ~(masks ? bits(62, 61) : 0);
}

/// With paging, LME is what LMA is.
bool lme_fits(C c) {
    if (!c.entries(entries::kLoadEfer) || !(c[GUEST_CR0] & cr0::kPg)) return true;
    return !!(c[GUEST_IA32_EFER] & efer::kLme) == !!(c[GUEST_IA32_EFER] & efer::kLma);
}

constexpr FieldBits kIa32e = of(VM_ENTRY_CONTROLS, entries::kIa32eGuest);

constexpr Guest kControlRegisters[] = {
    Guest("guest.cr0.required", k,
          "GUEST_CR0 has every bit that IA32_VMX_CR0_FIXED0 requires, but PE and PG of an unrestricted guest",
          on<of(GUEST_CR0), of(SECONDARY_VM_EXEC_CONTROL, secondary::kUnrestrictedGuest)>, cr0_lacking),
    Guest("guest.cr0.allowed", k, "GUEST_CR0 has only bits that IA32_VMX_CR0_FIXED1 allows", on<of(GUEST_CR0)>,
          [](C c) { return c.excess<GUEST_CR0>() & ~kCr0Unchecked; }),
    Guest("guest.cr0.pg-needs-pe", k, "CR0.PG needs CR0.PE", on<of(GUEST_CR0, cr0::kPg | cr0::kPe)>,
          [](C c) { return unless(!(c[GUEST_CR0] & cr0::kPg) || (c[GUEST_CR0] & cr0::kPe)); }),
    Guest("guest.cr4.required", k, "GUEST_CR4 has every bit that IA32_VMX_CR4_FIXED0 requires", on<of(GUEST_CR4)>,
          [](C c) { return c.lacking<GUEST_CR4>(); }),
    Guest("guest.cr4.allowed", k, "GUEST_CR4 has only bits that IA32_VMX_CR4_FIXED1 allows", on<of(GUEST_CR4)>,
          [](C c) { return c.excess<GUEST_CR4>(); }),
    Guest("guest.cr4.cet-needs-wp", k, "CR4.CET needs CR0.WP", on<of(GUEST_CR4, cr4::kCet), of(GUEST_CR0, cr0::kWp)>,
          [](C c) { return unless(!(c[GUEST_CR4] & cr4::kCet) || (c[GUEST_CR0] & cr0::kWp)); }),
    LOADED_RESERVED("debugctl", GUEST_IA32_DEBUGCTL, kLoadDebug, kDebugctlReserved),
    Guest("guest.cr0.ia32e-needs-pg", k, "An IA-32e guest needs CR0.PG", on<of(GUEST_CR0, cr0::kPg), kIa32e>,
          [](C c) { return c.ia32e() ? ~c[GUEST_CR0] & cr0::kPg : 0; }),
    Guest("guest.cr4.ia32e-needs-pae", k, "An IA-32e guest needs CR4.PAE", on<of(GUEST_CR4, cr4::kPae), kIa32e>,
          [](C c) { return c.ia32e() ? ~c[GUEST_CR4] & cr4::kPae : 0; }),
    Guest("guest.cr4.pcide-needs-ia32e", k, "CR4.PCIDE needs an IA-32e guest", on<of(GUEST_CR4, cr4::kPcide), kIa32e>,
          [](C c) { return c.ia32e() ? 0 : c[GUEST_CR4] & cr4::kPcide; }),
    Guest("guest.cr4.fred-needs-ia32e", kFred, "CR4.FRED needs an IA-32e guest", on<of(GUEST_CR4, cr4::kFred), kIa32e>,
          [](C c) { return c.ia32e() ? 0 : c[GUEST_CR4] & cr4::kFred; }),
    Guest("guest.cr3.width", k, "GUEST_CR3 is within the processor's physical-address width", on<of(GUEST_CR3)>,
          cr3_reserved),
    LOADED_RULE("dr7", k, "GUEST_DR7 has bits 63:32 0", GUEST_DR7, kHigh, kLoadDebug, c[GUEST_DR7] & kHigh),
};

constexpr Guest kMsrs[] = {
    CANONICAL_RULE("sysenter-esp", k, GUEST_SYSENTER_ESP),
    CANONICAL_RULE("sysenter-eip", k, GUEST_SYSENTER_EIP),
    LOADED_RESERVED("s-cet.reserved", GUEST_S_CET, kLoadCet, kSCetReserved),
    LOADED_RULE("s-cet.suppress-tracker", k, "GUEST_S_CET does not have both SUPPRESS (bit 10) and TRACKER (bit 11)",
                GUEST_S_CET, kSCetSuppressAndTracker, kLoadCet,
                unless((c[GUEST_S_CET] & kSCetSuppressAndTracker) != kSCetSuppressAndTracker)),
    LOADED_RULE("s-cet.canonical", k, "GUEST_S_CET is canonical", GUEST_S_CET, ~0ULL, kLoadCet,
                unless(c.canonical(c[GUEST_S_CET]))),
    LOADED_RULE("interrupt-ssp-table", k, "GUEST_INTR_SSP_TABLE is canonical", GUEST_INTR_SSP_TABLE, ~0ULL, kLoadCet,
                unless(c.canonical(c[GUEST_INTR_SSP_TABLE]))),
    LOADED_RESERVED("perf-global-ctrl", GUEST_IA32_PERF_GLOBAL_CTRL, kLoadPerfGlobalCtrl, kPerfGlobalCtrlReserved),
    LOADED_RULE("pat", k, "Each byte of GUEST_IA32_PAT is a memory type", GUEST_IA32_PAT, ~0ULL, kLoadPat,
                bad_pat_bytes(c[GUEST_IA32_PAT])),
    LOADED_RESERVED("efer.reserved", GUEST_IA32_EFER, kLoadEfer, kEferReserved),
    LOADED_RULE("efer.lma", k, "EFER.LMA of the guest is the VM-entry control \"IA-32e mode guest\"", GUEST_IA32_EFER,
                efer::kLma, kLoadEfer, unless(!!(c[GUEST_IA32_EFER] & efer::kLma) == c.ia32e())),
    Guest("guest.efer.lme", k, "With paging, EFER.LME is EFER.LMA",
          on<of(GUEST_IA32_EFER, efer::kLme | efer::kLma), of(GUEST_CR0, cr0::kPg)>,
          [](C c) { return unless(lme_fits(c)); }),
    LOADED_RESERVED("bndcfgs.reserved", GUEST_BNDCFGS, kLoadBndcfgs, kBndcfgsReserved),
    LOADED_RULE("bndcfgs.canonical", k, "The address in GUEST_BNDCFGS is canonical", GUEST_BNDCFGS, bits(63, 12),
                kLoadBndcfgs, unless(c.canonical(c[GUEST_BNDCFGS] & bits(63, 12)))),
    LOADED_RESERVED("rtit-ctl", GUEST_IA32_RTIT_CTL, kLoadRtitCtl, kRtitCtlReserved),
    LOADED_RESERVED("lbr-ctl", GUEST_IA32_LBR_CTL, kLoadLbrCtl, kLbrCtlReserved),
    LOADED_RULE("pkrs", k, "GUEST_IA32_PKRS has bits 63:32 0", GUEST_IA32_PKRS, kHigh, kLoadPkrs,
                c[GUEST_IA32_PKRS] & kHigh),
    LOADED_RULE("uinv", k, "GUEST_UINV has bits 15:8 0", GUEST_UINV, bits(15, 8), kLoadUinv,
                c[GUEST_UINV] & bits(15, 8)),
};

#define FRED_RULE(ID, TITLE, FIELD, MASK, FAULT) LOADED_RULE("fred." ID, kFred, TITLE, FIELD, MASK, kLoadFred, FAULT)
#define FRED_STACK_RULES(ID, FIELD, ALIGNED, ALIGNED_BITS)                                           \
    FRED_RULE(ID ".canonical", #FIELD " is canonical", FIELD, ~0ULL, unless(c.canonical(c[FIELD]))), \
        FRED_RULE(ID ".aligned", #FIELD " has bits " ALIGNED " 0", FIELD, ALIGNED_BITS, c[FIELD] & (ALIGNED_BITS))

constexpr Guest kFredRules[] = {
    FRED_RULE("config.reserved", "GUEST_IA32_FRED_CONFIG has bits 2, 5:4 and 11 0", GUEST_IA32_FRED_CONFIG,
              kFredConfigReserved, c[GUEST_IA32_FRED_CONFIG] & kFredConfigReserved),
    FRED_RULE("config.canonical", "GUEST_IA32_FRED_CONFIG is canonical", GUEST_IA32_FRED_CONFIG, ~0ULL,
              unless(c.canonical(c[GUEST_IA32_FRED_CONFIG]))),
    FRED_STACK_RULES("rsp1", GUEST_IA32_FRED_RSP1, "5:0", bits(5, 0)),
    FRED_STACK_RULES("rsp2", GUEST_IA32_FRED_RSP2, "5:0", bits(5, 0)),
    FRED_STACK_RULES("rsp3", GUEST_IA32_FRED_RSP3, "5:0", bits(5, 0)),
    FRED_STACK_RULES("ssp1", GUEST_IA32_FRED_SSP1, "2:0", bits(2, 0)),
    FRED_STACK_RULES("ssp2", GUEST_IA32_FRED_SSP2, "2:0", bits(2, 0)),
    FRED_STACK_RULES("ssp3", GUEST_IA32_FRED_SSP3, "2:0", bits(2, 0)),
};

constexpr std::uint64_t kRflagsReserved = bits(63, 22) | bit(15) | bit(5) | bit(3);
constexpr FieldBits kMode64 = of(GUEST_CS_AR_BYTES, access_rights::kL);

/// Of N linear-address bits, 63:N are all the same; bit N-1 may differ, so this is less than canonical.
bool upper_bits_identical(C c, std::uint64_t address) {
    const auto upper = static_cast<std::int64_t>(address) >> c.linear_bits();
    return upper == 0 || upper == -1;
}

constexpr Guest kTableRules[] = {
    CANONICAL_RULE("gdtr.base", kTables, GUEST_GDTR_BASE),
    CANONICAL_RULE("idtr.base", kTables, GUEST_IDTR_BASE),
    Guest("guest.gdtr.limit", kTables, "GUEST_GDTR_LIMIT has bits 31:16 0", on<of(GUEST_GDTR_LIMIT, bits(31, 16))>,
          [](C c) { return c[GUEST_GDTR_LIMIT] & bits(31, 16); }),
    Guest("guest.idtr.limit", kTables, "GUEST_IDTR_LIMIT has bits 31:16 0", on<of(GUEST_IDTR_LIMIT, bits(31, 16))>,
          [](C c) { return c[GUEST_IDTR_LIMIT] & bits(31, 16); }),
    Guest("guest.rip.wide", kFlags, "Outside 64-bit mode, GUEST_RIP has bits 63:32 0",
          on<of(GUEST_RIP, kHigh), kIa32e, kMode64>, [](C c) { return c.mode_64() ? 0 : c[GUEST_RIP] & kHigh; }),
    Guest("guest.rip.upper", kFlags,
          "In 64-bit mode, the bits of GUEST_RIP above the processor's linear-address width are all the same",
          on<of(GUEST_RIP), kIa32e, kMode64>,
          [](C c) { return unless(!c.mode_64() || upper_bits_identical(c, c[GUEST_RIP])); }),
    Guest("guest.rflags.reserved", kFlags, "GUEST_RFLAGS has bits 63:22, 15, 5 and 3 0",
          on<of(GUEST_RFLAGS, kRflagsReserved)>, [](C c) { return c[GUEST_RFLAGS] & kRflagsReserved; }),
    Guest("guest.rflags.bit-1", kFlags, "GUEST_RFLAGS has bit 1 set", on<of(GUEST_RFLAGS, bit(1))>,
          [](C c) { return ~c[GUEST_RFLAGS] & bit(1); }),
    Guest("guest.rflags.vm-ia32e", kFlags, "An IA-32e guest has RFLAGS.VM 0", on<of(GUEST_RFLAGS, rflags::kVm), kIa32e>,
          [](C c) { return c.ia32e() ? c[GUEST_RFLAGS] & rflags::kVm : 0; }),
    Guest("guest.rflags.vm-needs-pe", kFlags, "RFLAGS.VM needs CR0.PE",
          on<of(GUEST_RFLAGS, rflags::kVm), of(GUEST_CR0, cr0::kPe)>,
          [](C c) { return c[GUEST_CR0] & cr0::kPe ? 0 : c[GUEST_RFLAGS] & rflags::kVm; }),
    Guest("guest.rflags.if", kFlags, "An injected external interrupt needs RFLAGS.IF",
          on<of(GUEST_RFLAGS, rflags::kIf), of(VM_ENTRY_INTR_INFO_FIELD)>,
          [](C c) { return c.injects(injection::kExternalInterrupt) ? ~c[GUEST_RFLAGS] & rflags::kIf : 0; }),
    LOADED_RULE("ssp.aligned", kFlags, "GUEST_SSP has bits 1:0 0", GUEST_SSP, bits(1, 0), kLoadCet,
                c[GUEST_SSP] & bits(1, 0)),
    Guest("guest.ssp.wide", kFlags, "Outside 64-bit mode, GUEST_SSP has bits 63:32 0",
          on<of(GUEST_SSP, kHigh), of(VM_ENTRY_CONTROLS, entries::kLoadCet | entries::kIa32eGuest), kMode64>,
          [](C c) { return c.entries(entries::kLoadCet) && !c.mode_64() ? c[GUEST_SSP] & kHigh : 0; }),
    Guest("guest.ssp.upper", kFlags,
          "In 64-bit mode, the bits of GUEST_SSP above the processor's linear-address width are all the same",
          on<of(GUEST_SSP), of(VM_ENTRY_CONTROLS, entries::kLoadCet | entries::kIa32eGuest), kMode64>,
          [](C c) {
              return unless(!c.entries(entries::kLoadCet) || !c.mode_64() || upper_bits_identical(c, c[GUEST_SSP]));
          }),
};

}  // namespace

std::span<const EntryRule> guest_register_rules() {
    return joined<kControlRegisters, kMsrs, kFredRules>();
}

std::span<const EntryRule> guest_table_rules() {
    return joined<kTableRules>();
}

}  // namespace vmxscope::vmx
