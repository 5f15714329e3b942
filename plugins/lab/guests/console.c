// L1's console: it speaks through port 0xe9 (QEMU: isa-debugcon; Bochs: port_e9_hack), listens on COM1 and ends the
// machine through port 0xf4 (QEMU: isa-debug-exit). Every byte is a VM-exit to L0's user space, so L1 says little.
#include "l1.h"

#define PORT_CONSOLE 0xe9
#define PORT_EXIT 0xf4
#define COM1 0x3f8
#define COM1_LINE_CONTROL (COM1 + 3)
#define COM1_MODEM_CONTROL (COM1 + 4)
#define COM1_LINE_STATUS (COM1 + 5)
#define LINE_CONTROL_8N1 0x03
#define LINE_CONTROL_DIVISOR 0x80
#define MODEM_CONTROL_READY 0x03
#define LINE_STATUS_DATA_READY 0x01

// Two processors may speak at once: whole lines only.
static volatile bool console_busy;

static void lock_console(void) {
    while (__atomic_test_and_set(&console_busy, __ATOMIC_ACQUIRE)) asm volatile("pause");
}

static void unlock_console(void) { __atomic_clear(&console_busy, __ATOMIC_RELEASE); }

static void put(const char *text) {
    while (*text) outb(PORT_CONSOLE, (u8)*text++);
}

static void put_number(u64 number, unsigned base) {
    char digits[21];
    char *p = digits + sizeof digits;
    *--p = 0;
    do {
        *--p = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    put(p);
}

static _Noreturn void end_machine(u8 status) {
    outb(PORT_EXIT, status);
    for (;;) asm volatile("cli; hlt");
}

void open_console(void) {
    outb(COM1_LINE_CONTROL, LINE_CONTROL_DIVISOR);
    outb(COM1, 1);  // 115,200 baud
    outb(COM1 + 1, 0);
    outb(COM1_LINE_CONTROL, LINE_CONTROL_8N1);
    outb(COM1_MODEM_CONTROL, MODEM_CONTROL_READY);
}

void say(const char *line) {
    lock_console();
    put(line);
    put("\n");
    unlock_console();
}

void say_number(const char *before, u64 number, const char *after) {
    lock_console();
    put(before);
    put_number(number, 10);
    put(after);
    put("\n");
    unlock_console();
}

void fail(const char *sentence, u64 number) {
    lock_console();
    put("L1 failed: ");
    put(sentence);
    put(" 0x");
    put_number(number, 16);
    put("\n");
    end_machine(1);  // the console stays locked: nothing more is said
}

void fail_vmx(const char *instruction, u64 operand) {
    u64 error = 0;
    vmread_ok(VM_INSTRUCTION_ERROR, &error);  // stays 0 where there is no current VMCS to hold it
    lock_console();
    put("L1 failed: ");
    put(instruction);
    put(" of 0x");
    put_number(operand, 16);
    put(" failed with VM-instruction error ");
    put_number(error, 10);  // Vol. 3C, 30.4 "VM Instruction Error Numbers"
    put("\n");
    end_machine(1);
}

void stop(const struct cpu *cpu) {
    say_number("stopped after ", cpu->rounds, " rounds");
    end_machine(0);
}

bool stop_requested(void) { return (inb(COM1_LINE_STATUS) & LINE_STATUS_DATA_READY) && inb(COM1) == 'q'; }
