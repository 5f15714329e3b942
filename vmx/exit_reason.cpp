#include "vmx/exit_reason.h"

#include <fmt/format.h>

namespace vmxscope::vmx {
namespace {

struct Named {
    std::uint16_t number;
    std::string_view name;
};

// Names of Linux's uapi/asm/vmx.h; those that Linux does not know follow the SDM's wording in the same manner.
constexpr Named kReasons[] = {
    {0, "EXCEPTION_NMI"},
    {1, "EXTERNAL_INTERRUPT"},
    {2, "TRIPLE_FAULT"},
    {3, "INIT_SIGNAL"},
    {4, "SIPI_SIGNAL"},
    {5, "IO_SMI"},
    {6, "OTHER_SMI"},
    {7, "INTERRUPT_WINDOW"},
    {8, "NMI_WINDOW"},
    {9, "TASK_SWITCH"},
    {10, "CPUID"},
    {11, "GETSEC"},
    {12, "HLT"},
    {13, "INVD"},
    {14, "INVLPG"},
    {15, "RDPMC"},
    {16, "RDTSC"},
    {17, "RSM"},
    {18, "VMCALL"},
    {19, "VMCLEAR"},
    {20, "VMLAUNCH"},
    {21, "VMPTRLD"},
    {22, "VMPTRST"},
    {23, "VMREAD"},
    {24, "VMRESUME"},
    {25, "VMWRITE"},
    {26, "VMOFF"},
    {27, "VMON"},
    {28, "CR_ACCESS"},
    {29, "DR_ACCESS"},
    {30, "IO_INSTRUCTION"},
    {31, "MSR_READ"},
    {32, "MSR_WRITE"},
    {33, "INVALID_STATE"},
    {34, "MSR_LOAD_FAIL"},
    {36, "MWAIT_INSTRUCTION"},
    {37, "MONITOR_TRAP_FLAG"},
    {39, "MONITOR_INSTRUCTION"},
    {40, "PAUSE_INSTRUCTION"},
    {41, "MCE_DURING_VMENTRY"},
    {43, "TPR_BELOW_THRESHOLD"},
    {44, "APIC_ACCESS"},
    {45, "EOI_INDUCED"},
    {46, "GDTR_IDTR"},
    {47, "LDTR_TR"},
    {48, "EPT_VIOLATION"},
    {49, "EPT_MISCONFIG"},
    {50, "INVEPT"},
    {51, "RDTSCP"},
    {52, "PREEMPTION_TIMER"},
    {53, "INVVPID"},
    {54, "WBINVD"},
    {55, "XSETBV"},
    {56, "APIC_WRITE"},
    {57, "RDRAND"},
    {58, "INVPCID"},
    {59, "VMFUNC"},
    {60, "ENCLS"},
    {61, "RDSEED"},
    {62, "PML_FULL"},
    {63, "XSAVES"},
    {64, "XRSTORS"},
    {65, "PCONFIG"},
    {66, "SPP_EVENT"},
    {67, "UMWAIT"},
    {68, "TPAUSE"},
    {69, "LOADIWKEY"},
    {70, "ENCLV"},
    {72, "ENQCMD_PASID"},
    {73, "ENQCMDS_PASID"},
    {74, "BUS_LOCK"},
    {75, "NOTIFY"},
    {76, "SEAMCALL"},
    {77, "TDCALL"},
    {78, "RDMSRLIST"},
    {79, "WRMSRLIST"},
    {80, "URDMSR"},
    {81, "UWRMSR"},
    {84, "MSR_READ_IMM"},
    {85, "MSR_WRITE_IMM"},
};

// SDM 25.9.1, "Basic VM-exit information".
constexpr BitName kFlags[] = {{31, "VM-entry failed", "the guest never ran"},
                              {29, "from VMX root", "an SMM VM exit from VMX root operation"},
                              {28, "MTF pending", "an MTF exit was pending"},
                              {27, "in enclave", "the logical processor was in enclave mode"},
                              {26, "bus lock", "a bus lock was acquired in the guest"},
                              {25, "busy shadow stack", "a shadow stack was left prematurely busy"}};

}  // namespace

std::string_view exit_reason_name(std::uint32_t reason) {
    for (const Named& r : kReasons)
        if (r.number == basic_exit_reason(reason)) return r.name;
    return "?";
}

std::optional<std::uint16_t> exit_reason_by_name(std::string_view name) {
    for (const Named& r : kReasons)
        if (r.name == name) return r.number;
    return std::nullopt;
}

std::span<const BitName> exit_reason_flags() {
    return kFlags;
}

std::string describe_exit_reason(std::uint32_t reason) {
    std::string text(exit_reason_name(reason));
    if (text == "?") text = fmt::format("reason {}", basic_exit_reason(reason));
    std::string flags;
    for (const BitName& f : kFlags)
        if ((reason >> f.bit) & 1) flags += fmt::format("{}{}", flags.empty() ? "" : ", ", f.name);
    return flags.empty() ? text : fmt::format("{} ({})", text, flags);
}

}  // namespace vmxscope::vmx
