// Dumps that are marked "public" are excerpts of mails and issues in public archives; the others are written by hand
// from the format strings of KVM and Xen, and the binary ones from their structures.
#include "core/import/import.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "nested/vmcs12.h"

namespace vmxscope::core {
namespace {

using vmx::Field;
using vmx::Value;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

Imported import_text(std::string_view text) {
    auto result = import_bytes(bytes_of(text));
    EXPECT_TRUE(result) << (result ? "" : result.error().text());
    return result ? *result : Imported{};
}

bool warns(const Imported& imported, std::string_view what) {
    for (const std::string& w : imported.warnings)
        if (w.find(what) != w.npos) return true;
    return false;
}

// As 6.1 prints it.
constexpr std::string_view kKvm61 = R"(
[  101.000001] kvm_intel: VMCS 00000000f971be22, last attempted VM-entry on CPU 3
[  101.000002] kvm_intel: *** Guest State ***
[  101.000003] kvm_intel: CR0: actual=0x0000000080010033, shadow=0x0000000080010031, gh_mask=fffffffffffefff7
[  101.000004] kvm_intel: CR4: actual=0x0000000000342af0, shadow=0x0000000000340af0, gh_mask=fffffffffffef871
[  101.000005] kvm_intel: CR3 = 0x0000008000f76000
[  101.000006] kvm_intel: PDPTR0 = 0x000000005e0e5001  PDPTR1 = 0x000000005e0e4001
[  101.000007] kvm_intel: PDPTR2 = 0x000000005e0e3001  PDPTR3 = 0x000000005e0e2001
[  101.000008] kvm_intel: RSP = 0xfffffe006000be50  RIP = 0xffffff8000042837
[  101.000009] kvm_intel: RFLAGS=0x00000002         DR7 = 0x0000000000000400
[  101.000010] kvm_intel: Sysenter RSP=0000000000000011 CS:RIP=0022:0000000000000033
[  101.000011] kvm_intel: CS:   sel=0x0008, attr=0x0a09b, limit=0xffffffff, base=0x0000000000000000
[  101.000012] kvm_intel: TR:   sel=0x0018, attr=0x0008b, limit=0x00000067, base=0xffffff8000100000
[  101.000013] kvm_intel: GDTR:                           limit=0x0000001f, base=0xffffff8000200000
[  101.000014] kvm_intel: LDTR: sel=0x0000, attr=0x10000, limit=0x00000000, base=0x0000000000000000
[  101.000015] kvm_intel: IDTR:                           limit=0x00000fff, base=0xffffff8000300000
[  101.000016] kvm_intel: EFER= 0x0000000000000d01 (effective)
[  101.000017] kvm_intel: PAT = 0x0007040600070406
[  101.000018] kvm_intel: DebugCtl = 0x0000000000000000  DebugExceptions = 0x0000000000004000
[  101.000019] kvm_intel: Interruptibility = 00000001  ActivityState = 00000000
[  101.000020] kvm_intel: MSR guest autoload:
[  101.000021] kvm_intel:    0: msr=0x0000038f value=0x0000000000000007
[  101.000022] kvm_intel: *** Host State ***
[  101.000023] kvm_intel: RIP = 0xffffffffc09a444f  RSP = 0xffffa3aa0d2fbd50
[  101.000024] kvm_intel: CS=0010 SS=0018 DS=0000 ES=0000 FS=0000 GS=0000 TR=0040
[  101.000025] kvm_intel: FSBase=00007feb463e9740 GSBase=ffff93bb3dd80000 TRBase=fffffe000033d000
[  101.000026] kvm_intel: GDTBase=fffffe000033b000 IDTBase=fffffe0000000000
[  101.000027] kvm_intel: CR0=0000000080050033 CR3=0000000547886004 CR4=00000000007726e0
[  101.000028] kvm_intel: Sysenter RSP=fffffe000033d000 CS:RIP=0010:ffffffff910016e0
[  101.000029] kvm_intel: *** Control State ***
[  101.000030] kvm_intel: CPUBased=0xb5986dfa SecondaryExec=0x00032ce2 TertiaryExec=0x0000000000000010
[  101.000031] kvm_intel: PinBased=0x0000007f EntryControls=0001d3ff ExitControls=00abefff
[  101.000032] kvm_intel: ExceptionBitmap=00060042 PFECmask=00000000 PFECmatch=00000000
[  101.000033] kvm_intel: VMEntry: intr_info=80000044 errcode=00000000 ilen=00000000
[  101.000034] kvm_intel: VMExit: intr_info=00000000 errcode=00000000 ilen=00000002
[  101.000035] kvm_intel:         reason=80000021 qualification=0000000000000002
[  101.000036] kvm_intel: IDTVectoring: info=00000000 errcode=00000000
[  101.000037] kvm_intel: TSC Offset = 0xfffda9968024bdbc
[  101.000038] kvm_intel: SVI|RVI = 00|00 TPR Threshold = 0x00
[  101.000039] kvm_intel: APIC-access addr = 0x0000000e5dfc0000 virt-APIC addr = 0x0000000d2e76c000
[  101.000040] kvm_intel: PostedIntrVec = 0xf2
[  101.000041] kvm_intel: EPT pointer = 0x0000000103f1905e
[  101.000042] kvm_intel: PLE Gap=00000080 Window=00001000
[  101.000043] kvm_intel: Virtual processor ID = 0x0021
[  102.000000] usb 1-1: reset: Offset = 0x12
)";

TEST(ImportKvm, EveryLineBecomesItsFields) {
    const Imported i = import_text(kKvm61);
    EXPECT_EQ(i.format, DumpFormat::KvmLog);
    EXPECT_TRUE(i.warnings.empty()) << i.warnings.front();
    ASSERT_EQ(i.vmcses.size(), 1u);
    const ImportedVmcs& v = i.vmcses[0];
    EXPECT_EQ(v.label, "VMCS 00000000f971be22, last attempted VM-entry on CPU 3");
    EXPECT_EQ(v.role, VmcsRole::Hardware);
    EXPECT_EQ(v.image[Field::CR0_READ_SHADOW], Value::of(0x80010031));
    EXPECT_EQ(v.image[Field::GUEST_PDPTR3], Value::of(0x5e0e2001));
    EXPECT_EQ(v.image[Field::GUEST_RIP], Value::of(0xffffff8000042837));
    EXPECT_EQ(v.image[Field::HOST_RIP], Value::of(0xffffffffc09a444f));
    EXPECT_EQ(v.image[Field::GUEST_SYSENTER_CS], Value::of(0x22));
    EXPECT_EQ(v.image[Field::GUEST_CS_AR_BYTES], Value::of(0xa09b));
    EXPECT_EQ(v.image[Field::GUEST_IDTR_LIMIT], Value::of(0xfff));
    EXPECT_EQ(v.image[Field::GUEST_PENDING_DBG_EXCEPTIONS], Value::of(0x4000));
    EXPECT_EQ(v.image[Field::HOST_TR_SELECTOR], Value::of(0x40));
    EXPECT_EQ(v.image[Field::TERTIARY_VM_EXEC_CONTROL], Value::of(0x10));
    EXPECT_EQ(v.image[Field::VM_ENTRY_INTR_INFO_FIELD], Value::of(0x80000044));
    EXPECT_EQ(v.image[Field::VM_EXIT_INSTRUCTION_LEN], Value::of(2));
    EXPECT_EQ(v.image[Field::VM_EXIT_REASON], Value::of(0x80000021));
    EXPECT_EQ(v.image[Field::VIRTUAL_APIC_PAGE_ADDR], Value::of(0xd2e76c000));
    EXPECT_EQ(v.image[Field::EPT_POINTER], Value::of(0x103f1905e));
    EXPECT_EQ(v.image[Field::PLE_WINDOW], Value::of(0x1000));
    EXPECT_EQ(v.image[Field::VIRTUAL_PROCESSOR_ID], Value::of(0x21));
    EXPECT_FALSE(v.image[Field::GUEST_DS_SELECTOR].known()) << "it is not in the dump";
}

TEST(ImportKvm, WhatIsNotTheFieldsOwnIsKeptApart) {
    const ImportedVmcs v = import_text(kKvm61).vmcses.at(0);
    EXPECT_FALSE(v.image[Field::GUEST_IA32_EFER].known()) << "the effective EFER is KVM's, not the field";
    ASSERT_EQ(v.others.size(), 2u) << "and the line of another program is not one of them";
    EXPECT_EQ(v.others[0], (ImportedVmcs::Other{"EFER (effective)", "0xd01"}));
    EXPECT_EQ(v.others[1], (ImportedVmcs::Other{"MSR 0x38f in a list", "0x7"}));
}

// Public: a syslog of 5.4, as an issue quotes it; shortened.
TEST(ImportKvm, SyslogPrefixesArePassedOver) {
    const Imported i = import_text(
        "Sep  8 22:52:20 host kernel: [10639.238026] *** Guest State ***\n"
        "Sep  8 22:52:20 host kernel: [10639.238040] CR0: actual=0x0000000080010031, shadow=0x00000000e0000031, "
        "gh_mask=fffffffffffffff7\n"
        "Sep  8 22:52:20 host kernel: [10639.238057] RSP = 0x000000000000fffe  RIP = 0x0000000000000000\n"
        "Sep  8 22:52:20 host kernel: [10639.238084] CS:   sel=0xffff, attr=0x000f3, limit=0x0000ffff, "
        "base=0x00000000000ffff0\n");
    EXPECT_EQ(i.vmcses.at(0).image[Field::CR0_READ_SHADOW], Value::of(0xe0000031));
    EXPECT_EQ(i.vmcses.at(0).image[Field::GUEST_CS_BASE], Value::of(0xffff0));
    EXPECT_EQ(i.vmcses.at(0).image[Field::GUEST_RIP], Value::of(0));
}

// Public: quoted twice in a mail, with a thread's number in the log; shortened.
TEST(ImportKvm, QuotedMailsAreRead) {
    const Imported i = import_text(
        "> [28042.041][T78789] EFER = 0x0000000000000d01  PAT = 0x0007040600070406\n"
        "> [28042.052][T78789] *** Control State ***\n"
        "> [28042.066][T78789] PinBased=000000ff CPUBased=b5a06dfa SecondaryExec=000037eb\n"
        ">> [28042.074][T78789] EntryControls=0000d1ff ExitControls=002befff\n"
        "> [28042.178829][T78789]         reason=00000030 qualification=0000000000000184\n");
    EXPECT_EQ(i.vmcses.at(0).image[Field::SECONDARY_VM_EXEC_CONTROL], Value::of(0x37eb));
    EXPECT_EQ(i.vmcses.at(0).image[Field::VM_EXIT_CONTROLS], Value::of(0x2befff));
    EXPECT_EQ(i.vmcses.at(0).image[Field::EXIT_QUALIFICATION], Value::of(0x184));
}

// Public: the end of a dump in a crash report.
TEST(ImportKvm, AnEndWithoutItsBeginningIsRead) {
    const Imported i = import_text(
        "VMExit: intr_info=00000000 errcode=00000000 ilen=00000003\n"
        "         reason=80000021 qualification=0000000000000003\n"
        "IDTVectoring: info=00000000 errcode=00000000\n"
        "TSC Offset = 0xfffffe6382838c64\n"
        "EPT pointer = 0x00000001c4f5101e\n"
        "INFO: task blocked for more than 140 seconds.\n"
        "      Not tainted = 0x1\n");
    EXPECT_TRUE(warns(i, "beginning is missing"));
    EXPECT_EQ(i.vmcses.at(0).image[Field::EPT_POINTER], Value::of(0x1c4f5101e));
    EXPECT_TRUE(i.vmcses.at(0).others.empty());
}

TEST(ImportKvm, OddLinesAreNamedAndTheRestIsRead) {
    const Imported i = import_text(
        "*** Guest State ***\n"
        "CR0: actual=0x80000031, sha\n"
        "CS:   sel=0x12345, attr=0x000f3, limit=0x1ffffffff, base=0x10\n"
        "CR3 = 0x1000\nCR3 = 0x2000\n"
        "Sparkle = 0x77\n"
        "RIP = 0x123456789abcdef012\n"
        "RSP = 0x55\n");
    const vmx::VmcsImage& image = i.vmcses.at(0).image;
    EXPECT_EQ(image[Field::GUEST_CR0], Value::of(0x80000031));
    EXPECT_TRUE(warns(i, "GUEST_CR0 is not complete"));
    EXPECT_FALSE(image[Field::GUEST_CS_SELECTOR].known());
    EXPECT_TRUE(warns(i, "GUEST_CS_LIMIT is given a value that is too wide"));
    EXPECT_EQ(image[Field::GUEST_CS_BASE], Value::of(0x10));
    EXPECT_EQ(image[Field::GUEST_CR3], Value::of(0x1000));
    EXPECT_TRUE(warns(i, "GUEST_CR3 is given twice"));
    EXPECT_FALSE(image[Field::GUEST_RIP].known());
    EXPECT_EQ(image[Field::GUEST_RSP], Value::of(0x55));
    ASSERT_EQ(i.vmcses[0].others.size(), 1u);
    EXPECT_EQ(i.vmcses[0].others[0], (ImportedVmcs::Other{"Sparkle", "0x77"}));
}

TEST(ImportKvm, EveryDumpOfALogIsRead) {
    const Imported i = import_text(std::string(kKvm61) + std::string(kKvm61));
    ASSERT_EQ(i.vmcses.size(), 2u);
    EXPECT_EQ(i.vmcses[0].image, i.vmcses[1].image);
}

// Public: Xen 4.12 on a console, broken by a mail program.
constexpr std::string_view kXen = R"((XEN) *********** VMCS Areas **************
(XEN)
(XEN) >>> Domain 3 <<<
(XEN)   VCPU 0
(XEN) *** Guest State ***
(XEN) CR0: actual=0x0000000080000033, shadow=0x0000000080000033, 
gh_mask=ffffffffffffffff
(XEN) CR3 = 0x00000000002e9000
(XEN) RSP = 0x000000000ffffec0 (0x000000000ffffec0)  RIP = 
0x0000000000209997 (0x0000000000209998)
(XEN) RFLAGS=0x00000297 (0x00000297)  DR7 = 0x0000000000000400
(XEN) Sysenter RSP=0000000000000000 CS:RIP=0000:0000000000000000
(XEN)        sel  attr  limit   base
(XEN)   CS: 0008 0a099 ffffffff 0000000000000000
(XEN)   FS: 0000 1c000 ffffffff 0000000000000000
(XEN) GDTR:            00000027 00000000003e13c0
(XEN)   TR: 0018 0008b 00000068 00000000003e1040
(XEN) EFER = 0x0000000000000000  PAT = 0x0007040600070406
(XEN) PreemptionTimer = 0x00000000  SM Base = 0x00000000
(XEN) DebugCtl = 0x0000000000000000  DebugExceptions = 
0x0000000000000000
(XEN) Interruptibility = 00000000  ActivityState = 00000000
(XEN) *** Host State ***
(XEN) RIP = 0xffff82d08031dd30 (vmx_asm_vmexit_handler)  RSP = 
0xffff83009c057f70
(XEN) CS=e008 SS=0000 DS=0000 ES=0000 FS=0000 GS=0000 TR=e040
(XEN) FSBase=0000000000000000 GSBase=0000000000000000 
TRBase=ffff82d08055e000
(XEN) *** Control State ***
(XEN) PinBased=0000003f CPUBased=b6a065fa SecondaryExec=000014eb
(XEN) EntryControls=000053ff ExitControls=000fefff
(XEN) VMExit: intr_info=00000000 errcode=00000000 ilen=00000001
(XEN)         reason=0000000c qualification=0000000000000000
(XEN) TSC Offset = 0xffffffcf8453199b  TSC Multiplier = 
0x0000000000000000
(XEN) TPR Threshold = 0x00  PostedIntrVec = 0x00
(XEN) EPT pointer = 0x0000000172a0b01e  EPTP index = 0x0000
(XEN) PLE Gap=00000080 Window=00001000
(XEN) Virtual processor ID = 0x000e VMfunc controls = 0000000000000000
(XEN) **************************************
)";

