#include "nested/vmcs01_inputs.h"

namespace vmxscope::nested {

namespace {

using vmx::Field;

constexpr Field kAtCrossings[] = {
    Field::VM_EXIT_REASON,
    Field::EXIT_QUALIFICATION,
    Field::VM_EXIT_INTR_INFO,
    Field::VM_EXIT_INTR_ERROR_CODE,
    Field::VM_EXIT_INSTRUCTION_LEN,
    Field::GUEST_LINEAR_ADDRESS,
    Field::GUEST_PHYSICAL_ADDRESS,
    Field::GUEST_RIP,
    Field::GUEST_RSP,
    Field::GUEST_RFLAGS,
    Field::GUEST_CR3,
};

constexpr Field kAtNestedEntries[] = {
    Field::PIN_BASED_VM_EXEC_CONTROL,
    Field::CPU_BASED_VM_EXEC_CONTROL,
    Field::SECONDARY_VM_EXEC_CONTROL,
    Field::TERTIARY_VM_EXEC_CONTROL,
    Field::VM_ENTRY_CONTROLS,
    Field::VM_EXIT_CONTROLS,
    Field::EXCEPTION_BITMAP,
    Field::PAGE_FAULT_ERROR_CODE_MASK,
    Field::PAGE_FAULT_ERROR_CODE_MATCH,
    Field::TSC_OFFSET,
    Field::TSC_MULTIPLIER,
    Field::CR0_GUEST_HOST_MASK,
    Field::CR4_GUEST_HOST_MASK,
    Field::CR0_READ_SHADOW,
    Field::CR4_READ_SHADOW,
    Field::VIRTUAL_PROCESSOR_ID,
    Field::MSR_BITMAP,
    Field::HOST_IA32_EFER,
    Field::GUEST_IA32_EFER,
    Field::GUEST_IA32_PAT,
    Field::GUEST_IA32_DEBUGCTL,
    Field::GUEST_CR0,
    Field::GUEST_CR4,
    Field::EPT_POINTER,
    Field::ENCLS_EXITING_BITMAP,
    Field::XSS_EXIT_BITMAP,
    Field::GUEST_BNDCFGS,
    Field::PLE_GAP,
    Field::PLE_WINDOW,
    Field::GUEST_DR7,
};

}  // namespace

std::span<const Field> vmcs01_at_crossings() {
    return kAtCrossings;
}

std::span<const Field> vmcs01_at_nested_entries() {
    return kAtNestedEntries;
}

}  // namespace vmxscope::nested
