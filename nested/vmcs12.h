// vmcs12: the VMCS that L1 believes in, as KVM keeps it in memory (struct vmcs12, arch/x86/kvm/vmx/vmcs12.h). The
// layout is migration ABI ("changing the layout of existing fields will break save/restore compatibility"): 6.1
// and 6.12 agree, and later versions only give names to paddings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "vmx/field.h"

namespace vmxscope::nested {

inline constexpr std::uint32_t kVmcs12Revision = 0x11e57ed0;  // VMCS12_REVISION
inline constexpr std::size_t kVmcs12RegionSize = 4096;        // VMCS12_SIZE: what the guest reserves

/// Natural-width fields are always 64 bits wide here, as in KVM.
struct [[gnu::packed]] Vmcs12 {
    std::uint32_t revision_id;  // bit 31: this is a shadow VMCS
    std::uint32_t abort;
    std::uint32_t launch_state;  // 0 = clear, 1 = launched
    std::uint32_t padding[7];
    std::uint64_t io_bitmap_a;
    std::uint64_t io_bitmap_b;
    std::uint64_t msr_bitmap;
    std::uint64_t vm_exit_msr_store_addr;
    std::uint64_t vm_exit_msr_load_addr;
    std::uint64_t vm_entry_msr_load_addr;
    std::uint64_t tsc_offset;
    std::uint64_t virtual_apic_page_addr;
    std::uint64_t apic_access_addr;
    std::uint64_t posted_intr_desc_addr;
    std::uint64_t ept_pointer;
    std::uint64_t eoi_exit_bitmap0;
    std::uint64_t eoi_exit_bitmap1;
    std::uint64_t eoi_exit_bitmap2;
    std::uint64_t eoi_exit_bitmap3;
    std::uint64_t xss_exit_bitmap;
    std::uint64_t guest_physical_address;
    std::uint64_t vmcs_link_pointer;
    std::uint64_t guest_ia32_debugctl;
    std::uint64_t guest_ia32_pat;
    std::uint64_t guest_ia32_efer;
    std::uint64_t guest_ia32_perf_global_ctrl;
    std::uint64_t guest_pdptr0;
    std::uint64_t guest_pdptr1;
    std::uint64_t guest_pdptr2;
    std::uint64_t guest_pdptr3;
    std::uint64_t guest_bndcfgs;
    std::uint64_t host_ia32_pat;
    std::uint64_t host_ia32_efer;
    std::uint64_t host_ia32_perf_global_ctrl;
    std::uint64_t vmread_bitmap;
    std::uint64_t vmwrite_bitmap;
    std::uint64_t vm_function_control;
    std::uint64_t eptp_list_address;
    std::uint64_t pml_address;
    std::uint64_t encls_exiting_bitmap;
    std::uint64_t tsc_multiplier;
    std::uint64_t padding64[1];
    std::uint64_t cr0_guest_host_mask;
    std::uint64_t cr4_guest_host_mask;
    std::uint64_t cr0_read_shadow;
    std::uint64_t cr4_read_shadow;
    std::uint64_t dead_space[4];  // was cr3_target_value0 to 3
    std::uint64_t exit_qualification;
    std::uint64_t guest_linear_address;
    std::uint64_t guest_cr0;
    std::uint64_t guest_cr3;
    std::uint64_t guest_cr4;
    std::uint64_t guest_es_base;
    std::uint64_t guest_cs_base;
    std::uint64_t guest_ss_base;
    std::uint64_t guest_ds_base;
    std::uint64_t guest_fs_base;
    std::uint64_t guest_gs_base;
    std::uint64_t guest_ldtr_base;
    std::uint64_t guest_tr_base;
    std::uint64_t guest_gdtr_base;
    std::uint64_t guest_idtr_base;
    std::uint64_t guest_dr7;
    std::uint64_t guest_rsp;
    std::uint64_t guest_rip;
    std::uint64_t guest_rflags;
    std::uint64_t guest_pending_dbg_exceptions;
    std::uint64_t guest_sysenter_esp;
    std::uint64_t guest_sysenter_eip;
    std::uint64_t host_cr0;
    std::uint64_t host_cr3;
    std::uint64_t host_cr4;
    std::uint64_t host_fs_base;
    std::uint64_t host_gs_base;
    std::uint64_t host_tr_base;
    std::uint64_t host_gdtr_base;
    std::uint64_t host_idtr_base;
    std::uint64_t host_ia32_sysenter_esp;
    std::uint64_t host_ia32_sysenter_eip;
    std::uint64_t host_rsp;
    std::uint64_t host_rip;
    std::uint64_t paddingl[8];  // natural width; CET state since v6.18
    std::uint32_t pin_based_vm_exec_control;
    std::uint32_t cpu_based_vm_exec_control;
    std::uint32_t exception_bitmap;
    std::uint32_t page_fault_error_code_mask;
    std::uint32_t page_fault_error_code_match;
    std::uint32_t cr3_target_count;
    std::uint32_t vm_exit_controls;
    std::uint32_t vm_exit_msr_store_count;
    std::uint32_t vm_exit_msr_load_count;
    std::uint32_t vm_entry_controls;
    std::uint32_t vm_entry_msr_load_count;
    std::uint32_t vm_entry_intr_info_field;
    std::uint32_t vm_entry_exception_error_code;
    std::uint32_t vm_entry_instruction_len;
    std::uint32_t tpr_threshold;
    std::uint32_t secondary_vm_exec_control;
    std::uint32_t vm_instruction_error;
    std::uint32_t vm_exit_reason;
    std::uint32_t vm_exit_intr_info;
    std::uint32_t vm_exit_intr_error_code;
    std::uint32_t idt_vectoring_info_field;
    std::uint32_t idt_vectoring_error_code;
    std::uint32_t vm_exit_instruction_len;
    std::uint32_t vmx_instruction_info;
    std::uint32_t guest_es_limit;
    std::uint32_t guest_cs_limit;
    std::uint32_t guest_ss_limit;
    std::uint32_t guest_ds_limit;
    std::uint32_t guest_fs_limit;
    std::uint32_t guest_gs_limit;
    std::uint32_t guest_ldtr_limit;
    std::uint32_t guest_tr_limit;
    std::uint32_t guest_gdtr_limit;
    std::uint32_t guest_idtr_limit;
    std::uint32_t guest_es_ar_bytes;
    std::uint32_t guest_cs_ar_bytes;
    std::uint32_t guest_ss_ar_bytes;
    std::uint32_t guest_ds_ar_bytes;
    std::uint32_t guest_fs_ar_bytes;
    std::uint32_t guest_gs_ar_bytes;
    std::uint32_t guest_ldtr_ar_bytes;
    std::uint32_t guest_tr_ar_bytes;
    std::uint32_t guest_interruptibility_info;
    std::uint32_t guest_activity_state;
    std::uint32_t guest_sysenter_cs;
    std::uint32_t host_ia32_sysenter_cs;
    std::uint32_t vmx_preemption_timer_value;
    std::uint32_t padding32[7];
    std::uint16_t virtual_processor_id;
    std::uint16_t posted_intr_nv;
    std::uint16_t guest_es_selector;
    std::uint16_t guest_cs_selector;
    std::uint16_t guest_ss_selector;
    std::uint16_t guest_ds_selector;
    std::uint16_t guest_fs_selector;
    std::uint16_t guest_gs_selector;
    std::uint16_t guest_ldtr_selector;
    std::uint16_t guest_tr_selector;
    std::uint16_t guest_intr_status;
    std::uint16_t host_es_selector;
    std::uint16_t host_cs_selector;
    std::uint16_t host_ss_selector;
    std::uint16_t host_ds_selector;
    std::uint16_t host_fs_selector;
    std::uint16_t host_gs_selector;
    std::uint16_t host_tr_selector;
    std::uint16_t guest_pml_index;
};
static_assert(sizeof(Vmcs12) == 998);

/// Where a field lives in vmcs12.
struct Vmcs12Field {
    vmx::Field field;
    std::uint16_t offset;  // bytes from the start of the region
};

/// The 141 fields that vmcs12 has, by offset.
std::span<const Vmcs12Field> vmcs12_fields();
/// Empty for a field that vmcs12 lacks (PLE_GAP, TERTIARY_VM_EXEC_CONTROL, …).
std::optional<std::size_t> vmcs12_offset(vmx::Field field);

/// `region`: vmcs12 from its first byte. Fields that vmcs12 lacks are Unsupported; those past the end of a short
/// `region` are NotRead.
vmx::VmcsImage vmcs12_image(std::span<const std::byte> region);

/// What precedes the fields in the region.
struct Vmcs12Header {
    vmx::Value revision, abort, launch_state;
};
Vmcs12Header vmcs12_header(std::span<const std::byte> region);

}  // namespace vmxscope::nested