TEST(ImportXen, BrokenLinesAreJoined) {
    const Imported i = import_text(kXen);
    EXPECT_EQ(i.format, DumpFormat::XenConsole);
    EXPECT_TRUE(i.warnings.empty()) << i.warnings.front();
    ASSERT_EQ(i.vmcses.size(), 1u);
    EXPECT_EQ(i.vmcses[0].label, "Domain 3 VCPU 0");
    const vmx::VmcsImage& image = i.vmcses[0].image;
    EXPECT_EQ(image[Field::CR0_GUEST_HOST_MASK], Value::of(~0ULL));
    EXPECT_EQ(image[Field::GUEST_RIP], Value::of(0x209997));
    EXPECT_EQ(image[Field::GUEST_RFLAGS], Value::of(0x297));
    EXPECT_EQ(image[Field::GUEST_FS_AR_BYTES], Value::of(0x1c000));
    EXPECT_EQ(image[Field::GUEST_GDTR_BASE], Value::of(0x3e13c0));
    EXPECT_EQ(image[Field::GUEST_TR_LIMIT], Value::of(0x68));
    EXPECT_EQ(image[Field::HOST_RSP], Value::of(0xffff83009c057f70));
    EXPECT_EQ(image[Field::HOST_TR_BASE], Value::of(0xffff82d08055e000));
    EXPECT_EQ(image[Field::VM_EXIT_REASON], Value::of(12));
    EXPECT_EQ(image[Field::TSC_MULTIPLIER], Value::of(0));
    EXPECT_EQ(image[Field::EPTP_INDEX], Value::of(0));
    EXPECT_EQ(image[Field::VIRTUAL_PROCESSOR_ID], Value::of(0xe));
    EXPECT_TRUE(i.vmcses[0].others.empty());
}

