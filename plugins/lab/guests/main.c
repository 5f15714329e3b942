// L1, a hypervisor just large enough to run one L2 on each of its processors, for ever.
#include "l1.h"

static struct cpu cpus[MAX_CPUS];

/// Each processor comes here from boot.S, in 64-bit mode, with its number and a stack of its own.
void l1_main(unsigned number);
void l1_main(unsigned number) {
    struct cpu *cpu = &cpus[number];
    cpu->number = number;
    if (number == 0) {
        open_console();
        say("L1 up");
        say(guest.teaches);
    }
    build_page_tables(cpu);
    enter_vmx_operation(cpu);
    set_up_vmcs(cpu);
    if (number == 0 && guest.cpus > 1) start_other_processor();

    if (guest.run) guest.run(cpu);
    for (;;) {
        // 26.1 "Basic VM-Entry Checks": VMLAUNCH the first time, VMRESUME from then on
        if (vm_enter(&cpu->l2, cpu->launched)) {
            fail_vmx(cpu->launched ? "VMRESUME" : "VMLAUNCH", cpu->frame[0] + FRAME_VMCS);
        }
        cpu->launched = true;
        handle_exit(cpu);
    }
}
