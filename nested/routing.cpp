#include "nested/routing.h"

#include <fmt/format.h>

#include "vmx/controls.h"
#include "vmx/exit_reason.h"

namespace vmxscope::nested {
namespace {

using vmx::Field;
using Who = Routing::Who;
using Word = std::optional<std::uint64_t>;

// Basic exit reasons (SDM Vol. 3D, appendix C) that KVM routes by something.
enum Reason : std::uint16_t {
    kExceptionOrNmi = 0,
    kExternalInterrupt = 1,
    kTripleFault = 2,
    kInterruptWindow = 7,
    kNmiWindow = 8,
    kTaskSwitch = 9,
    kCpuid = 10,
    kHlt = 12,
    kInvd = 13,
    kInvlpg = 14,
    kRdpmc = 15,
    kRdtsc = 16,
    kVmcall = 18,
    kVmread = 23,
    kVmresume = 24,
    kVmwrite = 25,
    kVmxon = 27,
    kCrAccess = 28,
    kMovDr = 29,
    kIo = 30,
    kRdmsr = 31,
    kWrmsr = 32,
    kInvalidState = 33,
    kMsrLoading = 34,
    kMwait = 36,
    kMonitorTrap = 37,
    kMonitor = 39,
    kPause = 40,
    kMachineCheckEntry = 41,
    kTprThreshold = 43,
    kApicAccess = 44,
    kEoi = 45,
    kGdtrIdtr = 46,
    kLdtrTr = 47,
    kEptViolation = 48,
    kEptMisconfig = 49,
    kInvept = 50,
    kRdtscp = 51,
    kPreemptionTimer = 52,
    kInvvpid = 53,
    kWbinvd = 54,
    kXsetbv = 55,
    kApicWrite = 56,
    kRdrand = 57,
    kInvpcid = 58,
    kVmfunc = 59,
    kEncls = 60,
    kRdseed = 61,
    kPmlFull = 62,
    kXsaves = 63,
    kXrstors = 64,
    kUmwait = 67,
    kTpause = 68,
    kBusLock = 74,
    kNotify = 75,
};

/// One control of vmcs12 that asks for an exit.
struct ControlRow {
    Reason reason;
    Field field;  // primary or secondary processor-based controls, or pin-based
    std::uint64_t bit;
    std::string_view name;
};

constexpr Field kPin = Field::PIN_BASED_VM_EXEC_CONTROL, kPrimary = Field::CPU_BASED_VM_EXEC_CONTROL,
                kSecondary = Field::SECONDARY_VM_EXEC_CONTROL;

constexpr ControlRow kControls[] = {
    {kExternalInterrupt, kPin, vmx::pin::kExternalInterruptExiting, "external-interrupt exiting"},
    {kInterruptWindow, kPrimary, vmx::proc::kInterruptWindowExiting, "interrupt-window exiting"},
    {kNmiWindow, kPrimary, vmx::proc::kNmiWindowExiting, "NMI-window exiting"},
    {kHlt, kPrimary, vmx::proc::kHltExiting, "HLT exiting"},
    {kInvlpg, kPrimary, vmx::proc::kInvlpgExiting, "INVLPG exiting"},
    {kRdpmc, kPrimary, vmx::proc::kRdpmcExiting, "RDPMC exiting"},
    {kRdtsc, kPrimary, vmx::proc::kRdtscExiting, "RDTSC exiting"},
    {kRdtscp, kPrimary, vmx::proc::kRdtscExiting, "RDTSC exiting"},
    {kMovDr, kPrimary, vmx::proc::kMovDrExiting, "MOV-DR exiting"},
    {kMwait, kPrimary, vmx::proc::kMwaitExiting, "MWAIT exiting"},
    {kMonitor, kPrimary, vmx::proc::kMonitorExiting, "MONITOR exiting"},
    {kMonitorTrap, kPrimary, vmx::proc::kMonitorTrapFlag, "monitor trap flag"},
    {kPause, kPrimary, vmx::proc::kPauseExiting, "PAUSE exiting"},
    {kPause, kSecondary, vmx::secondary::kPauseLoopExiting, "PAUSE-loop exiting"},
    {kTprThreshold, kPrimary, vmx::proc::kTprShadow, "use TPR shadow"},
    {kRdrand, kSecondary, vmx::secondary::kRdrandExiting, "RDRAND exiting"},
    {kRdseed, kSecondary, vmx::secondary::kRdseedExiting, "RDSEED exiting"},
    {kGdtrIdtr, kSecondary, vmx::secondary::kDescriptorTableExiting, "descriptor-table exiting"},
    {kLdtrTr, kSecondary, vmx::secondary::kDescriptorTableExiting, "descriptor-table exiting"},
    {kWbinvd, kSecondary, vmx::secondary::kWbinvdExiting, "WBINVD exiting"},
    {kXsaves, kSecondary, vmx::secondary::kXsaves, "enable XSAVES/XRSTORS"},
    {kXrstors, kSecondary, vmx::secondary::kXsaves, "enable XSAVES/XRSTORS"},
    {kUmwait, kSecondary, vmx::secondary::kUserWaitAndPause, "enable user wait and pause"},
    {kTpause, kSecondary, vmx::secondary::kUserWaitAndPause, "enable user wait and pause"},
};

/// Exits that no control asks for or against: nested_vmx_l1_wants_exit says yes to them.
struct AlwaysRow {
    Reason first, last;
    std::string_view why;
};
constexpr AlwaysRow kAlways[] = {
    {kTripleFault, kTripleFault, "A triple fault of L2's is always L1's."},
    {kTaskSwitch, kTaskSwitch, "A task switch always exits to L1."},
    {kCpuid, kCpuid, "CPUID always exits to L1."},
    {kInvd, kInvd, "INVD always exits to L1."},
    {kVmcall, static_cast<Reason>(22), "VMX instructions of L2's always exit to L1."},
    {kVmresume, kVmresume, "VMX instructions of L2's always exit to L1."},
    {static_cast<Reason>(26), kVmxon, "VMX instructions of L2's always exit to L1."},
    {kInvept, kInvept, "VMX instructions of L2's always exit to L1."},
    {kInvvpid, kInvvpid, "VMX instructions of L2's always exit to L1."},
    {kInvalidState, kMsrLoading, "The processor refused the VM-entry: L1 is told."},
    {kApicAccess, kEoi, "Only vmcs12 turns APIC virtualization on, so its exits are L1's."},
    {kApicWrite, kApicWrite, "Only vmcs12 turns APIC virtualization on, so its exits are L1's."},
    {kXsetbv, kXsetbv, "XSETBV always exits to L1."},
};

/// Exits that L0 keeps whatever L1 wants: nested_vmx_l0_wants_exit.
constexpr AlwaysRow kKept[] = {
    {kExternalInterrupt, kExternalInterrupt, "An external interrupt is the host's: L0 takes it first."},
    {kMachineCheckEntry, kMachineCheckEntry, "A machine check at VM-entry is L0's."},
    {kEptViolation, kEptViolation,
     "L2 runs on L0's EPT02: L0 always looks first, and exits to L1 only if EPT12 forbids the access."},
    {kEptMisconfig, kEptMisconfig, "L2 runs on L0's EPT02: its structure is L0's affair."},
    {kPreemptionTimer, kPreemptionTimer, "The timer in vmcs02 is L0's; L1's is a timer of the kernel's."},
    {kPmlFull, kPmlFull, "The page-modification log is never L1's in vmcs02."},
    {kVmfunc, kVmfunc, "VM functions are emulated by L0."},
    {kBusLock, kBusLock, "Bus-lock exits are not shown to L1."},
    {kNotify, kNotify, "Notify exits are not shown to L1."},
};

template <std::size_t N>
const AlwaysRow* find(const AlwaysRow (&rows)[N], std::uint16_t reason) {
    for (const AlwaysRow& row : rows)
        if (reason >= row.first && reason <= row.last) return &row;
    return nullptr;
}

Word known(const vmx::Value& v) {
    if (!v.known()) return std::nullopt;
    return v.bits;
}

Routing unknown(std::string why) {
    return {Who::Unknown, std::move(why), std::nullopt, 0};
}
Routing l0(std::string why) {
    return {Who::L0, std::move(why), std::nullopt, 0};
}
Routing l1(std::string why) {
    return {Who::L1, std::move(why), std::nullopt, 0};
}

Routing decided(bool wants, std::string why, Field field, std::uint64_t bits) {
    return {wants ? Who::L1 : Who::L0, std::move(why), field, bits};
}

class Router {
  public:
    Router(const Transition& t, BitmapBit bitmap) : t_(t), v12_(t.vmcs12_before), bitmap_(bitmap) {
        reason_ = vmx::basic_exit_reason(static_cast<std::uint32_t>(t.exit.reason.bits));
        exec_ = known(v12_[kPrimary]);
        sec_ = known(v12_[kSecondary]);
        if (exec_ && !(*exec_ & vmx::proc::kSecondaryControls)) sec_ = 0;
    }

