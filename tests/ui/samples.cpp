#include "tests/ui/samples.h"

#include "nested/vmcs12.h"
#include "vmx/bits.h"

namespace vmxscope::ui::samples {

namespace {

using nested::Evidence;
using nested::Kind;
using nested::Transition;
using vmx::Value;
using enum vmx::Field;

constexpr vmx::Field kPdptrs[] = {GUEST_PDPTR0, GUEST_PDPTR1, GUEST_PDPTR2, GUEST_PDPTR3};

struct Mode {
    bool nested_ept = true, pae = true, long_mode = false;
};

struct Assignment {
    vmx::Field field;
    std::uint64_t vmcs12, vmcs02;
};

/// What both VMCSs of a small guest hold, apart from the mode's own fields.
constexpr Assignment kCommon[] = {
    {VIRTUAL_PROCESSOR_ID, 0, 2},
    {GUEST_ES_SELECTOR, 0x10, 0x10},
    {GUEST_CS_SELECTOR, 0x8, 0x8},
    {GUEST_SS_SELECTOR, 0x10, 0x10},
    {GUEST_DS_SELECTOR, 0x10, 0x10},
    {GUEST_TR_SELECTOR, 0x18, 0x18},
    {HOST_CS_SELECTOR, 0x8, 0x10},
    {HOST_SS_SELECTOR, 0x10, 0x18},
    {HOST_TR_SELECTOR, 0x18, 0x40},
    {MSR_BITMAP, 0x0, 0x10a3f000},
    {EPT_POINTER, 0x10a01e, 0x1092d05e},
    {VMCS_LINK_POINTER, 0xffffffffffffffff, 0xffffffffffffffff},
    {GUEST_IA32_DEBUGCTL, 0, 0},
    {PIN_BASED_VM_EXEC_CONTROL, 0x16, 0x3f},
    {CPU_BASED_VM_EXEC_CONTROL, 0x8401e1f2, 0xb5a06dfa},
    {EXCEPTION_BITMAP, 0, 0x60042},
    {CR3_TARGET_COUNT, 0, 0},
    {VM_EXIT_CONTROLS, 0x36fff, 0x2befff},
    {VM_ENTRY_CONTROLS, 0x11ff, 0x91ff},
    {GUEST_CS_LIMIT, 0xffffffff, 0xffffffff},
    {GUEST_CS_AR_BYTES, 0xc09b, 0xc09b},
    {GUEST_SS_AR_BYTES, 0xc093, 0xc093},
    {GUEST_ES_AR_BYTES, 0xc093, 0xc093},
    {GUEST_DS_AR_BYTES, 0xc093, 0xc093},
    {GUEST_FS_AR_BYTES, 0x10000, 0x10000},
    {GUEST_GS_AR_BYTES, 0x10000, 0x10000},
    {GUEST_LDTR_AR_BYTES, 0x10000, 0x10000},
    {GUEST_SS_LIMIT, 0xffffffff, 0xffffffff},
    {GUEST_ES_LIMIT, 0xffffffff, 0xffffffff},
    {GUEST_DS_LIMIT, 0xffffffff, 0xffffffff},
    {GUEST_TR_LIMIT, 0x67, 0x67},
    {GUEST_TR_AR_BYTES, 0x8b, 0x8b},
    {GUEST_ACTIVITY_STATE, 0, 0},
    {GUEST_INTERRUPTIBILITY_INFO, 0, 0},
    {CR0_GUEST_HOST_MASK, 0, 0xfffffffffffffff1},
    {CR4_GUEST_HOST_MASK, 0, 0xfffffffffffff871},
    {CR0_READ_SHADOW, 0, 0x80000031},
    {CR4_READ_SHADOW, 0, 0x2020},
    {GUEST_CR0, 0x80000031, 0x80000031},
    {GUEST_CR4, 0x2020, 0x2020},
    {GUEST_RSP, 0x107ff0, 0x107ff0},
    {GUEST_RIP, 0x101000, 0x101000},
    {GUEST_RFLAGS, 0x2, 0x2},
    {GUEST_DR7, 0x400, 0x400},
    {HOST_CR0, 0x80000031, 0x80050033},
    {HOST_CR3, 0x108000, 0x1018a4003},
    {HOST_CR4, 0x2020, 0x3726e0},
    {HOST_RSP, 0x10fff0, 0xffffa06fc02d7d80},
    {HOST_RIP, 0x1002f4, 0xffffffffc0a2b0f0},
    {HOST_GDTR_BASE, 0x10b000, 0xfffffe3f3a6c1000},
    {HOST_IDTR_BASE, 0x10c000, 0xfffffe0000000000},
};

/// Images, context and registers that go from one transition to the next of one vCPU.
class Story {
  public:
    explicit Story(Mode mode) : mode_(mode) {
        for (const vmx::FieldInfo& info : vmx::all_fields()) {
            const Value empty = nested::vmcs12_offset(info.field) ? Value::of(0) : Value::unsupported();
            now_.vmcs12_after[info.field] = now_.vmcs02_after[info.field] = empty;
        }
        for (const Assignment& a : kCommon) {
            now_.vmcs12_after[a.field] = Value::of(a.vmcs12);
            now_.vmcs02_after[a.field] = Value::of(a.vmcs02);
        }
        now_.vmcs02_after[PLE_WINDOW] = Value::of(0x1000);
        now_.vmcs02_after[TSC_MULTIPLIER] = Value::unsupported();
        now_.vmcs02_after[VM_EXIT_MSR_STORE_ADDR] = {};  // not read
        set_both(GUEST_CR3, 0x102000);
        set_controls();
        pdptrs(now_.vmcs12_after, mode.nested_ept && mode.pae ? 0x103001 : 0);
        pdptrs(now_.vmcs02_after, 0);
        now_.context.enable_ept = true;
        now_.context.nested_ept = mode.nested_ept;
        now_.context.evmcs = false;
        now_.context.from_vmentry = true;
        now_.context.pdptrs_from_userspace = false;
        now_.context.vmx_fail = false;
        now_.context.dirty_vmcs12 = true;
        now_.context.last_hw_exit_pae = false;
        set_pae(mode.pae);
    }

