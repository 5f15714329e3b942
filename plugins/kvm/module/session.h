/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One session: what the agent asked for, the vCPUs seen, and the ring. */
#ifndef VMXSCOPE_SESSION_H
#define VMXSCOPE_SESSION_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <asm/asm.h>
#include <asm/tlbflush.h>

#include "vmxscope_uapi.h"

struct session;

struct ring {
	struct vmxscope_ring_page *page;	/* shared with the agent, then the data */
	u8 *data;
	u32 bytes;
	u64 head;				/* ours; the agent's copy in `page` is only written */
	raw_spinlock_t lock;
};

/*
 * What the REC_CHANGES of a vCPU have told so far: of vmcs01, vmcs02 (by place in setup's fields) and of memory (by word).
 * session->untold where nothing was told yet: a random number, which no value equals but by a miracle, and that one would
 * then show as not read.
 */
struct told {
	u64 *fields[2], *words;
	void *all;				/* the memory of the three */
};

/* A write on its way to the thread that is to do it. Whoever takes it out of slot->write (xchg) owns it. */
struct write_request {
	struct vmxscope_write c;
	int error;
	struct completion done;
};

struct slot {
	struct session *session;
	unsigned long vcpu;			/* struct kvm_vcpu *, 0 = free */
	struct task_struct *task;		/* the thread that runs it, referenced; under session->slot_lock */
	u32 index;
	u32 armed;
	u32 raised;
	bool queued;				/* its task work is queued or running */
	bool held;
	bool release;
	struct write_request *write;
	u16 op_field;				/* AT_VMREAD: the encoding, from before to after the instruction */
	u64 lost;
	struct callback_head work;
	wait_queue_head_t wait;
	void *scratch;				/* a record while it is being made; VMXSCOPE_MAX_RECORD bytes */
	bool afresh;				/* `told` no longer holds */
	struct told told;
	struct known_vmcs {			/* struct loaded_vmcs and vmcs that were found valid, of vmcs01 and vmcs02 */
		unsigned long loaded, vmcs;
		phys_addr_t pa;
	} known[2];
};

struct hook {
	struct session *session;
	struct vmxscope_hook spec;
	u16 index;
	bool placed;
	struct mems {
		u16 *list;
		u32 n;
	} mems[2];				/* those of groups_l1, of groups_l2 */
	struct look *look[2];			/* HOOK_CHANGES: how they are looked at */
	union {
		struct kprobe kp;
		struct kretprobe krp;
	};
};

/* A field of setup's: its encoding, and by which place it is told of (the first of the same encoding). */
struct listed {
	u16 encoding, told;
};

struct session {
	struct mutex lock;			/* ioctls, mmap */
	bool ready;				/* setup done: what below does not change is constant */
	bool closing;
	struct vmxscope_setup setup;		/* constant but for setup.watch */
	struct hook *hooks;
	struct kprobe **kps;			/* nr_hooks of each: what remove_hooks() removes */
	struct kretprobe **krps;
	struct vmxscope_mem *mems;
	u16 *mem_words;				/* nr_mems + 1: the first word of each, and how many there are */
	u16 *fields;
	struct listed *listed;			/* the same, with the first place of the same encoding */
	u64 untold, unreadable;			/* in struct told */
	unsigned long *unsupported;		/* fields that answered VMfailValid once: not asked again */
	struct slot *slots;
	u32 nr_slots_used;			/* grows only */
	raw_spinlock_t slot_lock;		/* adding a slot, slot->task */
	u32 default_armed;
	atomic_t no_slot;
	u32 missed_before;			/* by probes that were removed */
	unsigned long last_ioctl;		/* jiffies */
	atomic_t queued;			/* task works queued or running */
	wait_queue_head_t idle;			/* … all gone */
	struct ring ring;
	wait_queue_head_t readers;
	struct irq_work wake;
	bool waking;				/* until a reader has looked */
};

/* A kernel address, canonical: anything else could fault in ways that are not fixed up. */
static inline bool in_kernel(unsigned long address)
{
	return (long)address >> (boot_cpu_data.x86_virt_bits - 1) == -1L;
}

/* copy_from_kernel_nofault() for one word at a kernel address; the hooks read dozens at every crossing. */
static __always_inline bool peek(unsigned long address, u64 *word)
{
	__get_kernel_nofault(word, (u64 *)address, u64, fault);
	return true;
fault:
	return false;
}

/* By words: what memcpy() does byte by byte on a processor that says it is good at it, an emulated one counts as bytes. */
static inline void copy_words(void *to, const void *from, unsigned long words)
{
	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

/* ring.c */
int ring_init(struct ring *ring, u32 bytes);
void ring_free(struct ring *ring);
void emit(struct session *s, struct slot *slot, struct vmxscope_record *r);
u64 ring_used(const struct ring *ring);

/* vmcs.c */
bool follow(unsigned long vcpu, const struct vmxscope_chain *chain, unsigned long *address);
bool learn_vmcs(struct session *s, struct known_vmcs *known, unsigned long loaded);
u8 vmread_field(struct session *s, u32 field, u64 *value);
bool read_image(struct session *s, phys_addr_t expected, u32 first, u32 n, u64 *values, u8 *status);

bool vmwrite(unsigned long field, u64 value);

/* write.c */
int check_write(const struct session *s, const struct vmxscope_write *c);
void do_write(struct slot *slot, struct write_request *request);
int write_held(struct session *s, struct vmxscope_write __user *arg);

/* Is the current VMCS the one at `expected`? Interrupts must be off from here to the last VMREAD that relies on it. */
static __always_inline bool is_current_vmcs(phys_addr_t expected)
{
	u64 current_pa;

	if (!(cr4_read_shadow() & X86_CR4_VMXE))
		return false;
	asm volatile goto("1: vmptrst %0\n\t" _ASM_EXTABLE(1b, %l[fault]) : "=m"(current_pa) : : "cc" : fault);
	return current_pa == expected;
fault:
	return false;
}

/* Which VMCS KVM says is loaded for this vCPU: its physical address, and whether it is vmcs02. */
static __always_inline bool loaded_vmcs(struct session *s, struct slot *slot, phys_addr_t *pa, bool *is_vmcs02)
{
	struct known_vmcs *known;
	u64 loaded, vmcs;

	if (!peek(slot->vcpu + s->setup.loaded_vmcs, &loaded))
		return false;
	*is_vmcs02 = loaded == slot->vcpu + s->setup.vmcs02;
	known = &slot->known[*is_vmcs02];
	if (unlikely(loaded != known->loaded || !peek(loaded + s->setup.vmcs_in_loaded, &vmcs) || vmcs != known->vmcs) &&
	    !learn_vmcs(s, known, loaded))
		return false;
	*pa = known->pa;
	return true;
}

/* changes.c */
int make_told(struct session *s, struct slot *slot);
int make_looks(struct session *s, struct hook *hook);
void add_changes(struct session *s, const struct hook *hook, struct slot *slot, bool known, phys_addr_t pa,
		 struct vmxscope_record *r);

/* hooks.c */
int place_hooks(struct session *s, u32 sets);
void remove_hooks(struct session *s, u32 keep_sets);
void forget_slots(void);
u32 missed_hits(struct session *s);
void emit_simple(struct slot *slot, u16 type, u32 flags, u64 arg0, u64 arg1, u16 hook);

/* hold.c */
void hold_init(struct slot *slot);
void hold_if_wanted(struct slot *slot);
void let_go(struct slot *slot);
void let_all_go(struct session *s);

#endif
