// VMCSs out of files that other programs write: a kernel's log, a page of memory, a saved virtual machine. What is in a
// file is shown even where some of it is damaged; what is odd about it is said in warnings.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "vmx/field.h"

namespace vmxscope::core {

enum class DumpFormat : std::uint8_t {
    KvmLog,         // "kvm": what KVM's dump_vmcs() prints to the kernel's log
    XenConsole,     // "xen": what Xen's vmcs_dump_vcpu() prints (debug key 'v')
    Vmcs12Page,     // "vmcs12": KVM's struct vmcs12, from its revision identifier on
    NestedState,    // "nested-state": a buffer of KVM_GET_NESTED_STATE
    QemuMigration,  // "qemu": a migration stream or saved state of QEMU's
};
std::string_view name_of(DumpFormat format);         // "kvm"
std::string_view description_of(DumpFormat format);  // "KVM's dump_vmcs, from the kernel's log"
std::optional<DumpFormat> dump_format_by_name(std::string_view name);

/// Whose VMCS it is.
enum class VmcsRole : std::uint8_t {
    Vmcs12,        // L1's for L2, in KVM's layout
    ShadowVmcs12,  // what the link pointer of vmcs12 leads to: L2's for an L3
    Hardware,      // one that a processor ran: vmcs01 or vmcs02, the dump does not say which
};
std::string_view name_of(VmcsRole role);  // "vmcs12", "shadow vmcs12", "vmcs01 or vmcs02"

struct ImportedVmcs {
    VmcsRole role = VmcsRole::Hardware;
    std::string
        label;  // what the dump calls it: "VMCS 00000000f971be22, last attempted VM-entry on CPU 3"; may be empty
    vmx::VmcsImage image;
    /// Said by the dump, but no VMCS field that is known here: "MSR guest autoload 0", "0x38f = 0x7".
    struct Other {
        std::string name, value;
        bool operator==(const Other&) const = default;
    };
    std::vector<Other> others;
};

/// The header of struct kvm_nested_state (uapi/asm/kvm.h).
struct NestedStateHeader {
    std::uint16_t flags = 0;                                 // KVM_STATE_NESTED_*
    std::uint32_t size = 0;                                  // bytes, as the header says
    std::uint64_t vmxon_pa = ~0ULL;                          // all ones: L1 is not in VMX operation
    std::uint64_t vmcs12_pa = ~0ULL;                         // all ones: no current VMCS
    std::uint16_t smm_flags = 0;                             // KVM_STATE_NESTED_SMM_*
    std::optional<std::uint64_t> preemption_timer_deadline;  // in L1's TSC; absent: none, or not in this format
};
/// "GUEST_MODE RUN_PENDING"
std::string nested_flags_text(std::uint16_t flags);
std::string nested_smm_flags_text(std::uint16_t flags);

struct Imported {
    DumpFormat format = DumpFormat::KvmLog;
    std::vector<ImportedVmcs> vmcses;       // at least one, at most kMostVmcses, in the order of the file
    std::vector<NestedStateHeader> nested;  // NestedState: one; QemuMigration: one a vCPU
    std::vector<std::string> warnings;      // sentences
};

inline constexpr std::size_t kMostVmcses = 64;
inline constexpr std::size_t kMostImportBytes = 64 << 20;

/// What the bytes hold. `format`: when absent it is found out. Fails when there is no VMCS in them.
Result<Imported> import_bytes(std::span<const std::byte> bytes, std::optional<DumpFormat> format = std::nullopt);
/// The same of a file; "-" is standard input. A migration stream may be longer than kMostImportBytes: its end is looked
/// at.
Result<Imported> import_file(const std::string& path, std::optional<DumpFormat> format = std::nullopt);

}  // namespace vmxscope::core
