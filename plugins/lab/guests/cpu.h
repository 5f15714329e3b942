// The instructions that C has no words for.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmx.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

static inline void outb(u16 port, u8 value) { asm volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }

static inline u8 inb(u16 port) {
    u8 value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline u64 rdmsr(u32 msr) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 value) {
    asm volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline u32 cpuid_ecx(u32 leaf) {
    u32 a = leaf, b, c = 0, d;
    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return c;
}

static inline u64 rdtsc(void) {
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

#define DEFINE_CONTROL_REGISTER(n)                                                \
    static inline u64 read_cr##n(void) {                                          \
        u64 value;                                                                \
        asm volatile("mov %%cr" #n ", %0" : "=r"(value));                         \
        return value;                                                             \
    }                                                                             \
    static inline void write_cr##n(u64 value) {                                   \
        asm volatile("mov %0, %%cr" #n ::"r"(value) : "memory");                  \
    }
DEFINE_CONTROL_REGISTER(0)
DEFINE_CONTROL_REGISTER(3)
DEFINE_CONTROL_REGISTER(4)
#undef DEFINE_CONTROL_REGISTER

// VMX instructions (Vol. 3C, chapter 30). They report failure in the flags: CF (VMfailInvalid) or ZF (VMfailValid), so
// "above" is success. Each returns whether it succeeded.

static inline bool vmxon(u64 region) {
    bool ok;
    asm volatile("vmxon %1; seta %0" : "=qm"(ok) : "m"(region) : "cc", "memory");
    return ok;
}

static inline bool vmclear(u64 region) {
    bool ok;
    asm volatile("vmclear %1; seta %0" : "=qm"(ok) : "m"(region) : "cc", "memory");
    return ok;
}

static inline bool vmptrld(u64 region) {
    bool ok;
    asm volatile("vmptrld %1; seta %0" : "=qm"(ok) : "m"(region) : "cc", "memory");
    return ok;
}

static inline bool vmread_ok(u64 field, u64 *value) {
    bool ok;
    asm volatile("vmread %2, %1; seta %0" : "=qm"(ok), "=r"(*value) : "r"(field) : "cc", "memory");
    return ok;
}

static inline bool vmwrite_ok(u64 field, u64 value) {
    bool ok;
    asm volatile("vmwrite %2, %1; seta %0" : "=qm"(ok) : "r"(field), "rm"(value) : "cc", "memory");
    return ok;
}

static inline bool invept(u64 type, u64 eptp) {
    const u64 descriptor[2] = {eptp, 0};
    bool ok;
    asm volatile("invept %1, %2; seta %0" : "=qm"(ok) : "m"(descriptor), "r"(type) : "cc", "memory");
    return ok;
}
