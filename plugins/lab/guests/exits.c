// What L1 does at L2's VM-exits. It writes only fields that KVM shadows (GUEST_RIP, GUEST_CR0, CR0_READ_SHADOW, …), so
// that vmcs12 stays clean between rounds; where it writes others, that is said.
#include "l1.h"

void skip_instruction(void) { vmwrite(GUEST_RIP, vmread(GUEST_RIP) + vmread(EXIT_INSTRUCTION_LENGTH)); }

// 25.1.2 "Instructions That Cause VM Exits Unconditionally": CPUID is among them. L2 sees a maker of our own.
static void emulate_cpuid(struct cpu *cpu) {
    cpu->l2.gpr[RAX] = 0;
    cpu->l2.gpr[RBX] = 0x73786d76;  // "vmxs"
    cpu->l2.gpr[RDX] = 0x65706f63;  // "cope"
    cpu->l2.gpr[RCX] = 0x21324c2d;  // "-L2!"
    skip_instruction();
}

// Without MSR bitmaps every RDMSR exits (25.1.3). L2 reads none but IA32_EFER, which the VMCS holds.
static void emulate_rdmsr(struct cpu *cpu) {
    if ((u32)cpu->l2.gpr[RCX] != IA32_EFER) fail("L2 read an MSR that L1 does not give it:", cpu->l2.gpr[RCX]);
    const u64 value = guest.mode == L2_LONG ? EFER_LME | EFER_LMA : 0;
    cpu->l2.gpr[RAX] = (u32)value;
    cpu->l2.gpr[RDX] = value >> 32;
    skip_instruction();
}

static bool pae_paging(u64 cr0, u64 cr4) { return cr0 & CR0_PG && cr4 & CR4_PAE && guest.mode != L2_LONG; }

void set_l2_cr0(u64 value) {
    const u64 old = vmread(GUEST_CR0), cr4 = vmread(GUEST_CR4);
    vmwrite(GUEST_CR0, value);
    vmwrite(CR0_READ_SHADOW, value);
    // Vol. 3A, 4.4.1: MOV to CR0 that turns PAE paging on loads the PDPTEs. L1 emulates it, so L1 must: after the exit,
    // which was not in PAE paging, GUEST_PDPTE0-3 are undefined (27.3.4). KVM does not shadow them: vmcs12 becomes
    // dirty.
    if (guest.nested_ept && pae_paging(value, cr4) && !pae_paging(old, cr4)) load_pdptes();
}

static void set_l2_cr3(u64 value) {
    vmwrite(GUEST_CR3, value);
    if (guest.nested_ept && pae_paging(vmread(GUEST_CR0), vmread(GUEST_CR4))) load_pdptes();
}

// Table 27-3 "Exit Qualification for Control-Register Accesses"
static void emulate_cr_access(struct cpu *cpu) {
    enum { MOV_TO_CR, MOV_FROM_CR, CLTS, LMSW };
    const u64 qualification = vmread(EXIT_QUALIFICATION);
    const unsigned number = qualification & 0xf, type = qualification >> 4 & 3, gpr = qualification >> 8 & 0xf;
    u64 *operand = &cpu->l2.gpr[gpr];
    if (type == CLTS) set_l2_cr0(vmread(GUEST_CR0) & ~(u64)CR0_TS);
    else if (type == MOV_TO_CR && number == 0 && gpr != RSP) set_l2_cr0(*operand);
    else if (type == MOV_TO_CR && number == 3 && gpr != RSP) set_l2_cr3(*operand);
    else if (type == MOV_FROM_CR && number == 3 && gpr != RSP) *operand = vmread(GUEST_CR3);
    else fail("L2 accessed a control register in a way L1 does not emulate, exit qualification", qualification);
    skip_instruction();
}

static void say_round(const struct cpu *cpu) {
    const bool power_of_two = !(cpu->rounds & (cpu->rounds - 1));
    if (!power_of_two && cpu->rounds % 64) return;
    say_number(cpu->number ? "cpu 1: round " : "round ", cpu->rounds, "");
}

void end_round(struct cpu *cpu) {
    cpu->rounds++;
    map_demand_page(cpu, false);
    if (cpu->number == 0 && stop_requested()) stop(cpu);
    say_round(cpu);
}

static void handle_vmcall(struct cpu *cpu) {
    const u32 request = (u32)cpu->l2.gpr[RAX];
    if (request == L2_WRONG_TABLES) fail("L2 ran on page tables other than those of its CR3:", cpu->l2.gpr[RBX]);
    if (request == L2_ROUND_DONE) end_round(cpu);
    else if (!guest.vmcall || !guest.vmcall(cpu, request)) fail("L2 made a VMCALL that L1 does not know:", request);
    skip_instruction();
}

/// The page is there when L2 tries again: RIP stays.
static bool demand_page_missing(u64 address) { return address >> 21 == DEMAND_ADDRESS >> 21; }

static bool handle_ept_violation(struct cpu *cpu) {
    if (!demand_page_missing(vmread(GUEST_PHYSICAL_ADDRESS))) return false;
    map_demand_page(cpu, true);
    return true;
}

// 24.9.2 "Information for VM Exits Due to Vectored Events": the vector is in bits 7:0.
static unsigned exception_vector(void) { return vmread(EXIT_INTERRUPTION_INFORMATION) & 0xff; }

// A page fault's address is the exit qualification (27.2.1 "Basic VM-Exit Information").
static bool handle_exception(struct cpu *cpu) {
    if (guest.nested_ept || exception_vector() != VECTOR_PAGE_FAULT) return false;
    if (!demand_page_missing(vmread(EXIT_QUALIFICATION))) return false;
    map_demand_page(cpu, true);
    return true;
}

_Noreturn static void give_up(u32 reason) {
    if (reason & EXIT_REASON_ENTRY_FAILED) fail("the VM-entry failed with exit reason", reason);
    if (reason == EXIT_EXCEPTION_OR_NMI) fail("L2 raised an exception, with the vector", exception_vector());
    if (reason == EXIT_EPT_VIOLATION) fail("L2 met an EPT violation at", vmread(GUEST_PHYSICAL_ADDRESS));
    fail("L2 exited for a reason that L1 does not handle:", reason);
}

void handle_exit(struct cpu *cpu) {
    const u32 reason = (u32)vmread(EXIT_REASON);
    bool handled = true;
    switch (reason) {
    case EXIT_CPUID: emulate_cpuid(cpu); break;
    case EXIT_RDMSR: emulate_rdmsr(cpu); break;
    case EXIT_CR_ACCESS: emulate_cr_access(cpu); break;
    case EXIT_VMCALL: handle_vmcall(cpu); break;
    case EXIT_IO_INSTRUCTION:  // L2's OUT to port 0x80 goes nowhere
    case EXIT_HLT: skip_instruction(); break;
    case EXIT_EPT_VIOLATION: handled = handle_ept_violation(cpu); break;
    case EXIT_EXCEPTION_OR_NMI: handled = handle_exception(cpu); break;
    default: handled = false;
    }
    if (!handled && !(guest.recover && guest.recover(cpu))) give_up(reason);
}