    Routing route() const {
        if (reason_ == kExceptionOrNmi) return exception();
        if (const AlwaysRow* kept = find(kKept, reason_)) return l0(std::string(kept->why));
        if (const AlwaysRow* always = find(kAlways, reason_)) return l1(std::string(always->why));
        switch (reason_) {
            case kCrAccess: return cr_access();
            case kIo: return io();
            case kRdmsr:
            case kWrmsr: return msr();
            case kVmread:
            case kVmwrite: return vmcs_access();
            case kInvpcid: return invpcid();
            case kEncls: return by_bitmap("SGX leaf", Field::ENCLS_EXITING_BITMAP);
            default: return by_control();
        }
    }

  private:
    Routing exception() const {
        const Word info = known(t_.exit.intr_info), bitmap = known(v12_[Field::EXCEPTION_BITMAP]);
        if (!info) return unknown("The interruption information was not read.");
        const std::uint64_t type = (*info >> 8) & 7, vector = *info & 0xff;
        if (type == vmx::injection::kNmi) return l0("An NMI is the host's: L0 takes it first.");
        if (vector == 14 && t_.context.enable_ept == false)
            return l0("L0 runs without EPT and needs every page fault; L1 gets those that are its own.");
        if (vector == 14) return l1("A page fault that L0 does not need is L1's.");
        if (!bitmap) return unknown("EXCEPTION_BITMAP of vmcs12 was not read.");
        const bool set = (*bitmap >> (vector & 31)) & 1;
        return decided(set,
                       fmt::format("Vector {} is {} in EXCEPTION_BITMAP of vmcs12.", vector, set ? "set" : "clear"),
                       Field::EXCEPTION_BITMAP, 1ull << (vector & 31));
    }