TEST(ImportXen, AModernEferSaysWhereItIsFrom) {
    const Imported vmcs = import_text("(XEN) *** Guest State ***\n(XEN) EFER(VMCS) = 0x0000000000000500  PAT = 0x06\n");
    EXPECT_EQ(vmcs.vmcses.at(0).image[Field::GUEST_IA32_EFER], Value::of(0x500));
    const Imported list =
        import_text("(XEN) *** Guest State ***\n(XEN) EFER(MSR LL) = 0x0000000000000500  PAT = 0x06\n");
    EXPECT_FALSE(list.vmcses.at(0).image[Field::GUEST_IA32_EFER].known());
    EXPECT_EQ(list.vmcses.at(0).image[Field::GUEST_IA32_PAT], Value::of(6));
}

/// A vmcs12 page whose every field is its encoding.
std::string vmcs12_page(std::uint32_t revision = nested::kVmcs12Revision) {
    std::string page(4096, '\0');
    std::memcpy(page.data(), &revision, 4);
    page[8] = 1;
    for (const nested::Vmcs12Field& f : nested::vmcs12_fields()) {
        const auto value = static_cast<std::uint64_t>(f.field);
        std::memcpy(page.data() + f.offset, &value, vmx::bytes_of(f.field));
    }
    return page;
}

