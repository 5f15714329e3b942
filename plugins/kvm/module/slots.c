// SPDX-License-Identifier: GPL-2.0-or-later
/* Which of the session's vCPUs a hook is about: each has a slot from when it is first seen. */
#include <linux/sched/task.h>

#include "session.h"

static struct slot *find_slot(struct session *s, unsigned long vcpu)
{
	u32 i, n = smp_load_acquire(&s->nr_slots_used);

	for (i = 0; i < n; i++)
		if (s->slots[i].vcpu == vcpu)
			return &s->slots[i];
	return NULL;
}

/* What the thread on this processor ran when it last came by: one session is open at a time. */
DEFINE_PER_CPU(struct slot *, here);

/* When no handler runs any more. */
void forget_slots(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		per_cpu(here, cpu) = NULL;
}

/* AT_VMREAD and AT_VMWRITE have no vCPU in a register: it is the one that this thread runs. */
struct slot *slot_of_current(struct session *s)
{
	u32 i, n = smp_load_acquire(&s->nr_slots_used);
	struct slot *slot = this_cpu_read(here);

	if (likely(slot && READ_ONCE(slot->task) == current))
		return slot;
	for (i = 0; i < n; i++)
		if (READ_ONCE(s->slots[i].task) == current)
			return &s->slots[i];
	return NULL;
}

static void set_task(struct session *s, struct slot *slot)
{
	struct task_struct *old;
	unsigned long flags;

	raw_spin_lock_irqsave(&s->slot_lock, flags);
	old = slot->task;
	slot->tid = task_pid_nr(current);
	WRITE_ONCE(slot->task, get_task_struct(current));
	raw_spin_unlock_irqrestore(&s->slot_lock, flags);
	if (old)
		put_task_struct(old);
}

static struct slot *add_slot(struct session *s, unsigned long vcpu)
{
	struct slot *slot = NULL;
	unsigned long flags;

	raw_spin_lock_irqsave(&s->slot_lock, flags);
	if (s->nr_slots_used < s->setup.nr_slots) {
		slot = &s->slots[s->nr_slots_used];
		slot->vcpu = vcpu;
		slot->loaded_vmcs = vcpu + s->setup.loaded_vmcs;
		slot->vmcs02 = vcpu + s->setup.vmcs02;
		slot->armed = READ_ONCE(s->default_armed);
		smp_store_release(&s->nr_slots_used, s->nr_slots_used + 1);
	}
	raw_spin_unlock_irqrestore(&s->slot_lock, flags);
	if (!slot)
		atomic_inc(&s->no_slot);
	return slot;
}

noinline struct slot *look_for_slot(struct session *s, unsigned long vcpu)
{
	struct slot *slot;

	if (task_tgid_nr(current) != s->setup.tgid || READ_ONCE(s->closing))
		return NULL;
	slot = find_slot(s, vcpu);
	if (!slot)
		slot = add_slot(s, vcpu);
	if (slot && slot->task != current)
		set_task(s, slot);
	if (slot)
		this_cpu_write(here, slot);
	return slot;
}
