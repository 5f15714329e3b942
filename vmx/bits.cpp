#include "vmx/bits.h"

#include <fmt/format.h>

namespace vmxscope::vmx {
namespace {

// Control bits: names of Linux's asm/vmxfeatures.h and asm/vmx.h; SDM 25.6 to 25.8.
constexpr BitName kPin[] = {{0, "INTR_EXITING", "external-interrupt exiting"},
                            {3, "NMI_EXITING", "NMI exiting"},
                            {5, "VIRTUAL_NMIS", "virtual NMIs"},
                            {6, "PREEMPTION_TIMER", "activate VMX-preemption timer"},
                            {7, "POSTED_INTR", "process posted interrupts"}};

constexpr BitName kProc[] = {{2, "INTR_WINDOW_EXITING", "interrupt-window exiting"},
                             {3, "USE_TSC_OFFSETTING", "use TSC offsetting"},
                             {7, "HLT_EXITING", "HLT exiting"},
                             {9, "INVLPG_EXITING", "INVLPG exiting"},
                             {10, "MWAIT_EXITING", "MWAIT exiting"},
                             {11, "RDPMC_EXITING", "RDPMC exiting"},
                             {12, "RDTSC_EXITING", "RDTSC exiting"},
                             {15, "CR3_LOAD_EXITING", "CR3-load exiting"},
                             {16, "CR3_STORE_EXITING", "CR3-store exiting"},
                             {17, "TERTIARY_CONTROLS", "activate tertiary controls"},
                             {19, "CR8_LOAD_EXITING", "CR8-load exiting"},
                             {20, "CR8_STORE_EXITING", "CR8-store exiting"},
                             {21, "VIRTUAL_TPR", "use TPR shadow"},
                             {22, "NMI_WINDOW_EXITING", "NMI-window exiting"},
                             {23, "MOV_DR_EXITING", "MOV-DR exiting"},
                             {24, "UNCOND_IO_EXITING", "unconditional I/O exiting"},
                             {25, "USE_IO_BITMAPS", "use I/O bitmaps"},
                             {27, "MONITOR_TRAP_FLAG", "monitor trap flag"},
                             {28, "USE_MSR_BITMAPS", "use MSR bitmaps"},
                             {29, "MONITOR_EXITING", "MONITOR exiting"},
                             {30, "PAUSE_EXITING", "PAUSE exiting"},
                             {31, "SEC_CONTROLS", "activate secondary controls"}};

constexpr BitName kSecondary[] = {{0, "VIRT_APIC_ACCESSES", "virtualize APIC accesses"},
                                  {1, "EPT", "enable EPT"},
                                  {2, "DESC_EXITING", "descriptor-table exiting"},
                                  {3, "RDTSCP", "enable RDTSCP"},
                                  {4, "VIRTUAL_X2APIC", "virtualize x2APIC mode"},
                                  {5, "VPID", "enable VPID"},
                                  {6, "WBINVD_EXITING", "WBINVD exiting"},
                                  {7, "UNRESTRICTED_GUEST", "unrestricted guest"},
                                  {8, "APIC_REGISTER_VIRT", "APIC-register virtualization"},
                                  {9, "VIRT_INTR_DELIVERY", "virtual-interrupt delivery"},
                                  {10, "PAUSE_LOOP_EXITING", "PAUSE-loop exiting"},
                                  {11, "RDRAND_EXITING", "RDRAND exiting"},
                                  {12, "INVPCID", "enable INVPCID"},
                                  {13, "VMFUNC", "enable VM functions"},
                                  {14, "SHADOW_VMCS", "VMCS shadowing"},
                                  {15, "ENCLS_EXITING", "enable ENCLS exiting"},
                                  {16, "RDSEED_EXITING", "RDSEED exiting"},
                                  {17, "PAGE_MOD_LOGGING", "enable PML"},
                                  {18, "EPT_VIOLATION_VE", "EPT-violation #VE"},
                                  {19, "PT_CONCEAL_VMX", "conceal VMX from PT"},
                                  {20, "XSAVES", "enable XSAVES/XRSTORS"},
                                  {21, "PASID_TRANSLATION", "PASID translation"},
                                  {22, "MODE_BASED_EPT_EXEC", "mode-based execute control for EPT"},
                                  {23, "SPP", "sub-page write permissions for EPT"},
                                  {24, "PT_USE_GPA", "Intel PT uses guest physical addresses"},
                                  {25, "TSC_SCALING", "use TSC scaling"},
                                  {26, "USR_WAIT_PAUSE", "enable user wait and pause"},
                                  {27, "PCONFIG", "enable PCONFIG"},
                                  {28, "ENCLV_EXITING", "enable ENCLV exiting"},
                                  {30, "BUS_LOCK_DETECTION", "VMM bus-lock detection"},
                                  {31, "NOTIFY_VM_EXITING", "instruction timeout"}};

constexpr BitName kTertiary[] = {{0, "LOADIWKEY_EXITING", "LOADIWKEY exiting"},
                                 {1, "HLAT", "enable HLAT"},
                                 {2, "EPT_PAGING_WRITE", "EPT paging-write control"},
                                 {3, "GUEST_PAGING_VERIFY", "guest-paging verification"},
                                 {4, "IPI_VIRT", "IPI virtualization"},
                                 {6, "MSR_LIST", "enable MSR-list instructions"},
                                 {7, "VIRT_SPEC_CTRL", "virtualize IA32_SPEC_CTRL"}};

constexpr BitName kExit[] = {{2, "SAVE_DEBUG_CONTROLS", "save debug controls"},
                             {9, "HOST_ADDR_SPACE_SIZE", "host address-space size: 64-bit mode after the exit"},
                             {12, "LOAD_IA32_PERF_GLOBAL_CTRL", "load IA32_PERF_GLOBAL_CTRL"},
                             {15, "ACK_INTR_ON_EXIT", "acknowledge interrupt on exit"},
                             {18, "SAVE_IA32_PAT", "save IA32_PAT"},
                             {19, "LOAD_IA32_PAT", "load IA32_PAT"},
                             {20, "SAVE_IA32_EFER", "save IA32_EFER"},
                             {21, "LOAD_IA32_EFER", "load IA32_EFER"},
                             {22, "SAVE_VMX_PREEMPTION_TIMER", "save VMX-preemption timer value"},
                             {23, "CLEAR_BNDCFGS", "clear IA32_BNDCFGS"},
                             {24, "PT_CONCEAL_PIP", "conceal VMX from PT"},
                             {25, "CLEAR_IA32_RTIT_CTL", "clear IA32_RTIT_CTL"},
                             {26, "CLEAR_IA32_LBR_CTL", "clear IA32_LBR_CTL"},
                             {27, "CLEAR_UINV", "clear UINV"},
                             {28, "LOAD_CET_STATE", "load CET state"},
                             {29, "LOAD_IA32_PKRS", "load PKRS"},
                             {30, "SAVE_IA32_PERF_GLOBAL_CTRL", "save IA32_PERF_GLOBAL_CTRL"},
                             {31, "ACTIVATE_SECONDARY", "activate secondary controls"}};

constexpr BitName kEntry[] = {{2, "LOAD_DEBUG_CONTROLS", "load debug controls"},
                              {9, "IA32E_MODE", "IA-32e mode guest"},
                              {10, "SMM", "entry to SMM"},
                              {11, "DEACT_DUAL_MONITOR", "deactivate dual-monitor treatment"},
                              {13, "LOAD_IA32_PERF_GLOBAL_CTRL", "load IA32_PERF_GLOBAL_CTRL"},
                              {14, "LOAD_IA32_PAT", "load IA32_PAT"},
                              {15, "LOAD_IA32_EFER", "load IA32_EFER"},
                              {16, "LOAD_BNDCFGS", "load IA32_BNDCFGS"},
                              {17, "PT_CONCEAL_PIP", "conceal VMX from PT"},
                              {18, "LOAD_IA32_RTIT_CTL", "load IA32_RTIT_CTL"},
                              {19, "LOAD_UINV", "load UINV"},
                              {20, "LOAD_CET_STATE", "load CET state"},
                              {21, "LOAD_IA32_LBR_CTL", "load guest IA32_LBR_CTL"},
                              {22, "LOAD_IA32_PKRS", "load PKRS"},
                              {23, "LOAD_IA32_FRED", "load FRED MSRs"}};

// SDM Vol. 3A 2.5 (CR0, CR4), 2.2.1 (EFER), Vol. 1 3.4.3 (RFLAGS).
constexpr BitName kCr0[] = {{0, "PE", "protection enable"},
                            {1, "MP", "monitor coprocessor"},
                            {2, "EM", "emulation"},
                            {3, "TS", "task switched"},
                            {4, "ET", "extension type"},
                            {5, "NE", "numeric error"},
                            {16, "WP", "write protect"},
                            {18, "AM", "alignment mask"},
                            {29, "NW", "not write-through"},
                            {30, "CD", "cache disable"},
                            {31, "PG", "paging"}};

constexpr BitName kCr4[] = {{0, "VME", "virtual-8086 extensions"},
                            {1, "PVI", "protected-mode virtual interrupts"},
                            {2, "TSD", "RDTSC only at CPL 0"},
                            {3, "DE", "debugging extensions"},
                            {4, "PSE", "4-MByte pages"},
                            {5, "PAE", "physical address extension"},
                            {6, "MCE", "machine-check enable"},
                            {7, "PGE", "global pages"},
                            {8, "PCE", "RDPMC at any CPL"},
                            {9, "OSFXSR", "FXSAVE, FXRSTOR and SSE"},
                            {10, "OSXMMEXCPT", "#XM"},
                            {11, "UMIP", "user-mode instruction prevention"},
                            {12, "LA57", "5-level paging"},
                            {13, "VMXE", "VMX enable"},
                            {14, "SMXE", "SMX enable"},
                            {16, "FSGSBASE", "RDFSBASE and the like"},
                            {17, "PCIDE", "PCIDs"},
                            {18, "OSXSAVE", "XSAVE"},
                            {19, "KL", "Key Locker"},
                            {20, "SMEP", "supervisor-mode execution prevention"},
                            {21, "SMAP", "supervisor-mode access prevention"},
                            {22, "PKE", "protection keys, user pages"},
                            {23, "CET", "control-flow enforcement"},
                            {24, "PKS", "protection keys, supervisor pages"},
                            {25, "UINTR", "user interrupts"},
                            {28, "LAM_SUP", "linear-address masking, supervisor"},
                            {32, "FRED", "flexible return and event delivery"}};

constexpr BitName kEfer[] = {{0, "SCE", "SYSCALL enable"},
                             {8, "LME", "IA-32e mode enable"},
                             {10, "LMA", "IA-32e mode active"},
                             {11, "NX", "execute-disable enable"}};

constexpr BitName kRflags[] = {{0, "CF", "carry"},
                               {2, "PF", "parity"},
                               {4, "AF", "auxiliary carry"},
                               {6, "ZF", "zero"},
                               {7, "SF", "sign"},
                               {8, "TF", "trap"},
                               {9, "IF", "interrupt enable"},
                               {10, "DF", "direction"},
                               {11, "OF", "overflow"},
                               {12, "IOPL.0", "I/O privilege level, low bit"},
                               {13, "IOPL.1", "I/O privilege level, high bit"},
                               {14, "NT", "nested task"},
                               {16, "RF", "resume"},
                               {17, "VM", "virtual-8086 mode"},
                               {18, "AC", "alignment check"},
                               {19, "VIF", "virtual interrupt"},
                               {20, "VIP", "virtual interrupt pending"},
                               {21, "ID", "CPUID"}};

constexpr BitName kInterruptibility[] = {{0, "STI", "blocking by STI"},
                                         {1, "MOV_SS", "blocking by MOV SS"},
                                         {2, "SMI", "blocking by SMI"},
                                         {3, "NMI", "blocking by NMI"},
                                         {4, "ENCLAVE_INTR", "the exit was from an enclave"}};

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

constexpr BitName kPendingDebug[] = {
    {0, "B0", "condition of DR0 met"},      {1, "B1", "condition of DR1 met"},
    {2, "B2", "condition of DR2 met"},      {3, "B3", "condition of DR3 met"},
    {11, "BLD", "a bus lock was acquired"}, {12, "ENABLED_BP", "an enabled breakpoint was met"},
    {14, "BS", "a single step is pending"}, {16, "RTM", "in an RTM region"}};

constexpr BitName kExceptions[] = {{0, "#DE"},  {1, "#DB"},  {3, "#BP"},  {4, "#OF"},  {5, "#BR"},
                                   {6, "#UD"},  {7, "#NM"},  {8, "#DF"},  {10, "#TS"}, {11, "#NP"},
                                   {12, "#SS"}, {13, "#GP"}, {14, "#PF"}, {16, "#MF"}, {17, "#AC"},
                                   {18, "#MC"}, {19, "#XM"}, {20, "#VE"}, {21, "#CP"}};

constexpr BitName kVmFunctions[] = {{0, "EPTP_SWITCHING"}};

// SDM table "Definitions of Secondary VM-Exit Controls" (27-15 in the editions with FRED).
constexpr BitName kExit2[] = {{0, "SAVE_IA32_FRED", "save FRED MSRs"},
                              {1, "LOAD_IA32_FRED", "load FRED MSRs"},
                              {2, "LOAD_IA32_SPEC_CTRL", "load IA32_SPEC_CTRL"},
                              {3, "PREMATURELY_BUSY_SHADOW_STACK", "prematurely busy shadow stack"}};

// State components of SDM Vol. 1 13.1, those that IA32_XSS may enable.
constexpr BitName kXss[] = {{8, "PT"},   {10, "PASID"}, {11, "CET_U"}, {12, "CET_S"},
                            {13, "HDC"}, {14, "UINTR"}, {15, "LBR"},   {16, "HWP"}};

// SDM Vol. 3D 41.1, and "ENCLV leaf functions".
constexpr BitName kEncls[] = {
    {0, "ECREATE"}, {1, "EADD"},   {2, "EINIT"},       {3, "EREMOVE"},         {4, "EDBGRD"},   {5, "EDBGWR"},
    {6, "EEXTEND"}, {7, "ELDB"},   {8, "ELDU"},        {9, "EBLOCK"},          {10, "EPA"},     {11, "EWB"},
    {12, "ETRACK"}, {13, "EAUG"},  {14, "EMODPR"},     {15, "EMODT"},          {16, "ERDINFO"}, {17, "ETRACKC"},
    {18, "ELDBC"},  {19, "ELDUC"}, {24, "EUPDATESVN"}, {63, "leaves above 62"}};
constexpr BitName kEnclv[] = {{0, "EDECVIRTCHILD"}, {1, "EINCVIRTCHILD"}, {2, "ESETCONTEXT"}, {63, "leaves above 62"}};
constexpr BitName kPconfig[] = {{0, "MKTME_KEY_PROGRAM"}, {63, "leaves above 62"}};

// SDM Vol. 4 table 2-2.
constexpr BitName kPerfGlobal[] = {{0, "PMC0"},    {1, "PMC1"},    {2, "PMC2"},         {3, "PMC3"},    {4, "PMC4"},
                                   {5, "PMC5"},    {6, "PMC6"},    {7, "PMC7"},         {32, "FIXED0"}, {33, "FIXED1"},
                                   {34, "FIXED2"}, {35, "FIXED3"}, {48, "PERF_METRICS"}};
constexpr BitName kSpecCtrl[] = {{0, "IBRS"},        {1, "STIBP"},       {2, "SSBD"},        {3, "IPRED_DIS_U"},
                                 {4, "IPRED_DIS_S"}, {5, "RRSBA_DIS_U"}, {6, "RRSBA_DIS_S"}, {7, "PSFD"},
                                 {8, "DDPD_U"},      {10, "BHI_DIS_S"}};
constexpr BitName kRtit[] = {{0, "TraceEn"},
                             {1, "CYCEn"},
                             {2, "OS"},
                             {3, "User"},
                             {4, "PwrEvtEn"},
                             {5, "FUPonPTW"},
                             {6, "FabricEn"},
                             {7, "CR3Filter"},
                             {8, "ToPA"},
                             {9, "MTCEn"},
                             {10, "TSCEn"},
                             {11, "DisRETC"},
                             {12, "PTWEn"},
                             {13, "BranchEn"},
                             {31, "EventEn"},
                             {55, "DisTNT"},
                             {56, "InjectPsbPmiOnEnable"}};
constexpr BitName kLbr[] = {{0, "LBREn"},
                            {1, "OS"},
                            {2, "USR"},
                            {3, "CALL_STACK"},
                            {16, "JCC"},
                            {17, "NEAR_REL_JMP"},
                            {18, "NEAR_IND_JMP"},
                            {19, "NEAR_REL_CALL"},
                            {20, "NEAR_IND_CALL"},
                            {21, "NEAR_RET"},
                            {22, "OTHER_BRANCH"}};

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
    {Field::GUEST_RFLAGS, kRflags, 1u << 1},
    {Field::GUEST_IA32_DEBUGCTL, kDebugctl, 0},
    {Field::GUEST_INTERRUPTIBILITY_INFO, kInterruptibility, 0},
    {Field::GUEST_PENDING_DBG_EXCEPTIONS, kPendingDebug, 0},
    {Field::SECONDARY_VM_EXIT_CONTROLS, kExit2, 0},
    {Field::XSS_EXIT_BITMAP, kXss, 0},
    {Field::ENCLS_EXITING_BITMAP, kEncls, 0},
    {Field::ENCLV_EXITING_BITMAP, kEnclv, 0},
    {Field::PCONFIG_EXITING_BITMAP, kPconfig, 0},
    {Field::GUEST_IA32_PERF_GLOBAL_CTRL, kPerfGlobal, 0},
    {Field::HOST_IA32_PERF_GLOBAL_CTRL, kPerfGlobal, 0},
    {Field::IA32_SPEC_CTRL_MASK, kSpecCtrl, 0},
    {Field::IA32_SPEC_CTRL_SHADOW, kSpecCtrl, 0},
    {Field::GUEST_IA32_RTIT_CTL, kRtit, 0},
    {Field::GUEST_IA32_LBR_CTL, kLbr, 0},
};

const FlagField* flag_field(Field f) {
    for (const FlagField& candidate : kFlagFields)
        if (candidate.field == f) return &candidate;
    return nullptr;
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

std::uint64_t silent_bits(Field f) {
    const FlagField* flags = flag_field(f);
    return flags ? flags->silent : 0;
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

}  // namespace vmxscope::vmx
