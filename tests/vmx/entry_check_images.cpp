#include "entry_check_images.h"

#include <gtest/gtest.h>

#include "core/cpu_catalog.h"
#include "vmx/controls.h"

namespace vmxscope::vmx::test {
namespace {

using enum Field;

void set(VmcsImage& image, Field f, std::uint64_t bits) {
    image[f] = Value::of(bits);
}

/// `n` after ES in the order ES CS SS DS FS GS LDTR TR.
void set_segment(VmcsImage& image, unsigned n, std::uint64_t sel, std::uint64_t base, std::uint64_t limit,
                 std::uint64_t rights) {
    const auto nth = [n](Field es) { return static_cast<Field>(static_cast<unsigned>(es) + 2 * n); };
    set(image, nth(GUEST_ES_SELECTOR), sel);
    set(image, nth(GUEST_ES_BASE), base);
    set(image, nth(GUEST_ES_LIMIT), limit);
    set(image, nth(GUEST_ES_AR_BYTES), rights);
}

void set_code_and_data(VmcsImage& image, std::uint64_t code, std::uint64_t data, std::uint64_t limit) {
    for (unsigned n = 0; n < 6; ++n) set_segment(image, n, n == 1 ? 0x8 : 0x10, 0, limit, n == 1 ? code : data);
}

}  // namespace

VmcsImage long_mode_image() {
    VmcsImage i;
    for (const FieldInfo& info : all_fields()) set(i, info.field, 0);
    set(i, PIN_BASED_VM_EXEC_CONTROL, 0x16 | pin::kExternalInterruptExiting | pin::kNmiExiting);
    set(i, CPU_BASED_VM_EXEC_CONTROL, 0x04006172 | proc::kSecondaryControls);
    set(i, SECONDARY_VM_EXEC_CONTROL, secondary::kEpt);
    set(i, VM_EXIT_CONTROLS, 0x36dfb | exits::kHostAddressSpaceSize | exits::kLoadPat | exits::kLoadEfer);
    set(i, VM_ENTRY_CONTROLS,
        0x11fb | entries::kLoadDebug | entries::kIa32eGuest | entries::kLoadPat | entries::kLoadEfer);
    set(i, EPT_POINTER, 0x10001e);
    set(i, HOST_CR0, 0x80010033);
    set(i, HOST_CR3, 0x1000);
    set(i, HOST_CR4, 0x2020);
    set(i, HOST_CS_SELECTOR, 0x8);
    set(i, HOST_SS_SELECTOR, 0x10);
    set(i, HOST_TR_SELECTOR, 0x18);
    set(i, HOST_IA32_PAT, 0x0007040600070406);
    set(i, HOST_IA32_EFER, 0x500);
    set(i, HOST_RIP, 0xffffffff81000000);
    set(i, GUEST_CR0, 0x80010033);
    set(i, GUEST_CR3, 0x1000);
    set(i, GUEST_CR4, 0x2020);
    set(i, GUEST_DR7, 0x400);
    set(i, GUEST_IA32_PAT, 0x0007040600070406);
    set(i, GUEST_IA32_EFER, 0x500);
    set_code_and_data(i, 0xa09b, 0xc093, 0xffffffff);
    set_segment(i, 6, 0, 0, 0, access_rights::kUnusable);
    set_segment(i, 7, 0x18, 0, 0x67, 0x8b);
    set(i, GUEST_RFLAGS, 2);
    set(i, GUEST_RIP, 0x1000);
    set(i, VMCS_LINK_POINTER, ~0ULL);
    return i;
}

VmcsImage pae_image() {
    VmcsImage i = long_mode_image();
    set(i, VM_ENTRY_CONTROLS, i[VM_ENTRY_CONTROLS].bits & ~entries::kIa32eGuest);
    set(i, GUEST_IA32_EFER, 0);
    set_code_and_data(i, 0xc09b, 0xc093, 0xffffffff);
    set(i, GUEST_PDPTR0, 0x103001);
    return i;
}

VmcsImage real_mode_image() {
    VmcsImage i = pae_image();
    set(i, SECONDARY_VM_EXEC_CONTROL, secondary::kEpt | secondary::kUnrestrictedGuest);
    set(i, GUEST_CR0, 0x30);
    set(i, GUEST_CR4, 0x2000);
    set_code_and_data(i, 0x93, 0x93, 0xffff);
    return i;
}

VmcsImage virtual_8086_image() {
    VmcsImage i = pae_image();
    set(i, CPU_BASED_VM_EXEC_CONTROL, 0x04006172);
    set(i, SECONDARY_VM_EXEC_CONTROL, 0);
    for (unsigned n = 0; n < 6; ++n) set_segment(i, n, 0x100, 0x1000, 0xffff, 0xf3);
    set(i, GUEST_RFLAGS, 2 | rflags::kVm);
    return i;
}

Capabilities bochs_cpu() {
    const auto cpu = core::load_cpu("bochs-corei7-skylake-x");
    EXPECT_TRUE(cpu) << cpu.error().text();
    return cpu.value_or(Capabilities{});
}

Capabilities modern_cpu() {
    Capabilities cpu = bochs_cpu();
    using enum CapabilityMsr;
    cpu[TruePinbasedCtls] = Value::of(0x000000ff'00000016);
    cpu[TrueProcbasedCtls] = Value::of(0xfffbfffe'04006172);
    cpu[ProcbasedCtls2] = Value::of(0xdfffffff'00000000);
    cpu[ProcbasedCtls3] = Value::of(0xff);
    cpu[TrueExitCtls] = Value::of(0xffffffff'00036dfb);
    cpu[ExitCtls2] = Value::of(3);
    cpu[TrueEntryCtls] = Value::of(0x00ffffff'000011fb);
    cpu[Cr4Fixed1] = Value::of(cpu[Cr4Fixed1].bits | cr4::kCet | cr4::kFred);
    return cpu;
}

}  // namespace vmxscope::vmx::test
