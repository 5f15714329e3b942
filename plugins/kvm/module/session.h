/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One session: what the agent asked for, the vCPUs seen, and the ring. */
#ifndef VMXSCOPE_SESSION_H
#define VMXSCOPE_SESSION_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/irq_work.h>
#include <linux/kprobes.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/wait.h>

#include "vmxscope_uapi.h"

struct session;

struct ring {
	struct vmxscope_ring_page *page;	/* shared with the agent, then the data */
	u8 *data;
	u32 bytes;
	u64 head;				/* ours; the agent's copy in `page` is only written */
	raw_spinlock_t lock;
};

/* What the REC_CHANGES of a vCPU have told so far of one VMCS, or of memory: by place in setup's fields, or by word. */
struct told {
	u64 *value;
	u8 *status;				/* enum vmxscope_field_status; 0 = nothing yet */
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
	u16 op_field;				/* AT_VMREAD: the encoding, from before to after the instruction */
	u64 lost;
	struct callback_head work;
	wait_queue_head_t wait;
	void *scratch;				/* a record while it is being made; VMXSCOPE_MAX_RECORD bytes */
	bool afresh;				/* `told` no longer holds */
	struct told told[2];			/* of vmcs01, of vmcs02 */
	struct told told_words;
	void *told_all;				/* the memory of the three */
	unsigned long known_vmcs[2];		/* struct vmcs * that was found valid, of vmcs01 and vmcs02 */
	phys_addr_t known_pa[2];
};

struct hook {
	struct session *session;
	struct vmxscope_hook spec;
	bool placed;
	struct {
		u16 *list;
		u32 n;
	} mems[2];				/* those of groups_l1, of groups_l2 */
	union {
		struct kprobe kp;
		struct kretprobe krp;
	};
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
	u16 *same_field;			/* the first place of the same encoding */
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

/* ring.c */
int ring_init(struct ring *ring, u32 bytes);
void ring_free(struct ring *ring);
bool ring_write(struct ring *ring, const struct vmxscope_record *record);
u64 ring_used(const struct ring *ring);

/* vmcs.c */
bool peek(unsigned long address, u64 *word);
bool follow(unsigned long vcpu, const struct vmxscope_chain *chain, unsigned long *address);
bool loaded_vmcs(struct session *s, struct slot *slot, phys_addr_t *pa, bool *is_vmcs02);
bool is_current_vmcs(phys_addr_t expected);
u8 vmread_field(struct session *s, u32 field, u64 *value);
bool read_image(struct session *s, phys_addr_t expected, u32 first, u32 n, u64 *values, u8 *status);

/* changes.c */
int make_told(struct session *s, struct slot *slot);
void add_changes(struct session *s, const struct hook *hook, struct slot *slot, bool known, phys_addr_t pa,
		 struct vmxscope_record *r);

/* hooks.c */
int place_hooks(struct session *s, u32 sets);
void remove_hooks(struct session *s, u32 keep_sets);
u32 missed_hits(struct session *s);
void emit_simple(struct slot *slot, u16 type, u32 flags, u64 arg0, u64 arg1, u16 hook);

/* hold.c */
void hold_init(struct slot *slot);
void hold_if_wanted(struct slot *slot);
void let_go(struct slot *slot);
void let_all_go(struct session *s);

#endif
