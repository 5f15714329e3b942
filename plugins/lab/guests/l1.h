// What every guest shares: the hypervisor L1 and what a guest tells it about the L2 it wants.
#pragma once

#include "cpu.h"
#include "layout.h"

// --- a guest ---------------------------------------------------------------------------------------------------------

enum l2_mode { L2_PAE, L2_LONG, L2_32BIT };

struct cpu;

/// What one guest teaches. Each guest's file defines the one `guest` of its image.
struct guest {
    const char *teaches;      // one line, printed at start
    enum l2_mode mode;        // how L2 starts
    bool nested_ept;          // vmcs12 has "enable EPT"
    bool unrestricted_guest;  // vmcs12 has "unrestricted guest": L2 may turn paging off
    unsigned cpus;            // 1 or 2, each with a vmcs12 and an L2 of its own
    const void *l2_code;      // where L2 starts

    /// VMCALLs other than the common ones; false: L2 asked for nothing this guest knows. May be null.
    bool (*vmcall)(struct cpu *cpu, u32 request);
    /// Last resort before giving up on an exit; true: L2 can be resumed. May be null.
    bool (*recover)(struct cpu *cpu);
    /// Runs L2 in this guest's own way, for ever, instead of main.c's loop. May be null.
    void (*run)(struct cpu *cpu);
};
extern const struct guest guest;

// L2's programs (l2.S, l2_toggle.S)
extern const char l2_program_32bit[], l2_program_64bit[], l2_program_toggle[];

// --- one processor of L1 ---------------------------------------------------------------------------------------------

/// The general registers as the SDM numbers them (Table 27-3, "Exit Qualification for Control-Register Accesses").
enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPR_COUNT };

/// vm_enter.S knows this layout. gpr[RSP] is unused: L2's RSP is in the VMCS.
struct l2_registers {
    u64 gpr[GPR_COUNT];
    u64 l1_rsp;  // L1's stack while L2 runs; HOST_RSP is its address
};

struct cpu {
    struct l2_registers l2;
    unsigned number;
    u64 frame[2];  // A and B (layout.h)
    u64 eptp;      // 0 without nested EPT
    bool launched;
    u64 rounds;
    bool pdptes_forgotten;  // pae-toggle: PAE paging was turned on without writing GUEST_PDPTE0-3
    bool said_forgotten;
};

int vm_enter(struct l2_registers *l2, int launched);
extern const char vm_exit_entry[];

// --- console.c: port 0xe9 speaks, COM1 listens, port 0xf4 ends
// ---------------------------------------------------------

void open_console(void);
void say(const char *line);
/// For instance say_number("round ", 8, "").
void say_number(const char *before, u64 number, const char *after);
/// Ends the machine with a sentence: what failed, and a number that says more (in hexadecimal).
_Noreturn void fail(const char *sentence, u64 number);
/// As fail(), for a VMX instruction that failed: adds the VM-instruction error.
_Noreturn void fail_vmx(const char *instruction, u64 operand);
_Noreturn void stop(const struct cpu *cpu);
bool stop_requested(void);

// --- vmx_setup.c -----------------------------------------------------------------------------------------------------

void enter_vmx_operation(struct cpu *cpu);
void set_up_vmcs(struct cpu *cpu);

/// Whether these bits of a control field may be 1 (appendix A).
bool controls_offered(enum vmcs_field field, u32 bits);
u64 vmread(enum vmcs_field field);
void vmwrite(enum vmcs_field field, u64 value);

// --- paging.c --------------------------------------------------------------------------------------------------------

/// Fills the processor's frames with L2's page tables and, with nested EPT, the EPT paging structures.
void build_page_tables(struct cpu *cpu);
/// The value of CR3 for L2's tables in that frame.
u64 l2_cr3(enum l2_mode mode, u64 frame);
/// Maps or unmaps DEMAND_ADDRESS: in the EPT, or without one in L2's own tables.
void map_demand_page(struct cpu *cpu, bool present);
/// GUEST_PDPTE0-3 from the table that GUEST_CR3 points to.
void load_pdptes(void);

// --- exits.c ---------------------------------------------------------------------------------------------------------

void handle_exit(struct cpu *cpu);
/// Counts the round, says so now and then, and ends the machine if it was told to stop.
void end_round(struct cpu *cpu);
void skip_instruction(void);
/// GUEST_CR0 and its read shadow, and the PDPTEs if that turns PAE paging on: what MOV to CR0 does.
void set_l2_cr0(u64 value);

// --- smp.c -----------------------------------------------------------------------------------------------------------

/// Starts the second processor, which enters l1_main() too; ends the machine if there is none.
void start_other_processor(void);
extern volatile u32 processors_started;
