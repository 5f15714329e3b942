// Where things lie in L1's physical memory, and what L2 may ask of L1 by VMCALL. Shared by C and assembly.
//
// The image itself lies at 1 MiB. Each processor has two frames of 4 MiB, A and B, and L2 has one set of page tables in
// each, so that every processor, and every reload of CR3, shows PDPTEs one can tell apart at sight:
//
//            frame A     CR3 (PAE)   PDPTEs                       frame B     CR3 (PAE)   PDPTEs
//   CPU 0    0x0800000   0x0801000   0x0802001 … 0x0805001        0x0c00000   0x0c01000   0x0c02001 … 0x0c05001
//   CPU 1    0x1000000   0x1001000   0x1002001 … 0x1005001        0x1400000   0x1401000   0x1402001 … 0x1405001
//
// The guests need 32 MiB of memory.
#pragma once

#define FRAME_SIZE 0x400000
#define FRAME_A(cpu) (FRAME_SIZE * (2 + 2 * (cpu)))
#define FRAME_B(cpu) (FRAME_A(cpu) + FRAME_SIZE)
#define MAX_CPUS 2

// Offsets within a frame. Its first word holds the frame's own address: whoever reads it knows which frame it is in.
#define FRAME_MARKER 0x0
#define FRAME_PAE_PDPT 0x1000       // 4 entries of 8 bytes: what CR3 points to in PAE paging
#define FRAME_PAGE_DIRECTORY 0x2000  // 4 pages, one for each GiB of linear addresses
#define FRAME_32BIT_DIRECTORY 0x6000
#define FRAME_PML4 0x7000
#define FRAME_LONG_PDPT 0x8000
// Only in frame A: what L1 keeps for this processor.
#define FRAME_EPT_PML4 0x10000
#define FRAME_EPT_PDPT 0x11000
#define FRAME_EPT_DIRECTORY 0x12000
#define FRAME_VMXON 0x20000
#define FRAME_VMCS 0x21000
#define FRAME_L2_STACK_TOP 0x32000

// Linear addresses of L2. The first GiB is mapped one to one. WINDOW shows the frame whose page tables are in use,
// through the fourth PDPTE: L2 compares what it reads there with its CR3.
#define WINDOW 0xc0000000
// Touched by L2 once a round and not mapped at first: in the EPT, or in L2's own tables where there is no EPT.
#define DEMAND_ADDRESS 0x1800000

// L2's VMCALL: EAX says what it wants.
#define L2_ROUND_DONE 0      // one round of the program is over
#define L2_WRONG_TABLES 1    // EBX, read through WINDOW, is not the frame in ECX, of CR3
#define L2_TOUCH_FIELD 2     // pae-toggle: write a field that KVM does not shadow
#define L2_OWN_PG 3          // pae-toggle: from now on MOV to CR0.PG shall exit
#define L2_RELEASE_PG 4      // pae-toggle: from now on it shall not
#define L2_TURN_ON_PAE 5     // pae-toggle: turn my PAE paging on, and forget the PDPTEs
#define L2_SAW_FRAME 6       // pae-toggle: after that, I read EBX through WINDOW

// Selectors in L1's GDT (boot.S)
#define SELECTOR_CODE32 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_CODE64 0x18
#define SELECTOR_TSS 0x20

// Where the second processor starts, in real mode: the page whose number is the SIPI's vector.
#define TRAMPOLINE 0x8000

#define STACK_SIZE 0x4000
