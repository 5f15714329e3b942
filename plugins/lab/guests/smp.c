// The second processor (Vol. 3A, 8.4.4 "MP Initialization Example" and 10.6 "Issuing Interprocessor Interrupts").
#include "l1.h"

#define APIC_SPURIOUS 0xfee000f0
#define APIC_COMMAND_LOW 0xfee00300
#define APIC_SOFTWARE_ENABLE 0x100
#define ALL_BUT_SELF (3u << 18)
#define ASSERT_INIT (0x4000 | 5u << 8)
#define START_UP (0x4000 | 6u << 8)
#define SEND_PENDING (1u << 12)

extern const u8 trampoline[], trampoline_end[];

static volatile u32 *apic(u64 address) { return (volatile u32 *)address; }

static void send(u32 command) {
    *apic(APIC_COMMAND_LOW) = ALL_BUT_SELF | command;
    while (*apic(APIC_COMMAND_LOW) & SEND_PENDING) asm volatile("pause");
}

/// Waits at most that many ticks of the time-stamp counter, and only as long as the processor has not come.
static bool came_within(u64 ticks) {
    const u64 start = rdtsc();
    while (processors_started < 2) {
        if (rdtsc() - start > ticks) return false;
        asm volatile("pause");
    }
    return true;
}

void start_other_processor(void) {
    u8 *low = (u8 *)TRAMPOLINE;
    asm("" : "+r"(low));  // gcc takes a constant address in the first pages for a null pointer
    for (const u8 *p = trampoline; p < trampoline_end; p++) *low++ = *p;
    *apic(APIC_SPURIOUS) |= APIC_SOFTWARE_ENABLE;
    for (int attempt = 0; attempt < 5; attempt++) {
        send(ASSERT_INIT);
        came_within(2000000);
        send(START_UP | TRAMPOLINE >> 12);
        if (came_within(20000000)) return;
        send(START_UP | TRAMPOLINE >> 12);
        if (came_within(200000000)) return;
    }
    fail("this guest needs two processors (QEMU: -smp 2); processors found:", processors_started);
}
