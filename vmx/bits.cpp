#include "vmx/bits.h"

#include <array>

#include <fmt/format.h>

#include "vmx/exit_reason.h"
#include "vmx/pdpte.h"

namespace vmxscope::vmx {
namespace {

// Control bits: names of Linux's asm/vmxfeatures.h and asm/vmx.h; SDM 25.6 to 25.8.
constexpr BitName kPin[] = {
    {0, "INTR_EXITING"}, {3, "NMI_EXITING"}, {5, "VIRTUAL_NMIS"}, {6, "PREEMPTION_TIMER"}, {7, "POSTED_INTR"}};

constexpr BitName kProc[] = {
    {2, "INTR_WINDOW_EXITING"}, {3, "USE_TSC_OFFSETTING"},  {7, "HLT_EXITING"},       {9, "INVLPG_EXITING"},
    {10, "MWAIT_EXITING"},      {11, "RDPMC_EXITING"},      {12, "RDTSC_EXITING"},    {15, "CR3_LOAD_EXITING"},
    {16, "CR3_STORE_EXITING"},  {17, "TERTIARY_CONTROLS"},  {19, "CR8_LOAD_EXITING"}, {20, "CR8_STORE_EXITING"},
    {21, "VIRTUAL_TPR"},        {22, "NMI_WINDOW_EXITING"}, {23, "MOV_DR_EXITING"},   {24, "UNCOND_IO_EXITING"},
    {25, "USE_IO_BITMAPS"},     {27, "MONITOR_TRAP_FLAG"},  {28, "USE_MSR_BITMAPS"},  {29, "MONITOR_EXITING"},
    {30, "PAUSE_EXITING"},      {31, "SEC_CONTROLS"}};

constexpr BitName kSecondary[] = {{0, "VIRT_APIC_ACCESSES"},
                                  {1, "EPT"},
                                  {2, "DESC_EXITING"},
                                  {3, "RDTSCP"},
                                  {4, "VIRTUAL_X2APIC"},
                                  {5, "VPID"},
                                  {6, "WBINVD_EXITING"},
                                  {7, "UNRESTRICTED_GUEST"},
                                  {8, "APIC_REGISTER_VIRT"},
                                  {9, "VIRT_INTR_DELIVERY"},
                                  {10, "PAUSE_LOOP_EXITING"},
                                  {11, "RDRAND_EXITING"},
                                  {12, "INVPCID"},
                                  {13, "VMFUNC"},
                                  {14, "SHADOW_VMCS"},
                                  {15, "ENCLS_EXITING"},
                                  {16, "RDSEED_EXITING"},
                                  {17, "PAGE_MOD_LOGGING"},
                                  {18, "EPT_VIOLATION_VE"},
                                  {19, "PT_CONCEAL_VMX"},
                                  {20, "XSAVES"},
                                  {21, "PASID_TRANSLATION"},
                                  {22, "MODE_BASED_EPT_EXEC"},
                                  {23, "SPP"},
                                  {24, "PT_USE_GPA"},
                                  {25, "TSC_SCALING"},
                                  {26, "USR_WAIT_PAUSE"},
                                  {27, "PCONFIG"},
                                  {28, "ENCLV_EXITING"},
                                  {30, "BUS_LOCK_DETECTION"},
                                  {31, "NOTIFY_VM_EXITING"}};

constexpr BitName kTertiary[] = {{0, "LOADIWKEY_EXITING"},   {1, "HLAT"},     {2, "EPT_PAGING_WRITE"},
                                 {3, "GUEST_PAGING_VERIFY"}, {4, "IPI_VIRT"}, {7, "VIRT_SPEC_CTRL"}};

constexpr BitName kExit[] = {{2, "SAVE_DEBUG_CONTROLS"},
                             {9, "HOST_ADDR_SPACE_SIZE"},
                             {12, "LOAD_IA32_PERF_GLOBAL_CTRL"},
                             {15, "ACK_INTR_ON_EXIT"},
                             {18, "SAVE_IA32_PAT"},
                             {19, "LOAD_IA32_PAT"},
                             {20, "SAVE_IA32_EFER"},
                             {21, "LOAD_IA32_EFER"},
                             {22, "SAVE_VMX_PREEMPTION_TIMER"},
                             {23, "CLEAR_BNDCFGS"},
                             {24, "PT_CONCEAL_PIP"},
                             {25, "CLEAR_IA32_RTIT_CTL"},
                             {26, "CLEAR_IA32_LBR_CTL"},
                             {27, "CLEAR_UINV"},
                             {28, "LOAD_CET_STATE"},
                             {29, "LOAD_IA32_PKRS"},
                             {30, "SAVE_IA32_PERF_GLOBAL_CTRL"},
                             {31, "ACTIVATE_SECONDARY"}};

constexpr BitName kEntry[] = {{2, "LOAD_DEBUG_CONTROLS"},
                              {9, "IA32E_MODE"},
                              {10, "SMM"},
                              {11, "DEACT_DUAL_MONITOR"},
                              {13, "LOAD_IA32_PERF_GLOBAL_CTRL"},
                              {14, "LOAD_IA32_PAT"},
                              {15, "LOAD_IA32_EFER"},
                              {16, "LOAD_BNDCFGS"},
                              {17, "PT_CONCEAL_PIP"},
                              {18, "LOAD_IA32_RTIT_CTL"},
                              {19, "LOAD_UINV"},
                              {20, "LOAD_CET_STATE"},
                              {21, "LOAD_IA32_LBR_CTL"},
                              {22, "LOAD_IA32_PKRS"},
                              {23, "LOAD_IA32_FRED"}};

// SDM Vol. 3A 2.5 (CR0, CR4), 2.2.1 (EFER), Vol. 1 3.4.3 (RFLAGS).
constexpr BitName kCr0[] = {{0, "PE"},  {1, "MP"},  {2, "EM"},  {3, "TS"},  {4, "ET"}, {5, "NE"},
                            {16, "WP"}, {18, "AM"}, {29, "NW"}, {30, "CD"}, {31, "PG"}};

constexpr BitName kCr4[] = {
    {0, "VME"},   {1, "PVI"},       {2, "TSD"},    {3, "DE"},          {4, "PSE"},      {5, "PAE"},   {6, "MCE"},
    {7, "PGE"},   {8, "PCE"},       {9, "OSFXSR"}, {10, "OSXMMEXCPT"}, {11, "UMIP"},    {12, "LA57"}, {13, "VMXE"},
    {14, "SMXE"}, {16, "FSGSBASE"}, {17, "PCIDE"}, {18, "OSXSAVE"},    {19, "KL"},      {20, "SMEP"}, {21, "SMAP"},
    {22, "PKE"},  {23, "CET"},      {24, "PKS"},   {25, "UINTR"},      {28, "LAM_SUP"}, {32, "FRED"}};

constexpr BitName kEfer[] = {{0, "SCE"}, {8, "LME"}, {10, "LMA"}, {11, "NX"}};

constexpr BitName kRflags[] = {{0, "CF"},  {2, "PF"},   {4, "AF"},   {6, "ZF"},  {7, "SF"},  {8, "TF"},
                               {9, "IF"},  {10, "DF"},  {11, "OF"},  {14, "NT"}, {16, "RF"}, {17, "VM"},
                               {18, "AC"}, {19, "VIF"}, {20, "VIP"}, {21, "ID"}};

constexpr BitName kInterruptibility[] = {{0, "STI"}, {1, "MOV_SS"}, {2, "SMI"}, {3, "NMI"}, {4, "ENCLAVE_INTR"}};

constexpr BitName kDebugctl[] = {{0, "LBR"},
                                 {1, "BTF"},
                                 {2, "BUS_LOCK_DETECT"},
                                 {6, "TR"},
                                 {7, "BTS"},
                                 {8, "BTINT"},
                                 {9, "BTS_OFF_OS"},
                                 {10, "BTS_OFF_USR"},
                                 {11, "FREEZE_LBRS_ON_PMI"},
                                 {12, "FREEZE_PERFMON_ON_PMI"},
                                 {14, "FREEZE_IN_SMM"},
                                 {15, "RTM_DEBUG"}};

constexpr BitName kPendingDebug[] = {{0, "B0"},   {1, "B1"},          {2, "B2"},  {3, "B3"},
                                     {11, "BLD"}, {12, "ENABLED_BP"}, {14, "BS"}, {16, "RTM"}};

constexpr BitName kExceptions[] = {{0, "#DE"},  {1, "#DB"},  {3, "#BP"},  {4, "#OF"},  {5, "#BR"},
                                   {6, "#UD"},  {7, "#NM"},  {8, "#DF"},  {10, "#TS"}, {11, "#NP"},
                                   {12, "#SS"}, {13, "#GP"}, {14, "#PF"}, {16, "#MF"}, {17, "#AC"},
                                   {18, "#MC"}, {19, "#XM"}, {20, "#VE"}, {21, "#CP"}};

constexpr BitName kVmFunctions[] = {{0, "EPTP_SWITCHING"}};

struct FlagField {
    Field field;
    std::span<const BitName> names;
    std::uint64_t silent;  // bits that are 1 on every processor and say nothing (the "default1" class, SDM A.2)
};

constexpr FlagField kFlagFields[] = {
    {Field::PIN_BASED_VM_EXEC_CONTROL, kPin, 0x16},
    {Field::CPU_BASED_VM_EXEC_CONTROL, kProc, 0x0401e172},
    {Field::SECONDARY_VM_EXEC_CONTROL, kSecondary, 0},
    {Field::TERTIARY_VM_EXEC_CONTROL, kTertiary, 0},
    {Field::VM_EXIT_CONTROLS, kExit, 0x36dff},
    {Field::VM_ENTRY_CONTROLS, kEntry, 0x11ff},
    {Field::VM_FUNCTION_CONTROL, kVmFunctions, 0},
    {Field::EXCEPTION_BITMAP, kExceptions, 0},
    {Field::GUEST_CR0, kCr0, 0},
    {Field::GUEST_CR4, kCr4, 0},
    {Field::HOST_CR0, kCr0, 0},
    {Field::HOST_CR4, kCr4, 0},
    {Field::CR0_GUEST_HOST_MASK, kCr0, ~0ULL},
    {Field::CR4_GUEST_HOST_MASK, kCr4, ~0ULL},
    {Field::CR0_READ_SHADOW, kCr0, 0},
    {Field::CR4_READ_SHADOW, kCr4, 0},
    {Field::GUEST_IA32_EFER, kEfer, 0},
    {Field::HOST_IA32_EFER, kEfer, 0},
    {Field::GUEST_RFLAGS, kRflags, 1u << 1 | 3u << 12},
    {Field::GUEST_IA32_DEBUGCTL, kDebugctl, 0},
    {Field::GUEST_INTERRUPTIBILITY_INFO, kInterruptibility, 0},
    {Field::GUEST_PENDING_DBG_EXCEPTIONS, kPendingDebug, 0},
};

const FlagField* flag_field(Field f) {
    for (const FlagField& candidate : kFlagFields)
        if (candidate.field == f) return &candidate;
    return nullptr;
}

/// SDM table 25-2; the segment type names of SDM Vol. 3A 3.4.5.1.
std::string describe_access_rights(std::uint64_t ar) {
    if (ar & (1u << 16)) return "unusable";
    const unsigned type = ar & 15;
    std::string text;
    if (!(ar & (1u << 4)))
        text = type == 2    ? "LDT"
               : type == 11 ? "busy TSS"
               : type == 3  ? "busy 16-bit TSS"
                            : fmt::format("type {}", type);
    else if (type & 8)
        text = type & 2 ? "code RX" : "code X";
    else
        text = type & 2 ? "data RW" : "data R";
    text += fmt::format(" DPL{}", (ar >> 5) & 3);
    constexpr BitName kMore[] = {{7, "P"}, {13, "L"}, {14, "DB"}, {15, "G"}};
    return text + " " + join_bits(kMore, ar, ~0ULL);
}

/// SDM table 25-17 (event injection) and 25-20 (exit), which share their format.
std::string describe_event(std::uint64_t info) {
    if (!(info & (1ULL << 31))) return "none";
    constexpr std::string_view kTypes[] = {"external interrupt", "reserved",           "NMI",
                                           "hardware exception", "software interrupt", "privileged software exception",
                                           "software exception", "other event"};
    return fmt::format("vector {}, {}{}", info & 0xff, kTypes[(info >> 8) & 7],
                       info & (1u << 11) ? ", with error code" : "");
}

std::string describe_activity(std::uint64_t state) {
    constexpr std::string_view kStates[] = {"active", "HLT", "shutdown", "wait-for-SIPI"};
    return state < std::size(kStates) ? std::string(kStates[state]) : "?";
}

/// SDM table 25-9.
std::string describe_eptp(std::uint64_t eptp) {
    const unsigned type = eptp & 7;
    return fmt::format("{} levels, {}{}, table at {:#x}", ((eptp >> 3) & 7) + 1,
                       type == 6   ? "WB"
                       : type == 0 ? "UC"
                                   : fmt::format("memory type {}", type),
                       eptp & (1u << 6) ? ", A/D" : "", eptp & ~0xfffULL);
}

bool is_access_rights(Field f) {
    return f >= Field::GUEST_ES_AR_BYTES && f <= Field::GUEST_TR_AR_BYTES;
}

}  // namespace

std::span<const BitName> cr0_bits() {
    return kCr0;
}
std::span<const BitName> cr4_bits() {
    return kCr4;
}
std::span<const BitName> efer_bits() {
    return kEfer;
}
std::span<const BitName> rflags_bits() {
    return kRflags;
}

std::span<const BitName> bits_of(Field f) {
    const FlagField* flags = flag_field(f);
    return flags ? flags->names : std::span<const BitName>{};
}

std::string join_bits(std::span<const BitName> names, std::uint64_t value, std::uint64_t silent) {
    std::string text;
    std::uint64_t rest = value & ~silent;
    for (const BitName& b : names) {
        const std::uint64_t mask = 1ULL << b.bit;
        rest &= ~mask;
        if (value & mask) text += fmt::format("{}{}", text.empty() ? "" : " ", b.name);
    }
    if (rest) text += fmt::format("{}+{:#x}", text.empty() ? "" : " ", rest);
    return text;
}

std::string describe(Field f, std::uint64_t value) {
    if (const FlagField* flags = flag_field(f)) return join_bits(flags->names, value, flags->silent);
    if (is_access_rights(f)) return describe_access_rights(value);
    switch (f) {
        case Field::GUEST_PDPTR0:
        case Field::GUEST_PDPTR1:
        case Field::GUEST_PDPTR2:
        case Field::GUEST_PDPTR3:
            return describe_pdpte(value);
        case Field::GUEST_ACTIVITY_STATE:
            return describe_activity(value);
        case Field::VM_EXIT_REASON:
            return describe_exit_reason(static_cast<std::uint32_t>(value));
        case Field::VM_ENTRY_INTR_INFO_FIELD:
        case Field::VM_EXIT_INTR_INFO:
        case Field::IDT_VECTORING_INFO_FIELD:
            return describe_event(value);
        case Field::EPT_POINTER:
            return describe_eptp(value);
        default:
            return "";
    }
}

}  // namespace vmxscope::vmx
