#include "vmx/decode/words.h"

#include <bit>

#include <fmt/format.h>

#include "vmx/exit_reason.h"
#include "vmx/pdpte.h"

namespace vmxscope::vmx {
namespace {

constexpr std::string_view kInstructionErrors[] = {
    "",
    "VMCALL executed in VMX root operation",
    "VMCLEAR with invalid physical address",
    "VMCLEAR with VMXON pointer",
    "VMLAUNCH with non-clear VMCS",
    "VMRESUME with non-launched VMCS",
    "VMRESUME after VMXOFF",
    "VM entry with invalid control fields",
    "VM entry with invalid host-state fields",
    "VMPTRLD with invalid physical address",
    "VMPTRLD with VMXON pointer",
    "VMPTRLD with incorrect VMCS revision identifier",
    "VMREAD or VMWRITE of an unsupported VMCS component",
    "VMWRITE to a read-only VMCS component",
    "",
    "VMXON executed in VMX root operation",
    "VM entry with invalid executive-VMCS pointer",
    "VM entry with non-launched executive VMCS",
    "VM entry with executive-VMCS pointer not VMXON pointer",
    "VMCALL with non-clear VMCS",
    "VMCALL with invalid VM-exit control fields",
    "",
    "VMCALL with incorrect MSEG revision identifier",
    "VMXOFF under dual-monitor treatment of SMIs and SMM",
    "VMCALL with invalid SMM-monitor features",
    "VM entry with invalid VM-execution control fields in executive VMCS",
    "VM entry with events blocked by MOV SS",
    "",
    "invalid operand to INVEPT or INVVPID",
};

constexpr std::string_view kExceptions[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM",
                                            "#DF", "",    "#TS", "#NP", "#SS", "#GP", "#PF", "",
                                            "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"};

constexpr std::string_view kActivities[] = {"active", "HLT", "shutdown", "wait-for-SIPI"};

/// SDM 25.4.2 and 29.3.6: the index counts down from 511, and below 0 the log is full.
std::string describe_pml_index(std::uint64_t index) {
    if (index == 511) return "the log is empty";
    if (index > 511) return "the log is full";
    return fmt::format("{} of 512 entries logged", 511 - index);
}

std::string describe_tsc_offset(std::uint64_t offset) {
    const auto cycles = static_cast<std::int64_t>(offset);
    if (cycles == 0) return "the host's TSC";
    return cycles < 0 ? fmt::format("{} cycles behind", 0 - offset) : fmt::format("{} cycles ahead", offset);
}

/// EOI_EXIT_BITMAPn: one bit a vector, 64 vectors a field.
std::string describe_eoi_bitmap(unsigned index, std::uint64_t bits) {
    if (bits == 0) return "no vector";
    if (bits == ~0ULL) return fmt::format("vectors {:#04x} to {:#04x}", index * 64, index * 64 + 63);
    std::string list;
    for (unsigned shown = 0; bits != 0 && shown < 8; ++shown, bits &= bits - 1)
        list += fmt::format("{}{:#04x}", list.empty() ? "" : " ", index * 64 + std::countr_zero(bits));
    return "vectors " + list + (bits ? fmt::format(" and {} more", std::popcount(bits)) : "");
}

/// IA32_PKRS: for each of 16 keys access-disable (bit 2n) and write-disable (bit 2n + 1).
std::string describe_pkrs(std::uint64_t value) {
    std::string list;
    for (unsigned key = 0; key < 16; ++key)
        if (const unsigned rights = (value >> (2 * key)) & 3)
            list += fmt::format("{}key {}: {}", list.empty() ? "" : ", ", key, rights & 1 ? "no access" : "no writes");
    return list.empty() ? "every key may be used" : list;
}

}  // namespace

std::string_view vm_instruction_error_name(std::uint64_t number) {
    return number < std::size(kInstructionErrors) ? kInstructionErrors[number] : std::string_view{};
}

std::string_view exception_name(unsigned vector) {
    return vector < std::size(kExceptions) ? kExceptions[vector] : std::string_view{};
}

std::string describe_tsc_multiplier(std::uint64_t multiplier) {
    constexpr double kOne = static_cast<double>(1ULL << 48);
    if (multiplier == 1ULL << 48) return "times 1";
    return fmt::format("times {:.9g}", static_cast<double>(multiplier) / kOne);
}

std::string describe_word(Field field, std::uint64_t value) {
    switch (field) {
        case Field::GUEST_PDPTR0:
        case Field::GUEST_PDPTR1:
        case Field::GUEST_PDPTR2:
        case Field::GUEST_PDPTR3: return describe_pdpte(value);
        case Field::GUEST_ACTIVITY_STATE: return value < std::size(kActivities) ? std::string(kActivities[value]) : "?";
        case Field::VM_EXIT_REASON: return describe_exit_reason(static_cast<std::uint32_t>(value));
        case Field::VM_INSTRUCTION_ERROR:
            if (value == 0) return "";
            return vm_instruction_error_name(value).empty() ? "?" : std::string(vm_instruction_error_name(value));
        case Field::TSC_MULTIPLIER: return describe_tsc_multiplier(value);
        case Field::TSC_OFFSET: return describe_tsc_offset(value);
        case Field::GUEST_PML_INDEX: return describe_pml_index(value);
        case Field::VMCS_LINK_POINTER: return value == ~0ULL ? "none" : "";
        case Field::EOI_EXIT_BITMAP0: return describe_eoi_bitmap(0, value);
        case Field::EOI_EXIT_BITMAP1: return describe_eoi_bitmap(1, value);
        case Field::EOI_EXIT_BITMAP2: return describe_eoi_bitmap(2, value);
        case Field::EOI_EXIT_BITMAP3: return describe_eoi_bitmap(3, value);
        case Field::GUEST_IA32_PKRS:
        case Field::HOST_IA32_PKRS: return describe_pkrs(value);
        default: return "";
    }
}

}  // namespace vmxscope::vmx
