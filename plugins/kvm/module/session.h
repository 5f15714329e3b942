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
#include <asm/special_insns.h>

#include "ring.h"

struct session;
struct sights;

/* A write on its way to the thread that is to do it. Whoever takes it out of slot->write (xchg) owns it. */
struct write_request {
	struct vmxscope_write c;
	int error;
	struct completion done;
};

struct slot {
	struct session *session;
	unsigned long vcpu;			/* struct kvm_vcpu *, 0 = free */
	unsigned long loaded_vmcs, vmcs02;	/* addresses of these members of its */
	struct task_struct *task;		/* the thread that runs it, referenced; under session->slot_lock */
	u32 index, tid;				/* of this slot, of its thread: as a record has them */
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
	bool afresh;				/* what was told no longer holds */
	bool due;				/* a HOOK_DUE fired */
	/*
	 * What the REC_CHANGES have told so far: of fields in known[].told, of memory by word. session->untold where nothing
	 * was told yet: a random number, which no value equals but by a miracle, and that one would then show as not read.
	 */
	u64 *told_words;
	void *told;				/* the memory of it all */
	struct sights **sights;			/* by side->sights */
	struct known_vmcs {			/* struct loaded_vmcs and vmcs that were found valid, of vmcs01 and vmcs02 */
		unsigned long loaded, vmcs;
		phys_addr_t pa;
		u64 *told;			/* what REC_CHANGES told of its fields, by place in setup's */
	} known[2];
	u64 current_vmcs;			/* by VMPTRST, while a handler looks */
};

struct mems {
	u16 *list;
	u32 n;
};

struct hook {
	struct session *session;
	struct vmxscope_hook spec;
	u16 index;
	bool placed;
	struct side {				/* what is looked at with vmcs02 not loaded, and with it */
		struct mems mems;		/* those of groups_l1, of groups_l2 */
		/* HOOK_CHANGES only: */
		const struct listed *fields, *fields_end;
		u32 sights;			/* which of a slot's; none without mems */
		bool due, if_due;		/* HOOK_DUE; HOOK_IF_DUE, where it is meant */
	} side[2];
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
	u64 untold, unreadable;			/* as what was told: nothing yet; that it cannot be read */
	unsigned long *unsupported;		/* fields that answered VMfailValid once: not asked again */
	struct slot *slots;
	u32 nr_sights;				/* of each slot */
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

/* What was put into the ring may be enough for those who wait for it. `used`: bytes of it. */
static __always_inline void wake_if_due(struct session *s, u64 used)
{
	/* Waking here could be in the middle of anything: irq_work does it from a clean context. */
	if (unlikely(used > READ_ONCE(s->setup.watch.wake_at)) && !READ_ONCE(s->waking)) {
		WRITE_ONCE(s->waking, true);
		irq_work_queue(&s->wake);
	}
}

/* A record that found no room. */
static __always_inline void lose(struct slot *slot)
{
	WRITE_ONCE(slot->lost, slot->lost + 1);
	slot->afresh = true;
}

/* slots.c */
DECLARE_PER_CPU(struct slot *, here);
struct slot *look_for_slot(struct session *s, unsigned long vcpu);
struct slot *slot_of_current(struct session *s);
void forget_slots(void);

/* The slot of a vCPU that the current thread runs now; NULL for another VM's. */
static __always_inline struct slot *enter_slot(struct session *s, unsigned long vcpu)
{
	struct slot *slot = this_cpu_read(here);

	if (likely(slot && slot->vcpu == vcpu && slot->task == current))
		return slot;
	return look_for_slot(s, vcpu);
}

/* vmcs.c */
bool follow(unsigned long vcpu, const struct vmxscope_chain *chain, struct sights *watching, unsigned long *address);
bool learn_vmcs(struct session *s, struct known_vmcs *known, unsigned long loaded);
u8 vmread_field(struct session *s, u32 field, u64 *value);
bool read_image(struct slot *slot, const struct known_vmcs *expected, u32 first, u32 n, u64 *values, u8 *status);

bool vmwrite(unsigned long field, u64 value);

/* write.c */
int check_write(const struct session *s, const struct vmxscope_write *c);
void do_write(struct slot *slot, struct write_request *request);
int write_held(struct session *s, struct vmxscope_write __user *arg);

/*
 * Is the current VMCS this one? Interrupts must be off from here to the last VMREAD that relies on it. (cr4_read_shadow()
 * is a call.)
 */
static __always_inline bool is_current_vmcs(struct slot *slot, const struct known_vmcs *expected)
{
	if (unlikely(!(native_read_cr4() & X86_CR4_VMXE)))
		return false;
	asm volatile goto("1: vmptrst %0\n\t" _ASM_EXTABLE(1b, %l[fault]) : "=m"(slot->current_vmcs) : : "cc" : fault);
	return slot->current_vmcs == expected->pa;
fault:
	return false;
}

/* The VMCS that KVM says is loaded for this vCPU, and whether it is vmcs02. NULL: there is none that could be found. */
static __always_inline const struct known_vmcs *loaded_vmcs(struct slot *slot, bool *is_vmcs02)
{
	struct session *s = slot->session;
	struct known_vmcs *known;
	unsigned long which;
	u64 loaded, vmcs;

	*is_vmcs02 = false;
	if (unlikely(!peek(slot->loaded_vmcs, &loaded)))
		return NULL;
	which = loaded == slot->vmcs02;
	OPTIMIZER_HIDE_VAR(which);	/* or it is worked out again at each use */
	known = &slot->known[which];
	if (unlikely(loaded != known->loaded || !peek(loaded + s->setup.vmcs_in_loaded, &vmcs) || vmcs != known->vmcs) &&
	    !learn_vmcs(s, known, loaded))
		return NULL;
	*is_vmcs02 = which;
	return known;
}

/* setup.c */
int check_setup(const struct vmxscope_setup *c);
int take_lists(struct session *s);
int make_slots(struct session *s);
void free_parts(struct session *s);

/* sights.c */
void make_sides(struct session *s, struct hook *hook);
void watch_word(struct sights *sights, unsigned long at, u64 value);
int make_told(struct session *s, struct slot *slot);
void free_told(struct session *s, struct slot *slot);

/* changes.c */
int changes_at_entry(struct kprobe *kp, struct pt_regs *regs);
void changes_at_tracepoint(void *data, unsigned long vcpu);
void changes_at_tracepoint_of_current(void *data);

/* hooks.c */
int place_hooks(struct session *s, u32 sets);
void remove_hooks(struct session *s, u32 keep_sets);
u32 missed_hits(struct session *s);
void put_regs(u64 *to, u64 first, const struct pt_regs *regs);
void emit_simple(struct slot *slot, u16 type, u32 flags, u64 arg0, u64 arg1, u16 hook);

/* hold.c */
void hold_init(struct slot *slot);
void hold_if_wanted(struct slot *slot);
void let_go(struct slot *slot);
void let_all_go(struct session *s);

#endif
