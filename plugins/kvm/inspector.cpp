#include "plugins/kvm/inspector.h"

#include <cpuid.h>

#include <fmt/format.h>

#include <cstring>

#include "nested/vmcs12.h"
#include "vmx/controls.h"
#include "vmx/bits.h"

namespace vmxscope::kvm {
namespace {

using core::Result;
using vmx::CapabilityMsr;
using vmx::Field;
using vmx::VmcsImage;

constexpr std::uint64_t kNoVmptr = ~0ull;
constexpr std::uint64_t kEferNxe = 1u << 11;
constexpr std::uint64_t kCr4La57 = 1u << 12;
constexpr unsigned kTries = 3;  // of a walk through tables that KVM may be changing

/// What the level that a VMCS runs sees in CR0 or CR4 (SDM Vol. 3C 25.3): the shadow's bits where the mask has ones.
std::uint64_t seen(const VmcsImage& v, Field cr, Field mask, Field shadow) {
    if (!v[mask].known() || !v[shadow].known()) return v[cr].bits;
    return (v[cr].bits & ~v[mask].bits) | (v[shadow].bits & v[mask].bits);
}

/// The paging mode of a guest that is not running, from the VMCS that it would run on. Empty when that was not read.
std::optional<vmx::LinearMode> mode_of(const VmcsImage& v) {
    for (const Field f : {Field::GUEST_CR0, Field::GUEST_CR3, Field::GUEST_CR4, Field::VM_ENTRY_CONTROLS})
        if (!v[f].known()) return std::nullopt;
    vmx::LinearMode m;
    m.cr0 = seen(v, Field::GUEST_CR0, Field::CR0_GUEST_HOST_MASK, Field::CR0_READ_SHADOW);
    m.cr3 = v[Field::GUEST_CR3].bits;
    m.cr4 = seen(v, Field::GUEST_CR4, Field::CR4_GUEST_HOST_MASK, Field::CR4_READ_SHADOW);
    // Of IA32_EFER only LMA and NXE matter. NXE is in the VMCS only if the entry loads EFER from it; it is taken as set
    // otherwise, which at worst takes a reserved bit for XD.
    const bool has_efer = v[Field::GUEST_IA32_EFER].known() && v[Field::GUEST_IA32_EFER].bits;
    m.efer = (has_efer ? v[Field::GUEST_IA32_EFER].bits & kEferNxe : kEferNxe) |
             (v[Field::VM_ENTRY_CONTROLS].bits & vmx::kEntryIa32eMode ? vmx::kEferLma : 0);
    return m;
}

/// Under EPT the processor takes PAE's PDPTEs from the VMCS.
std::optional<std::array<std::uint64_t, 4>> pdptes_of(const VmcsImage& v) {
    std::array<std::uint64_t, 4> out{};
    for (std::size_t i = 0; i < 4; ++i) {
        const vmx::Value& p = v[static_cast<Field>(static_cast<unsigned>(Field::GUEST_PDPTR0) + 2 * i)];
        if (!p.known()) return std::nullopt;
        out[i] = p.bits;
    }
    return out;
}

bool has_nested_ept(const VmcsImage& vmcs12) {
    return (vmcs12[Field::CPU_BASED_VM_EXEC_CONTROL].bits & vmx::kCpuActivateSecondary) &&
           (vmcs12[Field::SECONDARY_VM_EXEC_CONTROL].bits & vmx::kSecondaryEnableEpt);
}

/// One MSR that KVM makes of two halves of nested.msrs, with the bits that are 1 in the MSR without TRUE_
/// (vmx_get_vmx_msr()).
struct SplitMsr {
    CapabilityMsr msr;
    const char *low, *high;
    std::uint64_t always_on;
};
constexpr SplitMsr kSplit[] = {
    {CapabilityMsr::PinbasedCtls, "nested.msrs.pinbased_ctls_low", "nested.msrs.pinbased_ctls_high", 0x16},
    {CapabilityMsr::TruePinbasedCtls, "nested.msrs.pinbased_ctls_low", "nested.msrs.pinbased_ctls_high", 0},
    {CapabilityMsr::ProcbasedCtls, "nested.msrs.procbased_ctls_low", "nested.msrs.procbased_ctls_high", 0x0401e172},
    {CapabilityMsr::TrueProcbasedCtls, "nested.msrs.procbased_ctls_low", "nested.msrs.procbased_ctls_high", 0},
    {CapabilityMsr::ExitCtls, "nested.msrs.exit_ctls_low", "nested.msrs.exit_ctls_high", 0x00036dff},
    {CapabilityMsr::TrueExitCtls, "nested.msrs.exit_ctls_low", "nested.msrs.exit_ctls_high", 0},
    {CapabilityMsr::EntryCtls, "nested.msrs.entry_ctls_low", "nested.msrs.entry_ctls_high", 0x000011ff},
    {CapabilityMsr::TrueEntryCtls, "nested.msrs.entry_ctls_low", "nested.msrs.entry_ctls_high", 0},
    {CapabilityMsr::ProcbasedCtls2, "nested.msrs.secondary_ctls_low", "nested.msrs.secondary_ctls_high", 0},
    {CapabilityMsr::Misc, "nested.msrs.misc_low", "nested.msrs.misc_high", 0},
    {CapabilityMsr::EptVpidCap, "nested.msrs.ept_caps", "nested.msrs.vpid_caps", 0},
};

struct WholeMsr {
    CapabilityMsr msr;
    const char* path;
};
constexpr WholeMsr kWhole[] = {
    {CapabilityMsr::Basic, "nested.msrs.basic"},
    {CapabilityMsr::Cr0Fixed0, "nested.msrs.cr0_fixed0"},
    {CapabilityMsr::Cr0Fixed1, "nested.msrs.cr0_fixed1"},
    {CapabilityMsr::Cr4Fixed0, "nested.msrs.cr4_fixed0"},
    {CapabilityMsr::Cr4Fixed1, "nested.msrs.cr4_fixed1"},
    {CapabilityMsr::VmcsEnum, "nested.msrs.vmcs_enum"},
    {CapabilityMsr::Vmfunc, "nested.msrs.vmfunc_controls"},
};

}  // namespace

void read_cpuid_widths(vmx::Capabilities& c) {
    unsigned a = 0, b = 0, cx = 0, dx = 0;
    if (!__get_cpuid(0x80000008, &a, &b, &cx, &dx)) return;
    c.maxphyaddr = static_cast<std::uint8_t>(a & 0xff);
    c.linear_bits = static_cast<std::uint8_t>((a >> 8) & 0xff);
}

Result<Inspector> Inspector::open(std::uint32_t pid, bool ept) {
    auto btf = Btf::of_module("kvm_intel");
    if (!btf) return tl::unexpected(btf.error());
    auto memory = KernelMemory::open();
    if (!memory) return tl::unexpected(memory.error());
    return Inspector(std::move(*btf), std::move(*memory), pid, ept);
}

std::optional<std::uint64_t> Inspector::kernel(std::uint64_t address) const {
    const auto bytes = memory_.read(address, sizeof(std::uint64_t));
    if (!bytes) return std::nullopt;
    std::uint64_t v = 0;
    std::memcpy(&v, bytes->data(), sizeof v);
    return v;
}

std::optional<Member> Inspector::located(const char* type, const char* path) const {
    const auto [entry, is_new] = located_.try_emplace(fmt::format("{}.{}", type, path));
    if (is_new) entry->second = btf_.member(type, path);
    return entry->second;
}

/// A member of at most 8 bytes, zero-extended; empty when this kernel has none of it.
std::optional<std::uint64_t> Inspector::member(std::uint64_t object, const char* type, const char* path) const {
    const auto m = located(type, path);
    if (!m || m->size == 0 || m->size > sizeof(std::uint64_t)) return std::nullopt;
    const auto bytes = memory_.read(object + m->offset, m->size);
    if (!bytes) return std::nullopt;
    std::uint64_t v = 0;
    std::memcpy(&v, bytes->data(), m->size);
    return v;
}

/// What KVM has cached of it; empty when L1 has no current VMCS.
std::optional<VmcsImage> Inspector::vmcs12(std::uint64_t vcpu) const {
    const auto vmptr = member(vcpu, "vcpu_vmx", "nested.current_vmptr");
    const auto cached = member(vcpu, "vcpu_vmx", "nested.cached_vmcs12");
    if (!vmptr || *vmptr == kNoVmptr || !cached) return std::nullopt;
    const auto bytes = memory_.read(*cached, sizeof(nested::Vmcs12));
    if (!bytes) return std::nullopt;
    return nested::vmcs12_image(*bytes);
}

/// The paging mode of the level that runs. KVM's cr3 is only good while it says so, or where it intercepts every load:
/// else the VMCS has it (vmx_cache_reg()). Its CR0, CR4 and EFER are good in all bits that choose a mode.
std::optional<vmx::LinearMode> Inspector::active_mode(const HeldVcpu& v) const {
    const auto cr0 = member(v.address, "vcpu_vmx", "vcpu.arch.cr0"),
               cr3 = member(v.address, "vcpu_vmx", "vcpu.arch.cr3"),
               cr4 = member(v.address, "vcpu_vmx", "vcpu.arch.cr4"),
               efer = member(v.address, "vcpu_vmx", "vcpu.arch.efer"),
               available = member(v.address, "vcpu_vmx", "vcpu.arch.regs_avail");
    if (!cr0 || !cr3 || !cr4 || !efer || !available || !cr3_bit_) return std::nullopt;
    vmx::LinearMode m{*cr0, *cr3, *cr4, *efer};
    if (ept_ && !((*available >> *cr3_bit_) & 1)) {
        const vmx::Value in_vmcs = (v.level == 2 ? v.vmcs02.value_or(VmcsImage{}) : v.vmcs01_at_exit)[Field::GUEST_CR3];
        if (!in_vmcs.known()) return std::nullopt;
        m.cr3 = in_vmcs.bits;
    }
    if (v.level == 2 && ept_ && v.vmcs02) m.pdptes = pdptes_of(*v.vmcs02);
    return m;
}

Translation Inspector::translation(const HeldVcpu& v) const {
    Translation t;
    if (const auto width = member(v.address, "vcpu_vmx", "vcpu.arch.maxphyaddr"))
        t.maxphyaddr = static_cast<unsigned>(*width);
    const auto own = vmcs12(v.address);
    t.nested_ept = own && has_nested_ept(*own);
    if (t.nested_ept) t.ept12 = (*own)[Field::EPT_POINTER].bits;
    if (v.level == 2) {
        t.l2 = active_mode(v);
        // L1 waits in its VMLAUNCH; what it ran on is in vmcs01, unless there KVM had tables of its own.
        if (ept_) t.l1 = mode_of(v.vmcs01_at_nested_entry);
        t.why = "L1's page tables are not known: its last VM-entry was not seen, or L0 runs it without EPT.";
        return t;
    }
    t.l1 = active_mode(v);
    if (own) t.l2 = mode_of(*own);
    if (t.l2 && t.nested_ept) t.l2->pdptes = pdptes_of(*own);
    t.why =
        own ? "L1's CR3 is not known: its last VM-exit was not seen." : "L1 has no current VMCS, so there is no L2.";
    if (!own) t.nested_ept = true;  // and no EPT12: L2's addresses mean nothing
    return t;
}

/// Where the VMM has a page of L1's.
Result<std::uint64_t> Inspector::in_vmm(const HeldVcpu& v, std::uint64_t l1_physical) const {
    if (!layout_) {
        const auto layout = MemslotLayout::of(btf_);
        if (!layout) return tl::unexpected(layout.error());
        layout_ = *layout;
    }
    const auto kvm = member(v.address, "vcpu_vmx", "vcpu.kvm");
    if (!kvm) return core::fail("KVM's state of this guest could not be read.");
    return userspace_address(*layout_, *kvm, l1_physical, [this](std::uint64_t a) { return kernel(a); });
}

Result<void> Inspector::read_l1(const HeldVcpu& v, std::uint64_t physical, std::span<std::byte> to) const {
    const auto at = in_vmm(v, physical);
    if (!at) return tl::unexpected(at.error());
    return read_process(pid_, *at, to);
}

Result<std::vector<std::byte>> Inspector::read_memory(const HeldVcpu& v, core::Space space, std::uint64_t address,
                                                      std::size_t size) const {
    return read_space(space, address, size, translation(v),
                      [&](std::uint64_t physical, std::span<std::byte> to) { return read_l1(v, physical, to); });
}

Result<void> Inspector::write_memory(const HeldVcpu& v, core::Space space, std::uint64_t address,
                                     const std::vector<std::byte>& bytes) const {
    return write_space(
        space, address, bytes, translation(v),
        [&](std::uint64_t physical, std::span<std::byte> to) { return read_l1(v, physical, to); },
        [&](std::uint64_t physical, std::span<const std::byte> from) -> Result<void> {
            const auto at = in_vmm(v, physical);
            if (!at) return tl::unexpected(at.error());
            return write_process(pid_, *at, from);
        });
}

/// Only the page that the VMCS names, and only while it is in use: L0's other memory is nobody's to read.
Result<std::vector<std::byte>> Inspector::msr_bitmap(const HeldVcpu& v, core::Target::HardwareVmcs which) const {
    const bool of_vmcs02 = which == core::Target::HardwareVmcs::Vmcs02;
    if (v.level != 2 || !v.vmcs02)
        return core::fail("L0's MSR bitmaps are read only while L2 is about to run: here L1 is.", "Step to a nested-entry.");
    const vmx::VmcsImage& vmcs = of_vmcs02 ? *v.vmcs02 : v.vmcs01_at_nested_entry;
    const std::string_view name = of_vmcs02 ? "vmcs02" : "vmcs01";
    const vmx::Value &controls = vmcs[Field::CPU_BASED_VM_EXEC_CONTROL], &address = vmcs[Field::MSR_BITMAP];
    if (!controls.known() || !address.known())
        return core::fail(fmt::format("The MSR bitmap of {} was not read.", name), "Step to the next nested-entry.");
    if (!(controls.bits & vmx::proc::kMsrBitmaps))
        return core::fail(fmt::format("{} uses no MSR bitmap: every RDMSR and WRMSR exits.", name));
    std::vector<std::byte> page(4096);
    for (std::size_t i = 0; i < page.size(); i += 8) {
        const auto qword = memory_.read_physical((address.bits & ~0xfffull) + i);
        if (!qword) return core::fail(fmt::format("The MSR bitmap of {} at {:#x} cannot be read.", name, address.bits));
        std::memcpy(page.data() + i, &*qword, sizeof *qword);
    }
    return page;
}

/// Only tables that vmcs02's EPT_POINTER leads to are read. KVM may change them meanwhile, so a walk counts only if a
/// second one found every entry as it was: then no page was given back and used for something else in between.
Result<std::vector<vmx::WalkStep>> Inspector::ept02_walk(const HeldVcpu& v, std::uint64_t l2_physical) const {
    if (v.level != 2 || !v.vmcs02)
        return core::fail("L0's EPT for L2 is walked only while L2 is about to run: here L1 is.",
                          "Step to a nested-entry.");
    if (!ept_) return core::fail("L0 uses no EPT (kvm_intel's parameter ept is N).");
    const vmx::Value& eptp = (*v.vmcs02)[Field::EPT_POINTER];
    if (!eptp.known()) return core::fail("vmcs02's EPT_POINTER was not read.");
    vmx::Capabilities widths;
    read_cpuid_widths(widths);
    const auto walk = [&] {
        return vmx::walk_ept(eptp.bits, l2_physical, widths.maxphyaddr,
                             [this](std::uint64_t at) { return memory_.read_physical(at); });
    };
    for (unsigned i = 0; i < kTries; ++i) {
        const vmx::Walk first = walk(), second = walk();
        if (first.steps != second.steps || first.fault != second.fault) continue;
        if (first.fault == vmx::WalkFault::BadAddress || first.fault == vmx::WalkFault::BadRoot ||
            first.fault == vmx::WalkFault::Unreadable)
            return core::fail(
                fmt::format("L0's EPT for L2 cannot be walked to {:#x}: {}.", l2_physical, name_of(first.fault)));
        return first.steps;
    }
    return core::fail("KVM is changing its EPT for L2.", "Try again.");
}

Result<vmx::Capabilities> Inspector::l1_capabilities(std::uint64_t vcpu) const {
    vmx::Capabilities c;
    for (const WholeMsr& row : kWhole)
        if (const auto v = member(vcpu, "vcpu_vmx", row.path)) c[row.msr] = vmx::Value::of(*v);
    for (const SplitMsr& row : kSplit) {
        const auto low = member(vcpu, "vcpu_vmx", row.low), high = member(vcpu, "vcpu_vmx", row.high);
        if (low && high) c[row.msr] = vmx::Value::of(*low | *high << 32 | row.always_on);
    }
    const auto width = member(vcpu, "vcpu_vmx", "vcpu.arch.maxphyaddr");
    if (!c[CapabilityMsr::Basic].known() || !width)
        return core::fail("What KVM lets L1 believe of VMX could not be read.");
    c.maxphyaddr = static_cast<std::uint8_t>(*width);
    // CR4.LA57 is reserved for a guest whose CPUID has it not.
    const auto reserved = member(vcpu, "vcpu_vmx", "vcpu.arch.cr4_guest_rsvd_bits");
    c.linear_bits = reserved && !(*reserved & kCr4La57) ? 57 : 48;
    return c;
}

}  // namespace vmxscope::kvm
