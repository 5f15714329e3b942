// SDM Vol. 3C 27.2.1.1: checks on the VM-execution control fields.
#include "vmx/entry_check/context.h"

namespace vmxscope::vmx {
namespace {

using Control = Rule<Answer::VmFailControls>;
using C = const EntryContext&;
using enum Field;
constexpr std::string_view k = "27.2.1.1";

/// An address that is used only when `CONDITION` holds: its low bits are 0, and it is within the physical width.
#define ADDRESS_RULES(ID, FIELD, ALIGNED, ALIGNED_BITS, CONDITION_FIELD, CONDITION_BIT, CONDITION)     \
    Control("control." ID ".aligned", k, #FIELD " has bits " ALIGNED " 0",                             \
            on<of(FIELD, ALIGNED_BITS), of(CONDITION_FIELD, CONDITION_BIT)>,                           \
            [](C c) { return c.CONDITION(CONDITION_BIT) ? c[FIELD] & (ALIGNED_BITS) : 0; }),           \
        Control("control." ID ".width", k, #FIELD " is within the processor's physical-address width", \
                on<of(FIELD), of(CONDITION_FIELD, CONDITION_BIT)>,                                     \
                [](C c) { return c.CONDITION(CONDITION_BIT) ? c.beyond_vmx_width(c[FIELD]) : 0; })
#define PROC_ADDRESS(ID, FIELD, BIT) \
    ADDRESS_RULES(ID, FIELD, "11:0", bits(11, 0), CPU_BASED_VM_EXEC_CONTROL, proc::BIT, proc)
#define SECONDARY_ADDRESS(ID, FIELD, BIT) \
    ADDRESS_RULES(ID, FIELD, "11:0", bits(11, 0), SECONDARY_VM_EXEC_CONTROL, secondary::BIT, secondary)

/// "WHEN needs NEEDS": both are controls.
#define NEEDS_RULE(ID, TITLE, WHEN_FIELD, WHEN, WHEN_BITS, NEEDS_FIELD, NEEDS, NEEDS_BITS)       \
    Control("control." ID, k, TITLE, on<of(WHEN_FIELD, WHEN_BITS), of(NEEDS_FIELD, NEEDS_BITS)>, \
            [](C c) { return unless(!c.WHEN(WHEN_BITS) || c.NEEDS(NEEDS_BITS)); })
#define SECONDARY_NEEDS_EPT(ID, NAME, BIT)                                                               \
    NEEDS_RULE(ID ".needs-ept", NAME " needs EPT", SECONDARY_VM_EXEC_CONTROL, secondary, secondary::BIT, \
               SECONDARY_VM_EXEC_CONTROL, secondary, secondary::kEpt)
#define TERTIARY_NEEDS_EPT(ID, NAME, BIT)                                                             \
    NEEDS_RULE(ID ".needs-ept", NAME " needs EPT", TERTIARY_VM_EXEC_CONTROL, tertiary, tertiary::BIT, \
               SECONDARY_VM_EXEC_CONTROL, secondary, secondary::kEpt)
#define SECONDARY_NEEDS_TPR_SHADOW(ID, NAME, BIT)                                                          \
    NEEDS_RULE(ID ".needs-tpr-shadow", NAME " needs the TPR shadow", SECONDARY_VM_EXEC_CONTROL, secondary, \
               secondary::BIT, CPU_BASED_VM_EXEC_CONTROL, proc, proc::kTprShadow)

constexpr Control kReservedBits[] = {
    Control("control.pin.required", k, "The pin-based controls have every bit that IA32_VMX_PINBASED_CTLS requires",
            on<of(PIN_BASED_VM_EXEC_CONTROL)>, [](C c) { return c.lacking<PIN_BASED_VM_EXEC_CONTROL>(); }),
    Control("control.pin.allowed", k, "The pin-based controls have only bits that IA32_VMX_PINBASED_CTLS allows",
            on<of(PIN_BASED_VM_EXEC_CONTROL)>, [](C c) { return c.excess<PIN_BASED_VM_EXEC_CONTROL>(); }),
    Control("control.proc.required", k,
            "The processor-based controls have every bit that IA32_VMX_PROCBASED_CTLS requires",
            on<of(CPU_BASED_VM_EXEC_CONTROL)>, [](C c) { return c.lacking<CPU_BASED_VM_EXEC_CONTROL>(); }),
    Control("control.proc.allowed", k,
            "The processor-based controls have only bits that IA32_VMX_PROCBASED_CTLS allows",
            on<of(CPU_BASED_VM_EXEC_CONTROL)>, [](C c) { return c.excess<CPU_BASED_VM_EXEC_CONTROL>(); }),
    Control("control.secondary.required", k,
            "The secondary controls, if activated, have every bit that IA32_VMX_PROCBASED_CTLS2 requires",
            on<of(SECONDARY_VM_EXEC_CONTROL), of(CPU_BASED_VM_EXEC_CONTROL, proc::kSecondaryControls)>,
            [](C c) { return c.proc(proc::kSecondaryControls) ? c.lacking<SECONDARY_VM_EXEC_CONTROL>() : 0; }),
    Control("control.secondary.allowed", k,
            "The secondary controls, if activated, have only bits that IA32_VMX_PROCBASED_CTLS2 allows",
            on<of(SECONDARY_VM_EXEC_CONTROL), of(CPU_BASED_VM_EXEC_CONTROL, proc::kSecondaryControls)>,
            [](C c) { return c.proc(proc::kSecondaryControls) ? c.excess<SECONDARY_VM_EXEC_CONTROL>() : 0; }),
    Control("control.tertiary.allowed", k,
            "The tertiary controls, if activated, have only bits that IA32_VMX_PROCBASED_CTLS3 allows",
            on<of(TERTIARY_VM_EXEC_CONTROL), of(CPU_BASED_VM_EXEC_CONTROL, proc::kTertiaryControls)>,
            [](C c) { return c.proc(proc::kTertiaryControls) ? c.excess<TERTIARY_VM_EXEC_CONTROL>() : 0; }),
};

constexpr Control kPrimary[] = {
    Control("control.cr3-target-count", k, "CR3_TARGET_COUNT is at most what IA32_VMX_MISC[24:16] says",
            on<of(CR3_TARGET_COUNT)>,
            [](C c) { return unless(c[CR3_TARGET_COUNT] <= (c.msr(CapabilityMsr::Misc) >> 16 & 0x1ff)); }),
    PROC_ADDRESS("io-bitmap-a", IO_BITMAP_A, kIoBitmaps),
    PROC_ADDRESS("io-bitmap-b", IO_BITMAP_B, kIoBitmaps),
    PROC_ADDRESS("msr-bitmap", MSR_BITMAP, kMsrBitmaps),
    PROC_ADDRESS("virtual-apic", VIRTUAL_APIC_PAGE_ADDR, kTprShadow),
    Control("control.tpr-threshold", k,
            "With the TPR shadow and no virtual-interrupt delivery, TPR_THRESHOLD has bits 31:4 0",
            on<of(TPR_THRESHOLD, bits(31, 4)), of(CPU_BASED_VM_EXEC_CONTROL, proc::kTprShadow),
               of(SECONDARY_VM_EXEC_CONTROL, secondary::kInterruptDelivery)>,
            [](C c) {
                const bool used = c.proc(proc::kTprShadow) && !c.secondary(secondary::kInterruptDelivery);
                return used ? c[TPR_THRESHOLD] & bits(31, 4) : 0;
            }),
    NEEDS_RULE("virtual-nmis.needs-nmi-exiting", "Virtual NMIs need NMI exiting", PIN_BASED_VM_EXEC_CONTROL, pin,
               pin::kVirtualNmis, PIN_BASED_VM_EXEC_CONTROL, pin, pin::kNmiExiting),
    NEEDS_RULE("nmi-window.needs-virtual-nmis", "NMI-window exiting needs virtual NMIs", CPU_BASED_VM_EXEC_CONTROL,
               proc, proc::kNmiWindowExiting, PIN_BASED_VM_EXEC_CONTROL, pin, pin::kVirtualNmis),
    SECONDARY_ADDRESS("apic-access", APIC_ACCESS_ADDR, kApicAccesses),
    SECONDARY_NEEDS_TPR_SHADOW("x2apic-mode", "Virtualizing x2APIC mode", kX2apicMode),
    SECONDARY_NEEDS_TPR_SHADOW("apic-registers", "APIC-register virtualization", kApicRegisters),
    SECONDARY_NEEDS_TPR_SHADOW("interrupt-delivery", "Virtual-interrupt delivery", kInterruptDelivery),
    NEEDS_RULE("ipi-virtualization.needs-tpr-shadow", "IPI virtualization needs the TPR shadow",
               TERTIARY_VM_EXEC_CONTROL, tertiary, tertiary::kIpiVirtualization, CPU_BASED_VM_EXEC_CONTROL, proc,
               proc::kTprShadow),
    Control("control.x2apic-mode.excludes-apic-accesses", k,
            "Virtualizing x2APIC mode and virtualizing APIC accesses exclude each other",
            on<of(SECONDARY_VM_EXEC_CONTROL, secondary::kX2apicMode | secondary::kApicAccesses)>,
            [](C c) { return unless(!c.secondary(secondary::kX2apicMode) || !c.secondary(secondary::kApicAccesses)); }),
    NEEDS_RULE("interrupt-delivery.needs-interrupt-exiting",
               "Virtual-interrupt delivery needs external-interrupt exiting", SECONDARY_VM_EXEC_CONTROL, secondary,
               secondary::kInterruptDelivery, PIN_BASED_VM_EXEC_CONTROL, pin, pin::kExternalInterruptExiting),
    NEEDS_RULE("posted-interrupts.needs-interrupt-delivery",
               "Processing posted interrupts needs virtual-interrupt delivery", PIN_BASED_VM_EXEC_CONTROL, pin,
               pin::kPostedInterrupts, SECONDARY_VM_EXEC_CONTROL, secondary, secondary::kInterruptDelivery),
    NEEDS_RULE("posted-interrupts.needs-acknowledge",
               "Processing posted interrupts needs the VM-exit control \"acknowledge interrupt on exit\"",
               PIN_BASED_VM_EXEC_CONTROL, pin, pin::kPostedInterrupts, VM_EXIT_CONTROLS, exits,
               exits::kAcknowledgeInterrupt),
    Control("control.posted-interrupts.vector", k, "The posted-interrupt notification vector is at most 255",
            on<of(POSTED_INTR_NV, bits(15, 8)), of(PIN_BASED_VM_EXEC_CONTROL, pin::kPostedInterrupts)>,
            [](C c) { return c.pin(pin::kPostedInterrupts) ? c[POSTED_INTR_NV] & bits(15, 8) : 0; }),
    ADDRESS_RULES("posted-interrupt-descriptor", POSTED_INTR_DESC_ADDR, "5:0", bits(5, 0), PIN_BASED_VM_EXEC_CONTROL,
                  pin::kPostedInterrupts, pin),
    Control("control.vpid", k, "With VPIDs, VIRTUAL_PROCESSOR_ID is not 0",
            on<of(VIRTUAL_PROCESSOR_ID), of(SECONDARY_VM_EXEC_CONTROL, secondary::kVpid)>,
            [](C c) { return unless(!c.secondary(secondary::kVpid) || c[VIRTUAL_PROCESSOR_ID] != 0); }),
};

// IA32_VMX_EPT_VPID_CAP (SDM A.10).
constexpr std::uint64_t kCapWalk4 = bit(6), kCapWalk5 = bit(7), kCapUncacheable = bit(8), kCapWriteBack = bit(14),
                        kCapAccessedDirty = bit(21), kCapSupervisorShadowStack = bit(23);

bool memory_type_supported(C c) {
    const std::uint64_t type = c[EPT_POINTER] & bits(2, 0), cap = c.msr(CapabilityMsr::EptVpidCap);
    return (type == 0 && (cap & kCapUncacheable)) || (type == 6 && (cap & kCapWriteBack));
}

bool walk_length_supported(C c) {
    const std::uint64_t length = c[EPT_POINTER] & bits(5, 3), cap = c.msr(CapabilityMsr::EptVpidCap);
    return (length == 3 << 3 && (cap & kCapWalk4)) || (length == 4 << 3 && (cap & kCapWalk5));
}

/// The bit of EPT_POINTER is clear unless the processor has what it switches on.
std::uint64_t unsupported_eptp_bit(C c, std::uint64_t eptp_bit, std::uint64_t capability) {
    if (!c.secondary(secondary::kEpt) || !(c[EPT_POINTER] & eptp_bit)) return 0;
    return c.msr(CapabilityMsr::EptVpidCap) & capability ? 0 : eptp_bit;
}

constexpr FieldBits kEptOn = of(SECONDARY_VM_EXEC_CONTROL, secondary::kEpt);

constexpr Control kEptRules[] = {
    Control("control.eptp.memory-type", k, "The memory type of EPT_POINTER is one that IA32_VMX_EPT_VPID_CAP reports",
            on<of(EPT_POINTER, bits(2, 0)), kEptOn>,
            [](C c) { return unless(!c.secondary(secondary::kEpt) || memory_type_supported(c)); }),
    Control("control.eptp.walk-length", k,
            "The page-walk length of EPT_POINTER is one that IA32_VMX_EPT_VPID_CAP reports",
            on<of(EPT_POINTER, bits(5, 3)), kEptOn>,
            [](C c) { return unless(!c.secondary(secondary::kEpt) || walk_length_supported(c)); }),
    Control("control.eptp.accessed-dirty", k,
            "EPT_POINTER enables accessed and dirty flags only where IA32_VMX_EPT_VPID_CAP[21] reports them",
            on<of(EPT_POINTER, bit(6)), kEptOn>,
            [](C c) { return unsupported_eptp_bit(c, bit(6), kCapAccessedDirty); }),
    Control("control.eptp.supervisor-shadow-stack", k,
            "EPT_POINTER enforces supervisor shadow-stack rights only where IA32_VMX_EPT_VPID_CAP[23] reports them",
            on<of(EPT_POINTER, bit(7)), kEptOn>,
            [](C c) { return unsupported_eptp_bit(c, bit(7), kCapSupervisorShadowStack); }),
    Control("control.eptp.reserved", k, "EPT_POINTER has bits 11:8 0", on<of(EPT_POINTER, bits(11, 8)), kEptOn>,
            [](C c) { return c.secondary(secondary::kEpt) ? c[EPT_POINTER] & bits(11, 8) : 0; }),
    Control("control.eptp.width", k, "EPT_POINTER is within the processor's physical-address width",
            on<of(EPT_POINTER), kEptOn>,
            [](C c) { return c.secondary(secondary::kEpt) ? c.beyond_width(c[EPT_POINTER]) : 0; }),
    SECONDARY_NEEDS_EPT("pml", "Page-modification logging", kPml),
    SECONDARY_ADDRESS("pml", PML_ADDRESS, kPml),
    SECONDARY_NEEDS_EPT("unrestricted-guest", "An unrestricted guest", kUnrestrictedGuest),
    SECONDARY_NEEDS_EPT("mode-based-execute", "Mode-based execute control", kModeBasedExecute),
    SECONDARY_NEEDS_EPT("sub-page-write", "Sub-page write permission", kSubPageWrite),
    SECONDARY_ADDRESS("sub-page-permission-table", SPPTP, kSubPageWrite),
};

bool eptp_switching(C c) {
    return c.secondary(secondary::kVmFunctions) && (c[VM_FUNCTION_CONTROL] & bit(0));
}

constexpr FieldBits kEptpSwitching = of(VM_FUNCTION_CONTROL, bit(0));
constexpr FieldBits kPtOn = of(SECONDARY_VM_EXEC_CONTROL, secondary::kPtUsesGuestPhysical);

constexpr Control kSecondaryRules[] = {
    Control("control.vm-functions.allowed", k, "VM_FUNCTION_CONTROL has only bits that IA32_VMX_VMFUNC allows",
            on<of(VM_FUNCTION_CONTROL), of(SECONDARY_VM_EXEC_CONTROL, secondary::kVmFunctions)>,
            [](C c) {
                return c.secondary(secondary::kVmFunctions) ? c[VM_FUNCTION_CONTROL] & ~c.msr(CapabilityMsr::Vmfunc)
                                                            : 0;
            }),
    Control("control.eptp-switching.needs-ept", k, "EPTP switching needs EPT", on<kEptpSwitching, kEptOn>,
            [](C c) { return unless(!eptp_switching(c) || c.secondary(secondary::kEpt)); }),
    Control("control.eptp-list.aligned", k, "EPTP_LIST_ADDRESS has bits 11:0 0",
            on<of(EPTP_LIST_ADDRESS, bits(11, 0)), kEptpSwitching>,
            [](C c) { return eptp_switching(c) ? c[EPTP_LIST_ADDRESS] & bits(11, 0) : 0; }),
    Control("control.eptp-list.width", k, "EPTP_LIST_ADDRESS is within the processor's physical-address width",
            on<of(EPTP_LIST_ADDRESS), kEptpSwitching>,
            [](C c) { return eptp_switching(c) ? c.beyond_vmx_width(c[EPTP_LIST_ADDRESS]) : 0; }),
    SECONDARY_ADDRESS("vmread-bitmap", VMREAD_BITMAP, kShadowVmcs),
    SECONDARY_ADDRESS("vmwrite-bitmap", VMWRITE_BITMAP, kShadowVmcs),
    SECONDARY_ADDRESS("virtualization-exception", VE_INFORMATION_ADDRESS, kVe),
    SECONDARY_NEEDS_EPT("pt-guest-physical", "Intel PT with guest-physical addresses", kPtUsesGuestPhysical),
    Control(
        "control.pt-guest-physical.needs-load", k,
        "Intel PT with guest-physical addresses needs the VM-entry control \"load IA32_RTIT_CTL\"",
        on<kPtOn, of(VM_ENTRY_CONTROLS, entries::kLoadRtitCtl)>,
        [](C c) { return unless(!c.secondary(secondary::kPtUsesGuestPhysical) || c.entries(entries::kLoadRtitCtl)); }),
    Control("control.pt-guest-physical.needs-clear", k,
            "Intel PT with guest-physical addresses needs the VM-exit control \"clear IA32_RTIT_CTL\"",
            on<kPtOn, of(VM_EXIT_CONTROLS, exits::kClearRtitCtl)>,
            [](C c) { return unless(!c.secondary(secondary::kPtUsesGuestPhysical) || c.exits(exits::kClearRtitCtl)); }),
    Control("control.tsc-multiplier", k, "With TSC scaling, TSC_MULTIPLIER is not 0",
            on<of(TSC_MULTIPLIER), of(SECONDARY_VM_EXEC_CONTROL, secondary::kTscScaling)>,
            [](C c) { return unless(!c.secondary(secondary::kTscScaling) || c[TSC_MULTIPLIER] != 0); }),
    SECONDARY_ADDRESS("low-pasid-directory", LOW_PASID_DIRECTORY, kPasid),
    SECONDARY_ADDRESS("high-pasid-directory", HIGH_PASID_DIRECTORY, kPasid),
};

/// Of the byte behind the last entry of the PID-pointer table, whose entries have 8 bytes.
std::uint64_t pid_table_beyond_width(C c) {
    if (!c.tertiary(tertiary::kIpiVirtualization)) return 0;
    return c.beyond_vmx_width(c[PID_POINTER_TABLE] + c[LAST_PID_POINTER_INDEX] * 8 + 7);
}

constexpr FieldBits kIpiOn = of(TERTIARY_VM_EXEC_CONTROL, tertiary::kIpiVirtualization);
constexpr FieldBits kHlatOn = of(TERTIARY_VM_EXEC_CONTROL, tertiary::kHlat);
constexpr std::uint64_t kHlatReserved = bits(2, 0) | bits(11, 5);

constexpr Control kTertiaryRules[] = {
    TERTIARY_NEEDS_EPT("hlat", "HLAT", kHlat),
    TERTIARY_NEEDS_EPT("ept-paging-write", "EPT paging-write control", kEptPagingWrite),
    TERTIARY_NEEDS_EPT("guest-paging-verification", "Guest-paging verification", kGuestPagingVerification),
    Control("control.hlat-pointer.reserved", k, "HLAT_POINTER has bits 2:0 and 11:5 0",
            on<of(HLAT_POINTER, kHlatReserved), kHlatOn>,
            [](C c) { return c.tertiary(tertiary::kHlat) ? c[HLAT_POINTER] & kHlatReserved : 0; }),
    Control("control.hlat-pointer.width", k, "HLAT_POINTER is within the processor's physical-address width",
            on<of(HLAT_POINTER), kHlatOn>,
            [](C c) { return c.tertiary(tertiary::kHlat) ? c.beyond_width(c[HLAT_POINTER]) : 0; }),
    Control("control.pid-pointer-table.aligned", k, "PID_POINTER_TABLE has bits 2:0 0",
            on<of(PID_POINTER_TABLE, bits(2, 0)), kIpiOn>,
            [](C c) { return c.tertiary(tertiary::kIpiVirtualization) ? c[PID_POINTER_TABLE] & bits(2, 0) : 0; }),
    Control("control.pid-pointer-table.width", k,
            "PID_POINTER_TABLE, to its last entry, is within the processor's physical-address width",
            on<of(PID_POINTER_TABLE), of(LAST_PID_POINTER_INDEX), kIpiOn>, pid_table_beyond_width),
};

}  // namespace

std::span<const EntryRule> execution_control_rules() {
    return joined<kReservedBits, kPrimary, kEptRules, kSecondaryRules, kTertiaryRules>();
}

}  // namespace vmxscope::vmx
