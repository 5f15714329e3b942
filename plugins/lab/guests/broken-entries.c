// broken-entries: L1 breaks the rules of VM-entry, one at a time (Vol. 3C, chapter 26; the cases are in
// broken_cases.c).
//
// Each case changes a few fields of a VMCS that is good, tries to enter L2, notes how that was answered, and undoes the
// changes. L2's whole program is a CPUID, whose exit shows that L2 ran. Who looks at L1's registers meanwhile finds the
// case's name in R8 to R15, as text; they pass into L2, and back, unchanged.
//
// After every few cases comes an entry that breaks nothing. The answers are said after the first round, and from then on
// where they differ from the first: no answer stops L1.
#include "broken_cases.h"

#define CASES_TO_A_GOOD_ENTRY 8
#define CPUID_1_ECX_X2APIC (1u << 21)
#define APIC_BASE_X2APIC 0xc00  // enabled, in x2APIC mode

extern const char l2_program_cpuid[];
asm(".pushsection .text\n"
    "l2_program_cpuid: cpuid\n"  // the same code in 32-bit and in 64-bit mode
    "hlt\n"
    ".popsection");

static struct answer first_answers[MAX_BROKEN_CASES];

// --- what is said ----------------------------------------------------------------------------------------------------

static char *add_text(char *end, const char *text) {
    while (*text) *end++ = *text++;
    *end = 0;
    return end;
}

static char *add_number(char *end, u64 number) {
    if (number >= 10) end = add_number(end, number / 10);
    *end++ = (char)('0' + number % 10);
    *end = 0;
    return end;
}

static char *add_answer(char *end, const struct answer *a) {
    end = add_text(end, a->kind == VMFAIL ? "VMfail " : a->entry_failed ? "failed-entry " : "exit ");
    end = add_number(end, a->number);
    if (!a->entry_failed) return end;
    return add_number(add_text(end, " qualification "), a->qualification);
}

static bool same_answer(const struct answer *a, const struct answer *b) {
    return a->kind == b->kind && a->entry_failed == b->entry_failed && a->number == b->number &&
           a->qualification == b->qualification;
}

static bool tried(const struct answer *a) {
    return a->kind == VMFAIL || a->kind == EXIT;
}

/// "case NAME expected ANSWER got ANSWER", and DIFFERENT if the two are not the same.
static void say_case(const struct broken_case *c, const struct answer *got) {
    char line[256], *end = add_text(add_text(line, "case "), c->name);
    if (tried(got)) {
        end = add_answer(add_text(end, " expected "), &c->expected);
        end = add_answer(add_text(end, " got "), got);
        if (!same_answer(&c->expected, got)) add_text(end, " DIFFERENT");
    } else {
        add_text(end, got->kind == NOT_OFFERED ? " not offered" : " not kept");
    }
    say(line);
}

// --- what is done ----------------------------------------------------------------------------------------------------

static void show_name(struct cpu *cpu, const char *name) {
    char *registers = (char*)&cpu->l2.gpr[R8];
    for (int i = 0; i < CASE_NAME; i++) registers[i] = *name ? *name++ : 0;
}

static struct answer enter(struct cpu *cpu) {
    if (vm_enter(&cpu->l2, cpu->launched)) {
        u64 error = 0;
        vmread_ok(VM_INSTRUCTION_ERROR, &error);
        return (struct answer){VMFAIL, false, (u16)error, 0};
    }
    const u64 reason = vmread(EXIT_REASON);
    const bool failed = reason & EXIT_REASON_ENTRY_FAILED;
    if (!failed) cpu->launched = true;
    return (struct answer){EXIT, failed, (u16)reason, failed ? vmread(EXIT_QUALIFICATION) : 0};
}

static bool offered(const struct broken_case *c) {
    for (int i = 0; i < CASE_CHANGES; i++) {
        const struct change_of_field *change = &c->changes[i];
        if (change->change == WITH && !controls_offered(change->field, (u32)change->bits)) return false;
        if (change->change == LACKS && rdmsr(IA32_VMX_MISC) & change->bits) return false;
    }
    return true;
}

static u64 changed(u64 value, const struct change_of_field *change) {
    switch (change->change) {
        case WITH:
        case ON: return value | change->bits;
        case OFF: return value & ~change->bits;
        default: return change->bits;
    }
}

static struct answer try_case(struct cpu *cpu, const struct broken_case *c) {
    if (!offered(c)) return (struct answer){.kind = NOT_OFFERED};
    u64 before[CASE_CHANGES];
    bool kept = true;
    int count = 0;
    for (; count < CASE_CHANGES && c->changes[count].change > LACKS; count++) {
        const struct change_of_field *change = &c->changes[count];
        before[count] = vmread(change->field);
        const u64 after = changed(before[count], change);
        vmwrite(change->field, after);
        kept = kept && vmread(change->field) == after;
    }
    show_name(cpu, c->name);
    const struct answer got = kept ? enter(cpu) : (struct answer){.kind = NOT_KEPT};
    while (count-- > 0) vmwrite(c->changes[count].field, before[count]);
    // L2 ran with a state that it should not have had, and what is left of it is anyone's guess.
    if (got.kind == EXIT && !got.entry_failed) set_up_vmcs(cpu);
    return got;
}

static void try_good_entry(struct cpu *cpu, const char *name) {
    show_name(cpu, name);
    const struct answer got = enter(cpu);
    if (got.kind == VMFAIL) fail("an entry that breaks no rule is refused with VM-instruction error", got.number);
    if (got.entry_failed || got.number != EXIT_CPUID) fail("L2, entered well, exits for the reason", vmread(EXIT_REASON));
}

/// The first round is silent: a word from L1 is many exits, and who steps through the round would see them all.
static void say_first_round(void) {
    u64 different = 0;
    for (unsigned i = 0; i < broken_case_count; i++) {
        const struct answer *got = &first_answers[i];
        say_case(&broken_cases[i], got);
        different += tried(got) && !same_answer(got, &broken_cases[i].expected);
    }
    say_number("answered otherwise than expected: ", different, "");
}

static void one_round(struct cpu *cpu) {
    const bool first = cpu->rounds == 0;
    try_good_entry(cpu, "good");
    for (unsigned i = 0; i < broken_case_count; i++) {
        if (!first && !tried(&first_answers[i])) continue;
        const struct answer got = try_case(cpu, &broken_cases[i]);
        if (first) first_answers[i] = got;
        else if (!same_answer(&got, &first_answers[i])) say_case(&broken_cases[i], &got);
        if (i % CASES_TO_A_GOOD_ENTRY == CASES_TO_A_GOOD_ENTRY - 1) try_good_entry(cpu, "good");
    }
    try_good_entry(cpu, "good.end-of-round");
    if (first) say_first_round();
    end_round(cpu);
}

static void run(struct cpu *cpu) {
    // 26.4: MSRs of the local APIC may not be loaded while it is in x2APIC mode.
    if (cpuid_ecx(1) & CPUID_1_ECX_X2APIC) wrmsr(IA32_APIC_BASE, rdmsr(IA32_APIC_BASE) | APIC_BASE_X2APIC);
    for (;;) one_round(cpu);
}

const struct guest guest = {
    .teaches = "broken-entries: VM-entries that break one rule each",
    .mode = L2_PAE,
    .nested_ept = true,
    .unrestricted_guest = true,
    .cpus = 1,
    .l2_code = l2_program_cpuid,
    .run = run,
};