    Routing by_control() const {
        Routing last = unknown("KVM gives L1 every exit reason that it does not know.");
        last.who = Who::L1;
        bool found = false;
        for (const ControlRow& row : kControls) {
            if (row.reason != reason_) continue;
            const Word word = row.field == kPrimary ? exec_ : row.field == kSecondary ? sec_ : known(v12_[row.field]);
            if (!word) return unknown("The controls of vmcs12 were not read.");
            const bool on = (*word & row.bit) != 0;
            if (!found || on)
                last = decided(on, fmt::format("\"{}\" is {} in vmcs12.", row.name, on ? "on" : "off"), row.field,
                               row.bit);
            found = true;
            if (on) break;
        }
        return last;
    }

    Routing cr_access() const {
        const Word q = known(t_.exit.qualification);
        if (!q || !exec_) return unknown("The qualification or the controls of vmcs12 were not read.");
        const unsigned number = *q & 15, type = (*q >> 4) & 3, gpr = (*q >> 8) & 15;
        if (number == 3 || number == 8) {
            const bool load = type == 0;
            const std::uint64_t bit = number == 3 ? (load ? vmx::proc::kCr3LoadExiting : vmx::proc::kCr3StoreExiting)
                                                  : (load ? vmx::proc::kCr8LoadExiting : vmx::proc::kCr8StoreExiting);
            const bool on = (*exec_ & bit) != 0;
            return decided(
                on,
                fmt::format("\"CR{}-{} exiting\" is {} in vmcs12.", number, load ? "load" : "store", on ? "on" : "off"),
                kPrimary, bit);
        }
        const Field mask_field = number == 4 ? Field::CR4_GUEST_HOST_MASK : Field::CR0_GUEST_HOST_MASK;
        const Word mask = known(v12_[mask_field]);
        const Word shadow = known(v12_[number == 4 ? Field::CR4_READ_SHADOW : Field::CR0_READ_SHADOW]);
        if (!mask || !shadow) return unknown("The masks of vmcs12 were not read.");
        const auto hit = masked_change(*q, type, gpr, *mask, *shadow);
        if (!hit) return unknown("The register that L2 moves was not read.");
        return decided(*hit != 0,
                       *hit ? fmt::format("L2 would change {:#x} of CR{}, which L1 owns by its mask.", *hit, number)
                            : fmt::format("L2 changes no bit of CR{} that L1 owns by its mask.", number),
                       mask_field, *hit);
    }

    /// The bits that L1 owns and that L2's instruction would change; empty when its operand is not known.
    Word masked_change(std::uint64_t q, unsigned type, unsigned gpr, std::uint64_t mask, std::uint64_t shadow) const {
        enum { kMovTo, kMovFrom, kClts, kLmsw };
        if (type == kMovFrom) return 0;
        if (type == kClts) return mask & shadow & vmx::bit(3);
        if (type == kLmsw) {
            const std::uint64_t value = (q >> 16) & 15;  // LMSW sets PE, and sets or clears MP, EM, TS
            return (mask & 0xe & (value ^ shadow)) | (mask & 1 & ~shadow & value);
        }
        // The SDM's numbering (table 28-3) in the order of nested::Reg.
        constexpr Reg kGpr[] = {RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15};
        const Word value = known(t_.regs[kGpr[gpr]]);
        if (!value) return std::nullopt;
        return mask & (*value ^ shadow);
    }