    Transition& begin(Kind kind) {
        now_.seq++;
        now_.tsc += 48'211;
        now_.kind = kind;
        now_.exit = {};
        now_.status.reset();
        now_.vmcs12_before = now_.vmcs12_after;
        now_.vmcs02_before = now_.vmcs02_after;
        now_.evidence.clear();
        return now_;
    }
    void end() {
        now_.vmcs02_as_of = now_.seq;
        done_.push_back(std::make_shared<const Transition>(now_));
    }

    void l1_exit(std::uint32_t reason, std::uint64_t rip) {
        begin(Kind::L1Exit);
        exit(reason, 0, rip);
        end();
    }
    /// With what KVM writes on a dirty entry (twice in the case of nested EPT and PAE), or from memory.
    void nested_entry(bool dirty) {
        begin(Kind::NestedEntry);
        now_.status = 0;
        now_.context.dirty_vmcs12 = dirty;
        if (dirty) write02("prepare_vmcs02_rare.constprop.0+0x4a0", now_.vmcs12_after);
        if (dirty && mode_.nested_ept && mode_.pae) write02("nested_vmx_enter_non_root_mode+0xef0", now_.vmcs12_after);
        if (!mode_.nested_ept && mode_.pae) {
            vmx::VmcsImage memory;
            pdptrs(memory, 0x104001);
            write02("vmx_ept_load_pdptrs+0x4d", memory);
            for (std::size_t i = 0; i < 4; ++i) now_.cached_pdptrs[i] = memory[kPdptrs[i]];
        }
        end();
    }
    void l2_round(std::uint32_t reason, std::uint64_t qualification, std::uint64_t rip) {
        begin(Kind::L2Entry);
        end();
        begin(Kind::L2Exit);
        now_.vmcs02_after[GUEST_RIP] = Value::of(rip);
        now_.vmcs02_after[VM_EXIT_REASON] = Value::of(reason);
        now_.context.last_hw_exit_pae = now_.context.pae;
        exit(reason, qualification, rip);
        end();
    }
    void nested_exit(std::uint32_t reason, std::uint64_t qualification, std::uint64_t rip) {
        begin(Kind::NestedExit);
        now_.vmcs12_after[GUEST_RIP] = Value::of(rip);
        now_.vmcs12_after[VM_EXIT_REASON] = Value::of(reason);
        now_.vmcs12_after[EXIT_QUALIFICATION] = Value::of(qualification);
        now_.context.dirty_vmcs12 = false;
        if (mode_.nested_ept && mode_.pae)
            for (const vmx::Field f : kPdptrs) {
                now_.vmcs12_after[f] = now_.vmcs02_after[f];
                now_.evidence.push_back({Evidence::Op::Vmread, static_cast<std::uint16_t>(f), now_.vmcs02_after[f],
                                         "sync_vmcs02_to_vmcs12+0x81d"});
            }
        exit(reason, qualification, rip);
        end();
    }
    void l1_entry() {
        begin(Kind::L1Entry);
        end();
    }
    void set_pae(bool pae) {
        mode_.pae = pae;
        now_.context.pae = pae && !mode_.long_mode;
        const std::uint64_t cr4 = pae || mode_.long_mode ? 0x2020 : 0x2000;
        set_both(GUEST_CR4, cr4);
        now_.context.cr0 = 0x80000031;
        now_.context.cr3 = 0x102000;
        now_.context.cr4 = cr4;
        now_.context.efer = mode_.long_mode ? 0x500 : 0;
    }
    std::vector<TransitionPtr> take() { return std::move(done_); }

