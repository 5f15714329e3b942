/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /dev/vmxscope: what the agent tells the module, and what it gets back.
 *
 * The module knows no KVM: it is told which functions and instructions to hook,
 * which pointers to follow from a struct kvm_vcpu, and which VMCS fields to read.
 * What it sees goes into a ring that the agent maps. One open file = one session.
 */
#ifndef VMXSCOPE_UAPI_H
#define VMXSCOPE_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define VMXSCOPE_ABI 5

#define VMXSCOPE_MAX_HOOKS 4096
#define VMXSCOPE_MAX_MEMS 256
#define VMXSCOPE_MAX_FIELDS 512
#define VMXSCOPE_MAX_SLOTS 512
#define VMXSCOPE_MAX_MEM_SIZE 4096
#define VMXSCOPE_MAX_RECORD 16384
#define VMXSCOPE_MAX_CHANGES 1024	/* fields and words that one HOOK_CHANGES may look at */
#define VMXSCOPE_MAX_ONCE 16		/* mems with MEM_ONCE, of 8 bytes at most */
#define VMXSCOPE_MIN_RING (1u << 16)
#define VMXSCOPE_MAX_RING (1u << 26)
#define VMXSCOPE_CHAIN 4

/*
 * From a struct kvm_vcpu * to an address: add offset[0]; for each further offset
 * follow the pointer found there and add that offset. The last sum is the address.
 */
struct vmxscope_chain {
	__u32 depth;			/* 1..VMXSCOPE_CHAIN */
	__s32 offset[VMXSCOPE_CHAIN];
	__u32 reserved;
};

/* A piece of memory that goes into the records of the hooks that share a group bit. */
struct vmxscope_mem {
	struct vmxscope_chain chain;
	__u32 size;			/* bytes, 1..VMXSCOPE_MAX_MEM_SIZE */
	__u32 groups;			/* bit mask, matched with vmxscope_hook.groups_l1 and groups_l2 */
	__u32 flags;
	__u32 reserved;
};
#define VMXSCOPE_MEM_WRITABLE	(1u << 0)	/* VMXSCOPE_IOC_WRITE may write into it */
#define VMXSCOPE_MEM_ONCE	(1u << 1)	/* never changes: REC_CHANGES have it, of whatever groups, when they tell all afresh */

enum vmxscope_hook_kind {
	VMXSCOPE_AT_ENTRY = 0,		/* a function's first instruction; RDI is the vCPU */
	VMXSCOPE_AT_RETURN = 1,		/* the function's return; the vCPU is RDI as it was at entry */
	VMXSCOPE_AT_CALL = 2,		/* a call; RDI is the vCPU */
	VMXSCOPE_AT_VMREAD = 3,		/* a VMREAD to a register; the vCPU is the thread's */
	VMXSCOPE_AT_VMWRITE = 4,	/* a VMWRITE from a register; likewise */
	VMXSCOPE_AT_TRACEPOINT = 5,	/* HOOK_CHANGES only: `address` is a struct tracepoint *, whose first argument is the vCPU */
	VMXSCOPE_AT_TRACEPOINT_OF_CURRENT = 6, /* the same; the vCPU is the thread's */
};

#define VMXSCOPE_HOOK_IMAGE	(1u << 0)	/* read the fields of the loaded VMCS */
#define VMXSCOPE_HOOK_PRE_ENTRY	(1u << 1)	/* KVM looks at thread work after this and before the VM-entry: hold here */
#define VMXSCOPE_HOOK_OPTIONAL	(1u << 2)	/* setup goes on if it cannot be placed */
#define VMXSCOPE_HOOK_LEVEL2	(1u << 3)	/* no record unless vmcs02 is the loaded VMCS; holds all the same */
#define VMXSCOPE_HOOK_CHANGES	(1u << 4)	/* REC_CHANGES: of fields and memory, only what is new to this vCPU's REC_CHANGES */
#define VMXSCOPE_HOOK_SILENT	(1u << 5)	/* never a record: it is there to hold */
#define VMXSCOPE_HOOK_DUE	(1u << 6)	/* HOOK_CHANGES: after it the state is due … */
#define VMXSCOPE_HOOK_IF_DUE	(1u << 7)	/* … that this one, with vmcs02 not loaded, looks at only then, and once */