void expect_encodings(const vmx::VmcsImage& image) {
    for (const nested::Vmcs12Field& f : nested::vmcs12_fields())
        EXPECT_EQ(image[f.field], Value::of(static_cast<std::uint64_t>(f.field))) << vmx::name_of(f.field);
}

TEST(ImportVmcs12, APageGivesEveryField) {
    const Imported i = import_text(vmcs12_page());
    EXPECT_EQ(i.format, DumpFormat::Vmcs12Page);
    EXPECT_TRUE(i.warnings.empty());
    ASSERT_EQ(i.vmcses.size(), 1u);
    EXPECT_EQ(i.vmcses[0].role, VmcsRole::Vmcs12);
    EXPECT_EQ(i.vmcses[0].label, "revision 0x11e57ed0, launched");
    expect_encodings(i.vmcses[0].image);
}

TEST(ImportVmcs12, DamageIsNamedAndTheRestIsShown) {
    const Imported cut = import_text(vmcs12_page().substr(0, 240));
    EXPECT_TRUE(warns(cut, "ends after 240 bytes"));
    EXPECT_EQ(cut.vmcses.at(0).image[Field::GUEST_PDPTR2], Value::of(0x280e));
    EXPECT_EQ(cut.vmcses.at(0).image[Field::GUEST_PDPTR3], Value{}) << "not read, not zero";
    EXPECT_EQ(cut.vmcses.at(0).image[Field::PLE_GAP], Value::unsupported());

    EXPECT_FALSE(import_bytes(bytes_of(vmcs12_page(0x1234))));
    const auto forced = import_bytes(bytes_of(vmcs12_page(0x1234)), DumpFormat::Vmcs12Page);
    ASSERT_TRUE(forced);
    EXPECT_TRUE(warns(*forced, "revision of vmcs12 is 0x1234"));
    expect_encodings(forced->vmcses[0].image);

    std::string odd = vmcs12_page();
    odd[4] = 3;
    odd[8] = 9;
    odd[680] = 5;
    const Imported i = import_text(odd);
    EXPECT_TRUE(warns(i, "VMX-abort indicator 3"));
    EXPECT_TRUE(warns(i, "launch state 9"));
    ASSERT_EQ(i.vmcses.at(0).others.size(), 1u);
    EXPECT_EQ(i.vmcses[0].others[0], (ImportedVmcs::Other{"bytes at 680", "0x5"}));

    EXPECT_FALSE(import_bytes(bytes_of(vmcs12_page().substr(0, 20))));
}

