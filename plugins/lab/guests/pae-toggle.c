// pae-toggle: nested EPT and unrestricted guest; L2 turns PAE paging on and off. Every row of the PDPTR table but that
// of pae-shadow comes by, once a round (the steps are those of l2_toggle.S):
//
//   1  in PAE paging: exits copied, entries skipped, for vmcs12 is not dirty (the very first entry is copied).
//   2  L2 turns paging off, then 32-bit paging on, by MOV to CR0 and CR4 that L1 lets through (KVM intercepts them, and
//      keeps these exits). Exits and entries skipped: not PAE. Then L1 writes a field that KVM does not shadow, which
//      makes vmcs12 dirty: the entry is copied-unused.
//   3  L1 owns CR0.PG (24.6.6), so MOV to CR0 exits to it. L2's PAE paging begins at an entry after an exit that was
//      not in PAE paging, where GUEST_PDPTE0-3 are undefined (27.3.4): L1 loads them, as the SDM demands. vmcs12 is
//      dirty: copied.
//   4  THE MISTAKE, made on purpose. L1 turns L2's PAE paging on by GUEST_CR3 and GUEST_CR4 alone, both of which KVM
//      shadows, and does not write the PDPTEs. vmcs12 is not dirty, KVM skips the copy, and the processor uses what
//      happens to be in vmcs02: undefined, used, an alarm. In practice those are the PDPTEs of the last exit in PAE
//      paging, of frame A, while CR3 points to frame B's table, as L2 finds out. L2 then loads CR3, and with it the
//      right PDPTEs.
//   5  L2 turns PAE paging off and on again by itself. KVM intercepts it and loads the PDPTEs in L1's stead, from L2's
//      memory.
#include "l1.h"

/// Any field will do that KVM does not shadow and that changes nothing: L2 never executes SYSENTER.
static void touch_field(void) { vmwrite(GUEST_SYSENTER_EIP, vmread(GUEST_SYSENTER_EIP)); }

static void own_pg(bool own) {
    vmwrite(CR0_READ_SHADOW, vmread(GUEST_CR0));
    vmwrite(CR0_GUEST_HOST_MASK, own ? CR0_PG | CR0_TS : CR0_TS);
}

/// Step 4: wrong, see above. Right would be load_pdptes() after the two writes.
static void turn_on_pae_and_forget_the_pdptes(struct cpu *cpu) {
    vmwrite(GUEST_CR3, l2_cr3(L2_PAE, cpu->frame[1]));
    vmwrite(GUEST_CR4, vmread(GUEST_CR4) | CR4_PAE);
    cpu->pdptes_forgotten = true;
}

static void say_once(struct cpu *cpu, const char *line) {
    if (!cpu->said_forgotten) say(line);
    cpu->said_forgotten = true;
}

static void after_forgetting(struct cpu *cpu, u64 seen) {
    say_once(cpu, seen == cpu->frame[1] ? "with the PDPTEs forgotten, L2 runs on those of CR3 after all"
                                        : "with the PDPTEs forgotten, L2 runs on others than those of CR3");
    cpu->pdptes_forgotten = false;
}

static bool vmcall(struct cpu *cpu, u32 request) {
    switch (request) {
    case L2_TOUCH_FIELD: touch_field(); return true;
    case L2_OWN_PG: own_pg(true); return true;
    case L2_RELEASE_PG: own_pg(false); return true;
    case L2_TURN_ON_PAE: turn_on_pae_and_forget_the_pdptes(cpu); return true;
    case L2_SAW_FRAME: after_forgetting(cpu, cpu->l2.gpr[RBX]); return true;
    }
    return false;
}

/// A processor that left something else in the undefined fields refuses them (exit reason 33, qualification 2: 26.3.1.6
/// "Checks on Guest Page-Directory-Pointer-Table Entries") or faults. Then L1 makes its mistake good and tries again.
static bool recover(struct cpu *cpu) {
    if (!cpu->pdptes_forgotten) return false;
    const u32 reason = (u32)vmread(EXIT_REASON);
    const bool refused = reason == (EXIT_REASON_ENTRY_FAILED | EXIT_ENTRY_FAILED_GUEST_STATE) &&
                         vmread(EXIT_QUALIFICATION) == ENTRY_FAILED_PDPTE;
    if (!refused && reason != EXIT_EXCEPTION_OR_NMI && reason != EXIT_EPT_VIOLATION) return false;
    say_once(cpu, refused ? "with the PDPTEs forgotten, the VM-entry is refused"
                          : "with the PDPTEs forgotten, L2 faults");
    load_pdptes();
    cpu->pdptes_forgotten = false;
    return true;
}

const struct guest guest = {
    .teaches = "pae-toggle: nested EPT, L2 turns PAE paging on and off",
    .mode = L2_PAE,
    .nested_ept = true,
    .unrestricted_guest = true,
    .cpus = 1,
    .l2_code = l2_program_toggle,
    .vmcall = vmcall,
    .recover = recover,
};
