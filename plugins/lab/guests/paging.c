// L2's page tables, in each of the three modes, and the EPT paging structures.
#include "l1.h"

#define ENTRIES 512
#define MIB2 0x200000ull
#define MIB4 0x400000u

// Vol. 3A, Tables 4-6 (32-bit paging), 4-8 to 4-10 (PAE paging), 4-15 to 4-18 (4-level paging)
#define PRESENT 0x1
#define WRITABLE 0x2
#define ACCESSED 0x20
#define DIRTY 0x40
#define LARGE 0x80
#define PAGE (PRESENT | WRITABLE | ACCESSED | DIRTY | LARGE)
#define TABLE (PRESENT | WRITABLE | ACCESSED)

// Vol. 3C, 28.2.2 "EPT Translation Mechanism": read, write, execute; write-back memory in bits 5:3 of a page's entry
#define EPT_TABLE 0x7ull
#define EPT_PAGE (0x7ull | 6 << 3 | LARGE)
// 24.6.11 "Extended-Page-Table Pointer": write-back paging structures, a walk of 4 levels
#define EPTP_WRITE_BACK 6ull
#define EPTP_WALK_4 (3ull << 3)
#define INVEPT_SINGLE_CONTEXT 1
#define INVEPT_ALL_CONTEXTS 2
#define EPT_CAP_INVEPT_SINGLE (1ull << 25)

static void clear(u64 address, u64 size) {
    for (u64 *p = (u64 *)address, *end = (u64 *)(address + size); p < end; p++) *p = 0;
}

/// One frame's tables. The page directories serve PAE paging and 4-level paging: their entries are the same.
static void build_l2_tables(u64 frame) {
    *(u64 *)(frame + FRAME_MARKER) = frame;

    u64 *directory = (u64 *)(frame + FRAME_PAGE_DIRECTORY);  // four of them, one after the other
    for (u64 i = 0; i < ENTRIES; i++) directory[i] = i * MIB2 | PAGE;
    for (u64 gib = 1; gib < 4; gib++) directory[gib * ENTRIES] = frame | PAGE;  // the last of these is WINDOW

    u64 *pae_pdpt = (u64 *)(frame + FRAME_PAE_PDPT);
    u64 *long_pdpt = (u64 *)(frame + FRAME_LONG_PDPT);
    for (u64 gib = 0; gib < 4; gib++) {
        const u64 address = frame + FRAME_PAGE_DIRECTORY + gib * 0x1000;
        pae_pdpt[gib] = address | PRESENT;  // in PAE paging a PDPTE has no rights: bits 1 and 2 are reserved
        long_pdpt[gib] = address | TABLE;
    }
    *(u64 *)(frame + FRAME_PML4) = (frame + FRAME_LONG_PDPT) | TABLE;

    u32 *directory32 = (u32 *)(frame + FRAME_32BIT_DIRECTORY);  // CR4.PSE: pages of 4 MiB
    for (u32 i = 0; i < 256; i++) directory32[i] = i * MIB4 | PAGE;
    directory32[WINDOW / MIB4] = (u32)frame | PAGE;
}

/// Guest-physical addresses of L2 are physical addresses of L1, one to one, up to 1 GiB, but for DEMAND_ADDRESS.
static u64 build_ept(u64 frame) {
    u64 *directory = (u64 *)(frame + FRAME_EPT_DIRECTORY);
    for (u64 i = 0; i < ENTRIES; i++) directory[i] = i * MIB2 | EPT_PAGE;
    *(u64 *)(frame + FRAME_EPT_PDPT) = (frame + FRAME_EPT_DIRECTORY) | EPT_TABLE;
    *(u64 *)(frame + FRAME_EPT_PML4) = (frame + FRAME_EPT_PDPT) | EPT_TABLE;
    return (frame + FRAME_EPT_PML4) | EPTP_WRITE_BACK | EPTP_WALK_4;
}

void build_page_tables(struct cpu *cpu) {
    cpu->frame[0] = FRAME_A(cpu->number);
    cpu->frame[1] = FRAME_B(cpu->number);
    for (int i = 0; i < 2; i++) {
        clear(cpu->frame[i], FRAME_L2_STACK_TOP);
        build_l2_tables(cpu->frame[i]);
    }
    if (guest.nested_ept) cpu->eptp = build_ept(cpu->frame[0]);
    map_demand_page(cpu, false);
}

u64 l2_cr3(enum l2_mode mode, u64 frame) {
    switch (mode) {
    case L2_PAE: return frame + FRAME_PAE_PDPT;
    case L2_LONG: return frame + FRAME_PML4;
    case L2_32BIT: return frame + FRAME_32BIT_DIRECTORY;
    }
    fail("no such mode:", mode);
}

void map_demand_page(struct cpu *cpu, bool present) {
    const u64 index = DEMAND_ADDRESS / MIB2;
    if (!guest.nested_ept) {
        for (int i = 0; i < 2; i++) {
            u64 *directory = (u64 *)(cpu->frame[i] + FRAME_PAGE_DIRECTORY);
            directory[index] = present ? DEMAND_ADDRESS | PAGE : 0;
        }
        return;  // without VPID, the VM-entry that follows flushes L2's translations (28.3.3.1)
    }
    u64 *directory = (u64 *)(cpu->frame[0] + FRAME_EPT_DIRECTORY);
    directory[index] = present ? DEMAND_ADDRESS | EPT_PAGE : 0;
    if (!present && cpu->launched) {
        // 28.3.3.4 "Guidelines for Use of the INVEPT Instruction": an entry that was present may be cached
        const bool single = rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_INVEPT_SINGLE;
        if (!invept(single ? INVEPT_SINGLE_CONTEXT : INVEPT_ALL_CONTEXTS, cpu->eptp)) fail_vmx("INVEPT", cpu->eptp);
    }
}

void load_pdptes(void) {
    // PAE paging: bits 31:5 of CR3 are the address of the four PDPTEs (Vol. 3A, 4.4.1 "PDPTE Registers")
    const u64 *pdpt = (const u64 *)(vmread(GUEST_CR3) & 0xffffffe0);
    for (int i = 0; i < 4; i++) vmwrite(GUEST_PDPTE0 + 2 * i, pdpt[i]);
}