std::string nested_state(std::uint16_t flags, std::size_t pages) {
    std::string state(128, '\0');
    const auto size = static_cast<std::uint32_t>(128 + 4096 * pages);
    const std::uint64_t vmxon = 0x7000, vmcs12 = 0x8000, deadline = 0x99;
    std::memcpy(state.data(), &flags, 2);
    std::memcpy(state.data() + 4, &size, 4);
    std::memcpy(state.data() + 8, &vmxon, 8);
    std::memcpy(state.data() + 16, &vmcs12, 8);
    state[24] = 2;
    state[28] = 1;
    std::memcpy(state.data() + 32, &deadline, 8);
    if (pages > 0) state += vmcs12_page();
    if (pages > 1) state += vmcs12_page(nested::kVmcs12Revision | 1u << 31);
    return state;
}

TEST(ImportNestedState, HeaderAndBothVmcssAreRead) {
    const Imported i = import_text(nested_state(3, 2));
    EXPECT_EQ(i.format, DumpFormat::NestedState);
    EXPECT_TRUE(i.warnings.empty());
    ASSERT_EQ(i.nested.size(), 1u);
    EXPECT_EQ(nested_flags_text(i.nested[0].flags), "GUEST_MODE RUN_PENDING");
    EXPECT_EQ(nested_smm_flags_text(i.nested[0].smm_flags), "VMXON");
    EXPECT_EQ(i.nested[0].vmxon_pa, 0x7000u);
    EXPECT_EQ(i.nested[0].vmcs12_pa, 0x8000u);
    EXPECT_EQ(i.nested[0].preemption_timer_deadline, 0x99u);
    ASSERT_EQ(i.vmcses.size(), 2u);
    expect_encodings(i.vmcses[0].image);
    EXPECT_EQ(i.vmcses[1].role, VmcsRole::ShadowVmcs12);
    EXPECT_EQ(i.vmcses[1].label, "revision 0x11e57ed0, a shadow VMCS, launched");
}

