#include "vmx/decode/field_layouts.h"

namespace vmxscope::vmx {
namespace {

using Kind = SubFieldKind;
using Words = std::string_view;

// SDM Vol. 3A 3.4.2.
constexpr Words kTables[] = {"GDT", "LDT"};
constexpr SubField kSelector[] = {
    {.low = 3, .width = 13, .kind = Kind::Number, .name = "index"},
    {.low = 2, .kind = Kind::Choice, .name = "TI", .choices = kTables},
    {.low = 0, .width = 2, .kind = Kind::Number, .name = "RPL", .meaning = "requested privilege level"},
};

// SDM table 25-2; the types of Vol. 3A tables 3-1 and 3-2: S (bit 4) chooses between the two.
constexpr Words kSegmentTypes[] = {"system type 0",
                                   "16-bit TSS",
                                   "LDT",
                                   "busy 16-bit TSS",
                                   "16-bit call gate",
                                   "task gate",
                                   "16-bit interrupt gate",
                                   "16-bit trap gate",
                                   "system type 8",
                                   "TSS",
                                   "system type 10",
                                   "busy TSS",
                                   "call gate",
                                   "system type 13",
                                   "interrupt gate",
                                   "trap gate",
                                   "data R",
                                   "data R, accessed",
                                   "data RW",
                                   "data RW, accessed",
                                   "data R, expands down",
                                   "data R, expands down, accessed",
                                   "data RW, expands down",
                                   "data RW, expands down, accessed",
                                   "code X",
                                   "code X, accessed",
                                   "code RX",
                                   "code RX, accessed",
                                   "code X, conforming",
                                   "code X, conforming, accessed",
                                   "code RX, conforming",
                                   "code RX, conforming, accessed"};
constexpr SubField kAccessRights[] = {
    {.low = 0, .width = 5, .kind = Kind::Choice, .name = "S and type", .choices = kSegmentTypes},
    {.low = 5, .width = 2, .kind = Kind::Number, .name = "DPL", .meaning = "descriptor privilege level"},
    {.low = 7, .name = "P", .meaning = "present"},
    {.low = 12, .name = "AVL", .meaning = "available to software"},
    {.low = 13, .name = "L", .meaning = "64-bit code"},
    {.low = 14, .name = "D/B", .meaning = "32-bit operands, or a 32-bit stack"},
    {.low = 15, .name = "G", .meaning = "the limit counts 4-KByte pages"},
    {.low = 16, .name = "unusable", .meaning = "loaded with a null selector, or not at all"},
};

// SDM tables 25-17, 25-20 and 25-21.
constexpr Words kEventTypes[] = {"external interrupt",
                                 "",
                                 "NMI",
                                 "hardware exception",
                                 "software interrupt",
                                 "privileged software exception",
                                 "software exception",
                                 "other event"};
constexpr SubField kEntryEvent[] = {
    {.low = 31, .name = "valid", .meaning = "an event is injected"},
    {.low = 8, .width = 3, .kind = Kind::Choice, .name = "type", .choices = kEventTypes},
    {.low = 0, .width = 8, .kind = Kind::Number, .name = "vector"},
    {.low = 11, .name = "with error code", .meaning = "VM_ENTRY_EXCEPTION_ERROR_CODE is pushed"},
    {.low = 13, .name = "nested exception", .meaning = "FRED: met while another was being delivered"},
};
constexpr SubField kExitEvent[] = {
    {.low = 31, .name = "valid", .meaning = "an event caused the exit"},
    {.low = 8, .width = 3, .kind = Kind::Choice, .name = "type", .choices = kEventTypes},
    {.low = 0, .width = 8, .kind = Kind::Number, .name = "vector"},
    {.low = 11, .name = "with error code", .meaning = "VM_EXIT_INTR_ERROR_CODE is defined"},
    {.low = 12, .name = "NMI unblocking by IRET", .meaning = "an IRET had unblocked NMIs when it faulted"},
};
constexpr SubField kVectoringEvent[] = {
    {.low = 31, .name = "valid", .meaning = "the exit came while this event was being delivered"},
    {.low = 8, .width = 3, .kind = Kind::Choice, .name = "type", .choices = kEventTypes},
    {.low = 0, .width = 8, .kind = Kind::Number, .name = "vector"},
    {.low = 11, .name = "with error code", .meaning = "IDT_VECTORING_ERROR_CODE is defined"},
    {.low = 13, .name = "nested exception", .meaning = "FRED: met while another was being delivered"},
};

// SDM table 25-9; table 25-10 for HLAT is not alike.
constexpr Words kMemoryTypes[] = {"UC", "WC", "", "", "WT", "WP", "WB", "UC-"};
constexpr Words kEptTypes[] = {"UC", "", "", "", "", "", "WB"};
constexpr Words kEptLevels[] = {"1 level", "2 levels", "3 levels", "4 levels", "5 levels"};
constexpr SubField kEptp[] = {
    {.low = 3, .width = 3, .kind = Kind::Choice, .name = "walk length", .choices = kEptLevels},
    {.low = 0, .width = 3, .kind = Kind::Choice, .name = "memory type", .choices = kEptTypes},
    {.low = 6, .name = "A/D", .meaning = "accessed and dirty flags are set in EPT"},
    {.low = 7, .name = "SSS", .meaning = "access rights of supervisor shadow-stack pages are enforced"},
    {.low = 12, .width = 40, .kind = Kind::Address, .name = "table at"},
};
constexpr SubField kHlatPointer[] = {{.low = 3, .name = "PWT"},
                                     {.low = 4, .name = "PCD"},
                                     {.low = 12, .width = 40, .kind = Kind::Address, .name = "table at"}};

constexpr SubField kDr7[] = {
    {.low = 0, .name = "L0"},
    {.low = 1, .name = "G0"},
    {.low = 2, .name = "L1"},
    {.low = 3, .name = "G1"},
    {.low = 4, .name = "L2"},
    {.low = 5, .name = "G2"},
    {.low = 6, .name = "L3"},
    {.low = 7, .name = "G3"},
    {.low = 8, .name = "LE"},
    {.low = 9, .name = "GE"},
    {.low = 10, .name = "", .meaning = "always 1"},
    {.low = 11, .name = "RTM"},
    {.low = 13, .name = "GD", .meaning = "any access to a debug register is #DB"},
#define CONDITION(n)                                                           \
    {.low = 16 + 4 * n,                                                        \
     .width = 2,                                                               \
     .kind = Kind::Number,                                                     \
     .name = "R/W" #n,                                                         \
     .meaning = "0 execute, 1 write, 2 I/O, 3 read or write"},                 \
    {                                                                          \
        .low = 18 + 4 * n, .width = 2, .kind = Kind::Number, .name = "LEN" #n, \
        .meaning = "0 one byte, 1 two, 2 eight, 3 four"                        \
    }
    CONDITION(0),
    CONDITION(1),
    CONDITION(2),
    CONDITION(3),
#undef CONDITION
};

#define MEMORY_TYPE(n) \
    { .low = 8 * n, .width = 8, .kind = Kind::Choice, .name = "PA" #n, .choices = kMemoryTypes }
constexpr SubField kPat[] = {MEMORY_TYPE(0), MEMORY_TYPE(1), MEMORY_TYPE(2), MEMORY_TYPE(3),
                             MEMORY_TYPE(4), MEMORY_TYPE(5), MEMORY_TYPE(6), MEMORY_TYPE(7)};
#undef MEMORY_TYPE

constexpr SubField kInterruptStatus[] = {
    {.low = 0,
     .width = 8,
     .kind = Kind::Hex,
     .name = "RVI",
     .meaning = "requesting virtual interrupt: the highest pending"},
    {.low = 8,
     .width = 8,
     .kind = Kind::Hex,
     .name = "SVI",
     .meaning = "servicing virtual interrupt: the highest in service"},
};
constexpr SubField kTprThreshold[] = {
    {.low = 0, .width = 4, .kind = Kind::Number, .name = "threshold", .meaning = "an exit when VTPR[7:4] falls below"}};

// SDM Vol. 4, table 2-2.
constexpr SubField kBndcfgs[] = {{.low = 0, .name = "EN"},
                                 {.low = 1, .name = "BNDPRESERVE"},
                                 {.low = 12, .width = 52, .kind = Kind::Address, .name = "directory at"}};
constexpr SubField kCet[] = {{.low = 0, .name = "SH_STK_EN"},
                             {.low = 1, .name = "WR_SHSTK_EN"},
                             {.low = 2, .name = "ENDBR_EN"},
                             {.low = 3, .name = "LEG_IW_EN"},
                             {.low = 4, .name = "NO_TRACK_EN"},
                             {.low = 5, .name = "SUPPRESS_DIS"},
                             {.low = 10, .name = "SUPPRESS"},
                             {.low = 11, .name = "TRACKER"},
                             {.low = 12, .width = 52, .kind = Kind::Address, .name = "bitmap at"}};

// FRED: SDM Vol. 3A, "FRED MSRs".
constexpr SubField kFredConfig[] = {
    {.low = 0, .width = 2, .kind = Kind::Number, .name = "CSL", .meaning = "current stack level"},
    {.low = 3, .name = "SSP decrement", .meaning = "8 bytes are left free on the shadow stack"},
    {.low = 6, .width = 3, .kind = Kind::Number, .name = "RSP decrement", .meaning = "in units of 64 bytes"},
    {.low = 9,
     .width = 2,
     .kind = Kind::Number,
     .name = "interrupt level",
     .meaning = "stack level of interrupts in ring 0"},
    {.low = 12, .width = 52, .kind = Kind::Address, .name = "handlers at"},
};

// SDM Vol. 3A 4.7 and 6.13.
constexpr SubField kPageFault[] = {
    {.low = 0, .name = "P", .meaning = "1: a protection violation; 0: a page not present"},
    {.low = 1, .name = "W", .meaning = "a write"},
    {.low = 2, .name = "U", .meaning = "in user mode"},
    {.low = 3, .name = "RSVD", .meaning = "a reserved bit was set in a paging structure"},
    {.low = 4, .name = "I", .meaning = "an instruction fetch"},
    {.low = 5, .name = "PK", .meaning = "protection keys forbade it"},
    {.low = 6, .name = "SS", .meaning = "a shadow-stack access"},
    {.low = 7, .name = "HLAT", .meaning = "during an ordinary or HLAT walk"},
    {.low = 15, .name = "SGX", .meaning = "an access-control requirement of SGX's"},
};
constexpr SubField kSelectorError[] = {
    {.low = 0, .name = "EXT", .meaning = "the event was external to the program"},
    {.low = 1, .name = "IDT", .meaning = "the index is of a gate in the IDT"},
    {.low = 2, .name = "TI", .meaning = "the index is of the LDT"},
    {.low = 3, .width = 13, .kind = Kind::Number, .name = "index"},
};
constexpr SubField kControlProtection[] = {
    {.low = 0,
     .width = 15,
     .kind = Kind::Number,
     .name = "cause",
     .meaning = "1 near RET, 2 far RET or IRET, 3 missing ENDBRANCH, 4 RSTORSSP, 5 SETSSBSY"},
    {.low = 15, .name = "ENCL", .meaning = "in an enclave"},
};

// SDM A.1, A.6, A.9, A.10, A.11.
constexpr Words kVmcsMemoryTypes[] = {"UC", "", "", "", "", "", "WB"};
constexpr SubField kBasic[] = {
    {.low = 0, .width = 31, .kind = Kind::Hex, .name = "VMCS revision"},
    {.low = 32, .width = 13, .kind = Kind::Number, .name = "VMCS bytes"},
    {.low = 48, .name = "32-bit addresses", .meaning = "physical addresses of VMX structures are limited to 32 bits"},
    {.low = 49, .name = "dual-monitor SMM"},
    {.low = 50, .width = 4, .kind = Kind::Choice, .name = "memory type", .choices = kVmcsMemoryTypes},
    {.low = 54, .name = "INS/OUTS information"},
    {.low = 55, .name = "TRUE controls", .meaning = "default1 controls may be 0: see the TRUE MSRs"},
    {.low = 56, .name = "any error code", .meaning = "a hardware exception is injected with or without an error code"},
    {.low = 58, .name = "nested exceptions", .meaning = "FRED"},
};
constexpr SubField kMisc[] = {
    {.low = 0,
     .width = 5,
     .kind = Kind::Number,
     .name = "preemption-timer shift",
     .meaning = "the timer counts down when this bit of the TSC changes"},
    {.low = 5, .name = "saves LMA", .meaning = "exits store EFER.LMA into \"IA-32e mode guest\""},
    {.low = 6, .name = "HLT state"},
    {.low = 7, .name = "shutdown state"},
    {.low = 8, .name = "wait-for-SIPI state"},
    {.low = 14, .name = "PT in VMX"},
    {.low = 15, .name = "SMBASE readable", .meaning = "RDMSR of IA32_SMBASE in SMM"},
    {.low = 16, .width = 9, .kind = Kind::Number, .name = "CR3 targets"},
    {.low = 25,
     .width = 3,
     .kind = Kind::Number,
     .name = "MSR lists",
     .meaning = "512 times (this + 1) entries are recommended at most"},
    {.low = 28, .name = "SMI blockable", .meaning = "IA32_SMM_MONITOR_CTL bit 2"},
    {.low = 29, .name = "VMWRITE to all", .meaning = "exit-information fields too"},
    {.low = 30, .name = "length 0", .meaning = "software events may be injected with instruction length 0"},
    {.low = 32, .width = 32, .kind = Kind::Hex, .name = "MSEG revision"},
};
constexpr SubField kEptVpid[] = {
    {.low = 0, .name = "execute-only"},
    {.low = 6, .name = "4 levels"},
    {.low = 7, .name = "5 levels"},
    {.low = 8, .name = "UC"},
    {.low = 14, .name = "WB"},
    {.low = 16, .name = "2-MByte pages"},
    {.low = 17, .name = "1-GByte pages"},
    {.low = 20, .name = "INVEPT"},
    {.low = 21, .name = "A/D"},
    {.low = 22, .name = "advanced information", .meaning = "on EPT violations: qualification bits 11:9"},
    {.low = 23, .name = "supervisor shadow stack"},
    {.low = 25, .name = "INVEPT single-context"},
    {.low = 26, .name = "INVEPT all-context"},
    {.low = 32, .name = "INVVPID"},
    {.low = 40, .name = "INVVPID individual-address"},
    {.low = 41, .name = "INVVPID single-context"},
    {.low = 42, .name = "INVVPID all-context"},
    {.low = 43, .name = "INVVPID single-context-retaining-globals"},
    {.low = 48, .width = 6, .kind = Kind::Number, .name = "HLAT prefix", .meaning = "the largest HLAT prefix size"},
};
constexpr SubField kVmfunc[] = {{.low = 0, .name = "EPTP switching"}};
constexpr SubField kVmcsEnum[] = {{.low = 1, .width = 9, .kind = Kind::Number, .name = "highest index"}};

struct ByField {
    Field field;
    Layout layout;
};
constexpr ByField kByField[] = {
    {Field::VM_ENTRY_INTR_INFO_FIELD, {kEntryEvent}},
    {Field::VM_EXIT_INTR_INFO, {kExitEvent}},
    {Field::IDT_VECTORING_INFO_FIELD, {kVectoringEvent}},
    {Field::EPT_POINTER, {kEptp}},
    {Field::SHARED_EPT_POINTER, {kEptp}},
    {Field::HLAT_POINTER, {kHlatPointer}},
    {Field::GUEST_DR7, {kDr7}},
    {Field::GUEST_IA32_PAT, {kPat}},
    {Field::HOST_IA32_PAT, {kPat}},
    {Field::GUEST_INTR_STATUS, {kInterruptStatus}},
    {Field::TPR_THRESHOLD, {kTprThreshold}},
    {Field::GUEST_BNDCFGS, {kBndcfgs}},
    {Field::GUEST_S_CET, {kCet}},
    {Field::GUEST_IA32_FRED_CONFIG, {kFredConfig}},
    {Field::HOST_IA32_FRED_CONFIG, {kFredConfig}},
    {Field::HOST_S_CET, {kCet}},
    {Field::PAGE_FAULT_ERROR_CODE_MASK, {kPageFault}},
    {Field::PAGE_FAULT_ERROR_CODE_MATCH, {kPageFault}},
    {Field::GUEST_SYSENTER_CS, {kSelector}},
    {Field::HOST_IA32_SYSENTER_CS, {kSelector}},
};
constexpr Layout kSelectorLayout = {kSelector};
constexpr Layout kAccessRightsLayout = {kAccessRights};
constexpr Layout kPageFaultLayout = {kPageFault};
constexpr Layout kSelectorErrorLayout = {kSelectorError};
constexpr Layout kControlProtectionLayout = {kControlProtection};

bool is_selector(Field f) {
    return (f >= Field::GUEST_ES_SELECTOR && f <= Field::GUEST_TR_SELECTOR) ||
           (f >= Field::HOST_ES_SELECTOR && f <= Field::HOST_TR_SELECTOR);
}

bool is_access_rights(Field f) {
    return f >= Field::GUEST_ES_AR_BYTES && f <= Field::GUEST_TR_AR_BYTES;
}

}  // namespace

const Layout* layout_of(Field field) {
    if (is_selector(field)) return &kSelectorLayout;
    if (is_access_rights(field)) return &kAccessRightsLayout;
    for (const ByField& b : kByField)
        if (b.field == field) return &b.layout;
    return nullptr;
}

const Layout* layout_of(CapabilityMsr msr) {
    static constexpr Layout kBasicLayout = {kBasic}, kMiscLayout = {kMisc}, kEptVpidLayout = {kEptVpid},
                            kVmfuncLayout = {kVmfunc}, kVmcsEnumLayout = {kVmcsEnum};
    switch (msr) {
        case CapabilityMsr::Basic: return &kBasicLayout;
        case CapabilityMsr::Misc: return &kMiscLayout;
        case CapabilityMsr::EptVpidCap: return &kEptVpidLayout;
        case CapabilityMsr::Vmfunc: return &kVmfuncLayout;
        case CapabilityMsr::VmcsEnum: return &kVmcsEnumLayout;
        default: return nullptr;
    }
}

const Layout* error_code_layout(unsigned vector) {
    switch (vector) {
        case 10:
        case 11:
        case 12:
        case 13: return &kSelectorErrorLayout;
        case 14: return &kPageFaultLayout;
        case 21: return &kControlProtectionLayout;
        default: return nullptr;
    }
}

}  // namespace vmxscope::vmx