struct vmxscope_hook {
	__u64 address;			/* of the instruction; AT_RETURN: of the function */
	__u32 kind;			/* enum vmxscope_hook_kind */
	__u32 flags;
	__u32 groups_l1, groups_l2;	/* of mems: what goes into its records with vmcs02 not loaded, and with it */
	__u32 sets;			/* the hook is placed while one of these bits is in vmxscope_watch.sets */
	__u32 raise_l1;			/* stop classes raised when it fires with a VMCS other than vmcs02 loaded */
	__u32 raise_l2;			/* … with vmcs02 loaded */
	__u16 first_l1, nr_l1;		/* HOOK_IMAGE, HOOK_CHANGES: the part of setup's fields that is read of a VMCS other than vmcs02 */
	__u16 first_l2, nr_l2;		/* … of vmcs02 */
	__u8 field_reg, value_reg;	/* AT_VMREAD, AT_VMWRITE: register numbers of the operands, 0 = RAX … 15 = R15 */
	__u16 reserved;
	__s32 status;			/* out: 0, or the negative errno of placing it */
};

/* Stop classes are the agent's own bits; this one stops a vCPU at its next PRE_ENTRY whatever was raised. */
#define VMXSCOPE_STOP_NOW (1u << 31)

/* Which hooks are placed from now on. Those of other sets are not, and cost nothing. */
struct vmxscope_watch {
	__u64 hooks;			/* struct vmxscope_hook *: read at setup; status is written back */
	__u32 sets;
	__s32 op_first, op_last;	/* encodings, inclusive, of the accesses that AT_VMREAD and AT_VMWRITE record */
	__u32 wake_at;			/* readers are woken when so many bytes of the ring are used */
	__u32 hold_at;			/* vCPUs are held at their next PRE_ENTRY when so many are; 0 = never */
	__u32 reserved;
};

struct vmxscope_setup {
	__u32 abi;			/* VMXSCOPE_ABI */
	__u32 tgid;			/* the VMM's process; others' vCPUs are passed by */
	__u32 nr_hooks, nr_mems, nr_fields, nr_slots;
	__u64 mems;			/* struct vmxscope_mem * */
	__u64 fields;			/* __u16 *: VMCS encodings of an image, in order */
	__s32 loaded_vmcs;		/* offset of vcpu_vmx.loaded_vmcs from the vCPU */
	__s32 vmcs_in_loaded;		/* offsetof(struct loaded_vmcs, vmcs) */
	__s32 vmcs02;			/* offset of nested.vmcs02 from the vCPU */
	__u32 ring_bytes;		/* power of two */
	__u32 armed;			/* stop classes of a vCPU when it is first seen */
	__u32 watchdog_ms;		/* held vCPUs run on when no ioctl came for so long */
	__u32 flags;			/* VMXSCOPE_SETUP_* */
	__u32 reserved;
	struct vmxscope_watch watch;	/* the hooks, and which of them to begin with */
};

#define VMXSCOPE_SETUP_WRITES	(1u << 0)	/* this session may use VMXSCOPE_IOC_WRITE */

#define VMXSCOPE_ALL_SLOTS 0xffffffffu
#define VMXSCOPE_RUN_RELEASE	(1u << 0)	/* let it go if it is held */
#define VMXSCOPE_RUN_KICK	(1u << 1)	/* make it leave the guest if it is in it */

struct vmxscope_run {
	__u32 slot;			/* index, or VMXSCOPE_ALL_SLOTS (which also sets what new vCPUs get) */
	__u32 armed;			/* stop classes from now on; 0 = run on */
	__u32 flags;
	__u32 reserved;
};

enum vmxscope_slot_state { VMXSCOPE_RUNNING = 0, VMXSCOPE_HELD = 1 };

struct vmxscope_slot_status {
	__u32 tid;
	__u32 state;			/* enum vmxscope_slot_state */
	__u64 lost;			/* records of this vCPU that found the ring full */
};

struct vmxscope_status {
	__u64 slots;			/* struct vmxscope_slot_status *: room for nr_slots */
	__u32 nr_slots;			/* in: room; out: vCPUs seen */
	__u32 missed;			/* probe hits that the kernel skipped (kprobe nmissed), and vCPUs without a slot */
};

/* First page of the mapping; the ring of ring_bytes follows it. */
struct vmxscope_ring_page {
	__u64 head;			/* written by the module: bytes ever written */
	__u64 tail;			/* written by the agent: bytes ever consumed */
};

enum vmxscope_record_type {
	VMXSCOPE_REC_PAD = 0,		/* nothing: skip `size` bytes */
	VMXSCOPE_REC_HOOK = 1,
	VMXSCOPE_REC_OP = 2,		/* regs[0] = encoding, regs[1] = value */
	VMXSCOPE_REC_HELD = 3,		/* the vCPU sleeps before its next VM-entry */
	VMXSCOPE_REC_RELEASED = 4,	/* it goes on; regs[0] = enum vmxscope_released */
	VMXSCOPE_REC_CHANGES = 5,
};