    Routing io() const {
        const Word q = known(t_.exit.qualification);
        if (!exec_ || !q) return unknown("The qualification or the controls of vmcs12 were not read.");
        if (*exec_ & vmx::proc::kIoBitmaps) {
            const std::uint64_t port = (*q >> 16) & 0xffff;
            return by_bitmap(fmt::format("port {:#x}", port), port < 0x8000 ? Field::IO_BITMAP_A : Field::IO_BITMAP_B);
        }
        const bool on = (*exec_ & vmx::proc::kUnconditionalIoExiting) != 0;
        return decided(on, fmt::format("\"unconditional I/O exiting\" is {} in vmcs12.", on ? "on" : "off"), kPrimary,
                       vmx::proc::kUnconditionalIoExiting);
    }

    Routing msr() const {
        if (!exec_) return unknown("The controls of vmcs12 were not read.");
        if (!(*exec_ & vmx::proc::kMsrBitmaps))
            return decided(true, "\"use MSR bitmaps\" is off in vmcs12: every RDMSR and WRMSR is L1's.", kPrimary,
                           vmx::proc::kMsrBitmaps);
        const Word index = known(t_.regs[RCX]);
        if (!index) return unknown("RCX was not read.");
        const std::uint32_t msr = static_cast<std::uint32_t>(*index);
        if (msr > 0x1fff && (msr < 0xc0000000 || msr > 0xc0001fff))
            return l1(fmt::format("MSR {:#x} is in no bitmap, so it is L1's.", msr));
        return by_bitmap(fmt::format("{} of MSR {:#x}", reason_ == kRdmsr ? "reading" : "writing", msr),
                         Field::MSR_BITMAP);
    }

    Routing vmcs_access() const {
        if (!sec_) return unknown("The controls of vmcs12 were not read.");
        if (!(*sec_ & vmx::secondary::kShadowVmcs))
            return decided(true, "\"VMCS shadowing\" is off in vmcs12: every VMREAD and VMWRITE of L2's is L1's.",
                           kSecondary, vmx::secondary::kShadowVmcs);
        return by_bitmap("the field", reason_ == kVmread ? Field::VMREAD_BITMAP : Field::VMWRITE_BITMAP);
    }

    Routing invpcid() const {
        if (!sec_ || !exec_) return unknown("The controls of vmcs12 were not read.");
        const bool on = (*sec_ & vmx::secondary::kInvpcid) && (*exec_ & vmx::proc::kInvlpgExiting);
        return decided(
            on, fmt::format("\"INVLPG exiting\" and \"enable INVPCID\" are {}both on in vmcs12.", on ? "" : "not "),
            kPrimary, vmx::proc::kInvlpgExiting);
    }

    Routing by_bitmap(std::string what, Field bitmap) const {
        std::optional<bool> set = bitmap_.set;
        std::string_view how;
        if (!set && t_.kind == Kind::NestedExit) {
            set = true;
            how = " (concluded from L1's having got it)";
        }
        if (!set)
            return {Who::Unknown,
                    fmt::format("The bit of {} in {} of vmcs12 decides; it was not read.", what, vmx::name_of(bitmap)),
                    bitmap, 0};
        return decided(*set,
                       fmt::format("The bit of {} is {} in {} of vmcs12{}.", what, *set ? "set" : "clear",
                                   vmx::name_of(bitmap), how),
                       bitmap, 0);
    }

    const Transition& t_;
    const vmx::VmcsImage& v12_;
    BitmapBit bitmap_;
    std::uint16_t reason_ = 0;
    Word exec_, sec_;
};

}  // namespace

std::string_view name_of(Routing::Who w) {
    constexpr std::string_view kNames[] = {"unknown", "L0 kept it", "L1 asked for it"};
    return kNames[static_cast<std::size_t>(w)];
}

std::optional<Routing> routing_of(const Transition& t, BitmapBit bitmap) {
    if (t.kind != Kind::L2Exit && t.kind != Kind::NestedExit) return std::nullopt;
    if (!t.exit.reason.known()) return unknown("The exit reason was not read.");
    if (t.context.vmx_fail == true)
        return l1("The hardware VM-entry ended in VMfail: L1 is told, as of a failed VM-entry of its own.");
    if (t.kind == Kind::NestedExit && static_cast<std::uint32_t>(t.exit.reason.bits) == ~0u)
        return l0("L0 made L2 leave without an exit for L1 (SMI, reset, or its state being set).");
    Routing r = Router(t, bitmap).route();
    // L1 got it all the same: L0 looked first, and passed it on.
    if (t.kind == Kind::NestedExit && r.who != Who::L1) {
        r.by += r.who == Who::L0 ? " L0 then passed it on to L1." : "";
        r.who = Who::L1;
    }
    return r;
}

}  // namespace vmxscope::nested
