#include "vmx/saved_state.h"

#include "vmx/controls.h"

namespace vmxscope::vmx {
namespace {

/// Guest state that is saved only under a control, or never.
struct Row {
    Field first, last;
    Field control;      // whose `bit` it is; VM_EXIT_CONTROLS unless said otherwise
    std::uint64_t bit;  // 0: never
};

constexpr Row kRows[] = {
    {Field::GUEST_INTR_STATUS, Field::GUEST_INTR_STATUS, Field::SECONDARY_VM_EXEC_CONTROL,
     secondary::kInterruptDelivery},
    {Field::GUEST_PML_INDEX, Field::GUEST_PML_INDEX, Field::SECONDARY_VM_EXEC_CONTROL, secondary::kPml},
    {Field::VMCS_LINK_POINTER, Field::VMCS_LINK_POINTER, Field::VM_EXIT_CONTROLS, 0},
    {Field::GUEST_IA32_DEBUGCTL, Field::GUEST_IA32_DEBUGCTL, Field::VM_EXIT_CONTROLS, exits::kSaveDebug},
    {Field::GUEST_IA32_PAT, Field::GUEST_IA32_PAT, Field::VM_EXIT_CONTROLS, exits::kSavePat},
    {Field::GUEST_IA32_EFER, Field::GUEST_IA32_EFER, Field::VM_EXIT_CONTROLS, exits::kSaveEfer},
    {Field::GUEST_IA32_PERF_GLOBAL_CTRL, Field::GUEST_IA32_PERF_GLOBAL_CTRL, Field::VM_EXIT_CONTROLS, bit(30)},
    {Field::GUEST_DR7, Field::GUEST_DR7, Field::VM_EXIT_CONTROLS, exits::kSaveDebug},
    {Field::VMX_PREEMPTION_TIMER_VALUE, Field::VMX_PREEMPTION_TIMER_VALUE, Field::VM_EXIT_CONTROLS,
     exits::kSavePreemptionTimer},
    {Field::GUEST_SMBASE, Field::GUEST_SMBASE, Field::VM_EXIT_CONTROLS, 0},
    {Field::GUEST_PDPTR0, Field::GUEST_PDPTR3, Field::SECONDARY_VM_EXEC_CONTROL, secondary::kEpt},
};

std::optional<bool> control_of(const VmcsImage& image, const Row& row) {
    if (row.bit == 0) return false;
    if (row.control == Field::SECONDARY_VM_EXEC_CONTROL) {
        const Value& primary = image[Field::CPU_BASED_VM_EXEC_CONTROL];
        if (primary.known() && !(primary.bits & proc::kSecondaryControls)) return false;
    }
    const Value& word = image[row.control];
    if (!word.known()) return std::nullopt;
    return (word.bits & row.bit) != 0;
}

}  // namespace

std::optional<bool> saved_at_exit(Field field, const VmcsImage& image) {
    const Group group = all_fields()[*index_of(field)].group;
    if (group != Group::GuestState && group != Group::ExitInformation) return false;
    if (field == Field::VM_INSTRUCTION_ERROR) return false;  // of VMX instructions that fail, not of exits
    for (const Row& row : kRows)
        if (field >= row.first && field <= row.last) return control_of(image, row);
    return true;
}

}  // namespace vmxscope::vmx