  private:
    void set_both(vmx::Field f, std::uint64_t bits) { now_.vmcs12_after[f] = now_.vmcs02_after[f] = Value::of(bits); }
    static void pdptrs(vmx::VmcsImage& image, std::uint64_t first) {
        for (std::size_t i = 0; i < 4; ++i) image[kPdptrs[i]] = Value::of(first ? first + i * 0x1000 : 0);
    }
    void set_controls() {
        const std::uint64_t ept = mode_.nested_ept ? vmx::kSecondaryEnableEpt : 0;
        now_.vmcs12_after[SECONDARY_VM_EXEC_CONTROL] = Value::of(ept);
        now_.vmcs02_after[SECONDARY_VM_EXEC_CONTROL] = Value::of(0x20b2);
        if (!mode_.long_mode) return;
        set_both(VM_ENTRY_CONTROLS, 0x13ff);
        set_both(GUEST_IA32_EFER, 0x500);
    }
    void exit(std::uint32_t reason, std::uint64_t qualification, std::uint64_t rip) {
        now_.exit.reason = Value::of(reason);
        now_.exit.qualification = Value::of(qualification);
        now_.exit.instruction_length = Value::of(2);
        now_.regs[nested::RIP] = Value::of(rip);
    }
    void write02(const char* at, const vmx::VmcsImage& from) {
        for (const vmx::Field f : kPdptrs) {
            now_.vmcs02_after[f] = from[f];
            now_.evidence.push_back({Evidence::Op::Vmwrite, static_cast<std::uint16_t>(f), from[f], at});
        }
    }

    Mode mode_;
    Transition now_;
    std::vector<TransitionPtr> done_;
};

constexpr std::uint32_t kCpuid = 10, kVmlaunch = 20, kVmresume = 24, kCrAccess = 28;

/// VMLAUNCH, one CPUID exit, and back in L1.
void first_round(Story& story) {
    story.l1_exit(kVmlaunch, 0x1002c0);
    story.nested_entry(true);
    story.l2_round(kCpuid, 0, 0x101014);
    story.nested_exit(kCpuid, 0, 0x101014);
    story.l1_entry();
}

}  // namespace

std::vector<TransitionPtr> copied() {
    Story story({});
    story.l1_exit(kVmlaunch, 0x1002c0);
    story.nested_entry(true);
    return story.take();
}

std::vector<TransitionPtr> skipped() {
    Story story({});
    first_round(story);
    story.l1_exit(kVmresume, 0x1002c0);
    story.nested_entry(false);
    return story.take();
}

std::vector<TransitionPtr> undefined() {
    Story story({.pae = false});
    first_round(story);
    story.set_pae(true);  // L1 rewrites the shadowed GUEST_CR4 alone
    story.l1_exit(kVmresume, 0x1002c0);
    story.nested_entry(false);
    return story.take();
}

std::vector<TransitionPtr> from_memory() {
    Story story({.nested_ept = false});
    first_round(story);
    story.l1_exit(kVmresume, 0x1002c0);
    story.nested_entry(true);
    return story.take();
}

std::vector<TransitionPtr> copied_unused() {
    Story story({.pae = false, .long_mode = true});
    story.l1_exit(kCrAccess, 0x1002a0);
    story.l1_exit(kVmlaunch, 0x1002c0);
    story.nested_entry(true);
    return story.take();
}

std::vector<TransitionPtr> refused() {
    Story story({});
    story.l1_exit(kVmlaunch, 0x1002c0);
    nested::Transition& t = story.begin(Kind::NestedEntryFailed);
    t.vmcs12_before[GUEST_CR0] = t.vmcs12_after[GUEST_CR0] = Value::of(0x80000030);
    t.vmcs12_after[VM_EXIT_REASON] = Value::of(0x80000021);
    t.vmcs12_after[EXIT_QUALIFICATION] = Value::of(0);
    t.exit.reason = Value::of(0x80000021);
    t.exit.qualification = Value::of(0);
    t.status = 4;
    t.kvm_reason = "nested_guest_cr0_valid(vcpu, vmcs12->guest_cr0)";
    story.end();
    return story.take();
}

std::vector<TransitionPtr> disagreeing() {
    Story story({});
    first_round(story);
    story.l1_exit(kVmresume, 0x1002c0);
    nested::Transition& t = story.begin(Kind::NestedEntry);
    t.status = 0;
    t.context.dirty_vmcs12 = true;
    t.evidence_scope = nested::EvidenceScope::All;
    const auto write = [&](vmx::Field f, std::uint64_t bits, const char* at) {
        t.vmcs02_after[f] = Value::of(bits);
        t.evidence.push_back({Evidence::Op::Vmwrite, static_cast<std::uint16_t>(f), Value::of(bits), at});
    };
    for (const vmx::Field f : kPdptrs) write(f, t.vmcs12_after[f].bits, "prepare_vmcs02_rare.constprop.0+0x4a0");
    for (const vmx::Field f : kPdptrs) write(f, t.vmcs12_after[f].bits, "nested_vmx_enter_non_root_mode+0xef0");
    write(GUEST_CR3, 0x666000, "vmx_load_mmu_pgd+0x8f");
    write(TSC_OFFSET, 0xffffb6a1edfe0000, "prepare_vmcs02+0x210");
    story.end();
    return story.take();
}

}  // namespace vmxscope::ui::samples