enum vmxscope_released { VMXSCOPE_BY_AGENT = 0, VMXSCOPE_BY_KILL = 1, VMXSCOPE_BY_WATCHDOG = 2 };

#define VMXSCOPE_REC_LEVEL2	(1u << 0)	/* vmcs02 was the loaded VMCS */
#define VMXSCOPE_REC_IDENTIFIED	(1u << 1)	/* the current VMCS was the loaded one, so the image was read */
#define VMXSCOPE_REC_VALUE	(1u << 2)	/* REC_OP: regs[1] is valid */
#define VMXSCOPE_REC_AFRESH	(1u << 3)	/* REC_CHANGES: what this vCPU's earlier ones told no longer holds */
#define VMXSCOPE_REC_REGS	(1u << 4)	/* REC_CHANGES: its regs are told */
#define VMXSCOPE_REC_STATE	(1u << 5)	/* REC_CHANGES: the mems of its groups were looked at */

/*
 * Then, for REC_HOOK: every mem of the groups, in setup order, as a __u64 status (0 = read)
 * and its bytes rounded up to 8; then, with HOOK_IMAGE: record.nr __u64 values, then as
 * many __u8 enum vmxscope_field_status, rounded up to 8, of the fields from record.first on.
 *
 * For REC_CHANGES, whose header ends before the regs: record.nr __u64 values, then as many __u16 of what they are, rounded
 * up to 8: the index of a field of the loaded VMCS (that it is unsupported holds for both), or CHANGE_MEM + that of a word
 * (8 bytes) of all mems in setup order, each beginning with a word of its own. With CHANGE_STATUS there is no value but a
 * status instead: of the field, enum vmxscope_field_status; of the mem that begins with that word, that it cannot be read.
 * With REC_REGS (of functions, and when all is told afresh) the six regs are at the end.
 */
#define VMXSCOPE_CHANGE_MEM	0x4000u
#define VMXSCOPE_CHANGE_STATUS	0x8000u
struct vmxscope_record {
	__u32 size;			/* bytes, a multiple of 8, this header included */
	__u16 type;
	__u16 hook;			/* index in setup's hooks */
	__u32 slot;
	__u32 tid;
	__u64 tsc;
	__u64 lost;			/* records of this slot lost before this one, since setup */
	__u32 flags;
	__u16 first, nr;		/* of the image's fields; REC_CHANGES: nr changes */
	__u64 regs[6];			/* rdi rsi rdx rcx r8 rax at the hook */
};

enum vmxscope_field_status {
	VMXSCOPE_FIELD_NOT_READ = 0,
	VMXSCOPE_FIELD_READ = 1,
	VMXSCOPE_FIELD_UNSUPPORTED = 2,
	VMXSCOPE_FIELD_FAULTED = 3,
};

#define VMXSCOPE_FIRST_MSR 0x480
#define VMXSCOPE_NR_MSRS 20

/* The VMX capability MSRs of this processor, from IA32_VMX_BASIC on. */
struct vmxscope_msrs {
	__u64 value[VMXSCOPE_NR_MSRS];
	__u32 known;			/* bit i: the processor has MSR FIRST_MSR + i */
	__u32 tsc_khz;			/* of this processor's TSC, as the kernel measured it */
};

enum vmxscope_written { VMXSCOPE_WRITE_FIELD = 0, VMXSCOPE_WRITE_MEM = 1 };

/*
 * One write, done by the thread of a vCPU that is held: a guest-state field or an entry control of vmcs02, which must be
 * loaded, or 2, 4 or 8 bytes in a mem. EAGAIN: it was not held (any more). EIO: nothing was written.
 */
struct vmxscope_write {
	__u32 slot;
	__u32 what;			/* enum vmxscope_written */
	__u32 field;			/* WRITE_FIELD: the encoding, one of setup's */
	__u32 mem, offset, size;	/* WRITE_MEM: which, and of how many of its bytes; offset a multiple of size */
	__u64 value;
	__u64 before, after;		/* out: as read just before and just after */
};

#define VMXSCOPE_IOC_SETUP	_IOW('V', 0x01, struct vmxscope_setup)
#define VMXSCOPE_IOC_RUN	_IOW('V', 0x02, struct vmxscope_run)
#define VMXSCOPE_IOC_STATUS	_IOWR('V', 0x03, struct vmxscope_status)
#define VMXSCOPE_IOC_PING	_IO('V', 0x04)
#define VMXSCOPE_IOC_WATCH	_IOW('V', 0x05, struct vmxscope_watch)
#define VMXSCOPE_IOC_MSRS	_IOR('V', 0x06, struct vmxscope_msrs)
#define VMXSCOPE_IOC_WRITE	_IOWR('V', 0x07, struct vmxscope_write)

#endif