TEST(ImportNestedState, WhatIsMissingIsSaid) {
    const auto none = import_bytes(bytes_of(nested_state(0, 0)));
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().what, "The nested state holds no vmcs12.");
    const Imported cut = import_text(nested_state(1, 1).substr(0, 128 + 600));
    EXPECT_TRUE(warns(cut, "The header says 4224 bytes, there are 728."));
    EXPECT_TRUE(warns(cut, "ends after 600 bytes"));
    EXPECT_TRUE(warns(import_text(nested_state(0x104, 1)), "flags 0x100"));
    EXPECT_TRUE(warns(import_text(nested_state(0x104, 1)), "enlightened"));
    std::string svm = nested_state(0, 1);
    svm[2] = 1;
    EXPECT_FALSE(import_bytes(bytes_of(svm)));
}

void put_big(std::string& out, std::uint64_t value, unsigned size) {
    while (size-- > 0) out += static_cast<char>(value >> (8 * size));
}

void put_head(std::string& out, std::string_view name) {
    out += '\5';
    out += static_cast<char>(name.size());
    out += name;
    put_big(out, 1, 4);
}

/// What QEMU writes for one vCPU between other sections (target/i386/kvm: vmstate_nested_state).
std::string qemu_stream() {
    std::string s = "QEVM";
    put_big(s, 3, 4);
    s += std::string(5000, 'r');
    put_head(s, "cpu/nested_state");
    put_big(s, 1, 2);
    put_big(s, 0, 2);
    put_big(s, 128 + 4096, 4);
    put_head(s, "cpu/kvm_nested_state/vmx");
    put_big(s, 0x7000, 8);
    put_big(s, 0x8000, 8);
    put_big(s, 0, 2);
    put_head(s, "cpu/kvm_nested_state/vmx/vmcs12");
    s += vmcs12_page();
    s += "\x7e";
    s += R"({"devices":[{"name":"cpu","fields":[{"name":"cpu/nested_state"}]}]})";
    return s;
}

