#include "entry_check_images.h"
#include "entry_check_mutations.h"
#include "vmx/controls.h"

namespace vmxscope::vmx::test {
namespace {

using enum Field;
using Changes = std::vector<Change>;

constexpr std::uint64_t kHighAddress = bit(45);  // beyond the 40 bits of the processors here

Change pin_on(std::uint64_t bits) {
    return {PIN_BASED_VM_EXEC_CONTROL, with(long_mode_image, PIN_BASED_VM_EXEC_CONTROL, bits)};
}
Change proc_on(std::uint64_t bits) {
    return {CPU_BASED_VM_EXEC_CONTROL, with(long_mode_image, CPU_BASED_VM_EXEC_CONTROL, bits)};
}
Change secondary_on(std::uint64_t bits) {
    return {SECONDARY_VM_EXEC_CONTROL, with(long_mode_image, SECONDARY_VM_EXEC_CONTROL, bits)};
}
Change secondary_is(std::uint64_t bits) {
    return {SECONDARY_VM_EXEC_CONTROL, bits};
}
Change exits_on(std::uint64_t bits) {
    return {VM_EXIT_CONTROLS, with(long_mode_image, VM_EXIT_CONTROLS, bits)};
}
Change entries_on(std::uint64_t bits) {
    return {VM_ENTRY_CONTROLS, with(long_mode_image, VM_ENTRY_CONTROLS, bits)};
}
Change injected(std::uint64_t type, std::uint64_t vector, std::uint64_t more = 0) {
    return {VM_ENTRY_INTR_INFO_FIELD, injection::kValid | type << 8 | vector | more};
}

Changes plus(Changes changes, Change more) {
    changes.push_back(more);
    return changes;
}

/// What has low bits that must be 0, and a width; switched on by `on`.
void add_address(std::vector<Mutation>& all, const std::string& id, Field f, const Changes& on,
                 std::uint64_t low = bit(3)) {
    all.push_back({"control." + id + ".aligned", long_mode_image, plus(on, {f, 0x1000 | low})});
    all.push_back({"control." + id + ".width", long_mode_image, plus(on, {f, kHighAddress})});
}

void add_addresses(std::vector<Mutation>& all) {
    add_address(all, "io-bitmap-a", IO_BITMAP_A, {proc_on(proc::kIoBitmaps)});
    add_address(all, "io-bitmap-b", IO_BITMAP_B, {proc_on(proc::kIoBitmaps)});
    add_address(all, "msr-bitmap", MSR_BITMAP, {proc_on(proc::kMsrBitmaps)});
    add_address(all, "virtual-apic", VIRTUAL_APIC_PAGE_ADDR, {proc_on(proc::kTprShadow)});
    add_address(all, "apic-access", APIC_ACCESS_ADDR, {secondary_on(secondary::kApicAccesses)});
    add_address(all, "posted-interrupt-descriptor", POSTED_INTR_DESC_ADDR,
                {pin_on(pin::kPostedInterrupts), proc_on(proc::kTprShadow), secondary_on(secondary::kInterruptDelivery),
                 exits_on(exits::kAcknowledgeInterrupt)});
    add_address(all, "pml", PML_ADDRESS, {secondary_on(secondary::kPml)});
    add_address(all, "sub-page-permission-table", SPPTP, {secondary_on(secondary::kSubPageWrite)});
    add_address(all, "eptp-list", EPTP_LIST_ADDRESS, {secondary_on(secondary::kVmFunctions), {VM_FUNCTION_CONTROL, 1}});
    add_address(all, "vmread-bitmap", VMREAD_BITMAP, {secondary_on(secondary::kShadowVmcs)});
    add_address(all, "vmwrite-bitmap", VMWRITE_BITMAP, {secondary_on(secondary::kShadowVmcs)});
    add_address(all, "virtualization-exception", VE_INFORMATION_ADDRESS, {secondary_on(secondary::kVe)});
    add_address(all, "low-pasid-directory", LOW_PASID_DIRECTORY, {secondary_on(secondary::kPasid)});
    add_address(all, "high-pasid-directory", HIGH_PASID_DIRECTORY, {secondary_on(secondary::kPasid)});
    add_address(
        all, "pid-pointer-table", PID_POINTER_TABLE,
        {proc_on(proc::kTertiaryControls | proc::kTprShadow), {TERTIARY_VM_EXEC_CONTROL, tertiary::kIpiVirtualization}},
        bit(2));
    add_address(all, "exit-msr-store", VM_EXIT_MSR_STORE_ADDR, {{VM_EXIT_MSR_STORE_COUNT, 1}});
    add_address(all, "exit-msr-load", VM_EXIT_MSR_LOAD_ADDR, {{VM_EXIT_MSR_LOAD_COUNT, 1}});
    add_address(all, "entry-msr-load", VM_ENTRY_MSR_LOAD_ADDR, {{VM_ENTRY_MSR_LOAD_COUNT, 1}});
    const auto add_end = [&](const std::string& id, Field address, Field count) {
        all.push_back({"control." + id + ".end", long_mode_image, {{address, bit(40) - 16}, {count, 2}}});
    };
    add_end("exit-msr-store", VM_EXIT_MSR_STORE_ADDR, VM_EXIT_MSR_STORE_COUNT);
    add_end("exit-msr-load", VM_EXIT_MSR_LOAD_ADDR, VM_EXIT_MSR_LOAD_COUNT);
    add_end("entry-msr-load", VM_ENTRY_MSR_LOAD_ADDR, VM_ENTRY_MSR_LOAD_COUNT);
}

void add_limits(std::vector<Mutation>& all) {
    const auto add = [&](const char* rule, Field f, std::uint64_t value, bool first = true) {
        all.push_back({rule, long_mode_image, {{f, value}}, first});
    };
    add("control.pin.required", PIN_BASED_VM_EXEC_CONTROL, with(long_mode_image, PIN_BASED_VM_EXEC_CONTROL, 0, bit(1)));
    add("control.pin.allowed", PIN_BASED_VM_EXEC_CONTROL, with(long_mode_image, PIN_BASED_VM_EXEC_CONTROL, bit(20)));
    add("control.proc.required", CPU_BASED_VM_EXEC_CONTROL,
        with(long_mode_image, CPU_BASED_VM_EXEC_CONTROL, 0, bit(1)));
    add("control.proc.allowed", CPU_BASED_VM_EXEC_CONTROL, with(long_mode_image, CPU_BASED_VM_EXEC_CONTROL, bit(18)));
    add("control.secondary.allowed", SECONDARY_VM_EXEC_CONTROL, secondary::kEpt | bit(29));
    all.push_back({"control.secondary.required", long_mode_image, {}, true, [](Capabilities& c) {
                       c[CapabilityMsr::ProcbasedCtls2] = Value::of(0xffffffff'00000008);
                   }});
    all.push_back({"control.tertiary.allowed",
                   long_mode_image,
                   {proc_on(proc::kTertiaryControls), {TERTIARY_VM_EXEC_CONTROL, bit(40)}}});
    add("control.exit.required", VM_EXIT_CONTROLS, with(long_mode_image, VM_EXIT_CONTROLS, 0, bit(0)));
    all.push_back({"control.exit.allowed", long_mode_image, {exits_on(exits::kLoadPkrs)}, true, [](Capabilities& c) {
                       c[CapabilityMsr::TrueExitCtls] = Value::of(0x007fffff'00036dfb);
                   }});
    all.push_back({"control.exit2.allowed",
                   long_mode_image,
                   {exits_on(exits::kSecondaryControls), {SECONDARY_VM_EXIT_CONTROLS, bit(9)}}});
    add("control.entry.required", VM_ENTRY_CONTROLS, with(long_mode_image, VM_ENTRY_CONTROLS, 0, bit(0)));
    add("control.entry.allowed", VM_ENTRY_CONTROLS, with(long_mode_image, VM_ENTRY_CONTROLS, bit(30)));
    add("control.entry-to-smm", VM_ENTRY_CONTROLS, with(long_mode_image, VM_ENTRY_CONTROLS, entries::kSmm));
    add("control.deactivate-dual-monitor", VM_ENTRY_CONTROLS,
        with(long_mode_image, VM_ENTRY_CONTROLS, entries::kDeactivateDualMonitor));
    add("control.cr3-target-count", CR3_TARGET_COUNT, 5);
    add("control.eptp.memory-type", EPT_POINTER, 0x100019);
    add("control.eptp.walk-length", EPT_POINTER, 0x100016);
    add("control.eptp.supervisor-shadow-stack", EPT_POINTER, 0x10009e);
    add("control.eptp.reserved", EPT_POINTER, 0x10011e);
    add("control.eptp.width", EPT_POINTER, 0x1e | kHighAddress);
    all.push_back(
        {"control.eptp.accessed-dirty", long_mode_image, {{EPT_POINTER, 0x10005e}}, true, [](Capabilities& c) {
             c[CapabilityMsr::EptVpidCap].bits &= ~bit(21);
         }});
}

void add_dependencies(std::vector<Mutation>& all) {
    const auto add = [&](const char* rule, Changes changes, bool first = true) {
        all.push_back({rule, long_mode_image, std::move(changes), first});
    };
    add("control.tpr-threshold", {proc_on(proc::kTprShadow), {TPR_THRESHOLD, 0x10}});
    add("control.virtual-nmis.needs-nmi-exiting", {{PIN_BASED_VM_EXEC_CONTROL, 0x16 | pin::kVirtualNmis}});
    add("control.nmi-window.needs-virtual-nmis", {proc_on(proc::kNmiWindowExiting)});
    add("control.x2apic-mode.needs-tpr-shadow", {secondary_on(secondary::kX2apicMode)});
    add("control.apic-registers.needs-tpr-shadow", {secondary_on(secondary::kApicRegisters)});
    add("control.interrupt-delivery.needs-tpr-shadow", {secondary_on(secondary::kInterruptDelivery)});
    add("control.ipi-virtualization.needs-tpr-shadow",
        {proc_on(proc::kTertiaryControls), {TERTIARY_VM_EXEC_CONTROL, tertiary::kIpiVirtualization}});
    add("control.x2apic-mode.excludes-apic-accesses",
        {proc_on(proc::kTprShadow), secondary_on(secondary::kX2apicMode | secondary::kApicAccesses)});
    add("control.interrupt-delivery.needs-interrupt-exiting",
        {{PIN_BASED_VM_EXEC_CONTROL, 0x16}, proc_on(proc::kTprShadow), secondary_on(secondary::kInterruptDelivery)});
    add("control.posted-interrupts.needs-interrupt-delivery",
        {pin_on(pin::kPostedInterrupts), exits_on(exits::kAcknowledgeInterrupt)});
    const Changes posted = {pin_on(pin::kPostedInterrupts), proc_on(proc::kTprShadow),
                            secondary_on(secondary::kInterruptDelivery)};
    add("control.posted-interrupts.needs-acknowledge", posted);
    add("control.posted-interrupts.vector",
        plus(plus(posted, exits_on(exits::kAcknowledgeInterrupt)), {POSTED_INTR_NV, 0x1f2}));
    add("control.vpid", {secondary_on(secondary::kVpid)});
    add("control.pml.needs-ept", {secondary_is(secondary::kPml)});
    add("control.unrestricted-guest.needs-ept", {secondary_is(secondary::kUnrestrictedGuest)});
    add("control.mode-based-execute.needs-ept", {secondary_is(secondary::kModeBasedExecute)});
    add("control.sub-page-write.needs-ept", {secondary_is(secondary::kSubPageWrite)});
    add("control.vm-functions.allowed", {secondary_on(secondary::kVmFunctions), {VM_FUNCTION_CONTROL, 2}});
    add("control.eptp-switching.needs-ept", {secondary_is(secondary::kVmFunctions), {VM_FUNCTION_CONTROL, 1}});
    const Change pt = secondary_on(secondary::kPtUsesGuestPhysical);
    add("control.pt-guest-physical.needs-ept", {secondary_is(secondary::kPtUsesGuestPhysical),
                                                exits_on(exits::kClearRtitCtl), entries_on(entries::kLoadRtitCtl)});
    add("control.pt-guest-physical.needs-load", {pt, exits_on(exits::kClearRtitCtl)});
    add("control.pt-guest-physical.needs-clear", {pt, entries_on(entries::kLoadRtitCtl)});
    add("control.tsc-multiplier", {secondary_on(secondary::kTscScaling)});
    const auto with_tertiary = [](std::uint64_t bits) { return Change{TERTIARY_VM_EXEC_CONTROL, bits}; };
    const Change activate = proc_on(proc::kTertiaryControls);
    add("control.hlat.needs-ept", {activate, secondary_is(0), with_tertiary(tertiary::kHlat)});
    add("control.ept-paging-write.needs-ept", {activate, secondary_is(0), with_tertiary(tertiary::kEptPagingWrite)});
    add("control.guest-paging-verification.needs-ept",
        {activate, secondary_is(0), with_tertiary(tertiary::kGuestPagingVerification)});
    add("control.hlat-pointer.reserved", {activate, with_tertiary(tertiary::kHlat), {HLAT_POINTER, 0x1001}});
    add("control.hlat-pointer.width", {activate, with_tertiary(tertiary::kHlat), {HLAT_POINTER, kHighAddress}});
    add("control.save-preemption-timer.needs-timer", {exits_on(exits::kSavePreemptionTimer)});
}

void add_injections(std::vector<Mutation>& all) {
    const auto add = [&](const char* rule, Changes changes, bool first = true) {
        all.push_back({rule, long_mode_image, std::move(changes), first});
    };
    add("control.injection.type", {injected(1, 0)});
    all.push_back(
        {"control.injection.type", long_mode_image, {injected(injection::kOther, 0)}, true, [](Capabilities& c) {
             c = bochs_cpu();
         }});
    add("control.injection.vector", {injected(injection::kNmi, 3)});
    add("control.injection.vector", {injected(injection::kHardwareException, 32)});
    add("control.injection.vector", {injected(injection::kOther, 1)});
    add("control.injection.error-code.allowed",
        {injected(injection::kHardwareException, 6, injection::kDeliverErrorCode)});
    add("control.injection.error-code.allowed",
        {injected(injection::kSoftwareException, 14, injection::kDeliverErrorCode)}, false);
    all.push_back({"control.injection.error-code.allowed",
                   real_mode_image,
                   {injected(injection::kHardwareException, 13, injection::kDeliverErrorCode)}});
    all.push_back(
        {"control.injection.error-code.required", long_mode_image, {injected(injection::kHardwareException, 13)}});
    add("control.injection.reserved", {injected(injection::kExternalInterrupt, 0x40, bit(20))});
    add("control.injection.reserved", {injected(injection::kExternalInterrupt, 0x40, injection::kNestedException)});
    add("control.injection.error-code.reserved",
        {injected(injection::kHardwareException, 13, injection::kDeliverErrorCode),
         {VM_ENTRY_EXCEPTION_ERROR_CODE, bit(16)}});
    add("control.injection.length", {injected(injection::kSoftwareInterrupt, 0x80), {VM_ENTRY_INSTRUCTION_LEN, 16}});
    all.push_back({"control.injection.length-zero",
                   long_mode_image,
                   {injected(injection::kSoftwareException, 3)},
                   true,
                   [](Capabilities& c) { c[CapabilityMsr::Misc].bits &= ~bit(30); }});
}

}  // namespace

std::vector<Mutation> control_mutations() {
    std::vector<Mutation> all;
    add_addresses(all);
    add_limits(all);
    add_dependencies(all);
    add_injections(all);
    return all;
}

}  // namespace vmxscope::vmx::test