TEST(ImportQemu, EachVcpusNestedStateIsFound) {
    const Imported i = import_text(qemu_stream() + qemu_stream());
    EXPECT_EQ(i.format, DumpFormat::QemuMigration);
    EXPECT_TRUE(i.warnings.empty()) << i.warnings.front();
    ASSERT_EQ(i.nested.size(), 2u);
    EXPECT_EQ(i.nested[1].vmcs12_pa, 0x8000u);
    EXPECT_EQ(i.nested[1].flags, 1);
    ASSERT_EQ(i.vmcses.size(), 2u);
    EXPECT_EQ(i.vmcses[1].label, "vCPU number 1 of the stream, revision 0x11e57ed0, launched");
    expect_encodings(i.vmcses[1].image);
}

TEST(ImportQemu, AStreamWithoutNestedStateIsRefused) {
    const auto none = import_bytes(bytes_of("QEVM" + std::string(1000, 'r')));
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().what, "There is no vmcs12 in this migration stream.");
}

TEST(Import, WhatIsNoDumpIsRefusedWithARemedy) {
    for (const std::string_view text : {"", "hello",
                                        "\x7f"
                                        "ELF"}) {
        const auto refused = import_bytes(bytes_of(text));
        ASSERT_FALSE(refused);
        EXPECT_NE(refused.error().remedy.find("nested-state"), std::string::npos);
        for (const DumpFormat format : {DumpFormat::KvmLog, DumpFormat::XenConsole, DumpFormat::Vmcs12Page,
                                        DumpFormat::NestedState, DumpFormat::QemuMigration})
            EXPECT_FALSE(import_bytes(bytes_of(text), format)) << name_of(format);
    }
    const auto missing = import_file("/nonexistent/dump");
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().what.find("/nonexistent/dump"), std::string::npos);
    EXPECT_FALSE(import_file("/proc"));
}

TEST(Import, FormatNamesLeadBack) {
    for (const DumpFormat format : {DumpFormat::KvmLog, DumpFormat::XenConsole, DumpFormat::Vmcs12Page,
                                    DumpFormat::NestedState, DumpFormat::QemuMigration})
        EXPECT_EQ(dump_format_by_name(name_of(format)), format);
    EXPECT_FALSE(dump_format_by_name("elf"));
}

TEST(Import, DamagedDumpsNeverCrash) {
    std::mt19937_64 random(5);
    const std::string sound[] = {std::string(kKvm61), std::string(kXen), vmcs12_page(), nested_state(3, 2),
                                 qemu_stream()};
    for (int round = 0; round < 300; ++round)
        for (const std::string& whole : sound) {
            std::string damaged = whole.substr(0, random() % (whole.size() + 1));
            for (std::uint64_t n = random() % 8; n > 0 && !damaged.empty(); --n)
                damaged[random() % damaged.size()] = static_cast<char>(random());
            if (const auto result = import_bytes(bytes_of(damaged))) {
                EXPECT_FALSE(result->vmcses.empty());
                EXPECT_LE(result->vmcses.size(), kMostVmcses);
            }
        }
}

}  // namespace
}  // namespace vmxscope::core
