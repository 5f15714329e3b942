// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Holding a vCPU before its next VM-entry.
 *
 * At a PRE_ENTRY hook (KVM's vcpu_enter_guest(), preemption off) a task work is queued for the current thread. KVM looks
 * for pending thread work just after that, before the VM-entry (kvm_vcpu_exit_request()), gives the entry up and runs
 * the work from xfer_to_guest_mode_handle_work(): preemptible, interrupts on, no lock held, the vCPU loaded. There the
 * thread may sleep.
 *
 * No vCPU is ever left held: the sleep ends when the agent says so, when the agent's file is closed for whatever
 * reason, when the thread is killed, and when the agent has not been heard of for watchdog_ms.
 */
#include <linux/jiffies.h>
#include <linux/sched/signal.h>

#include "session.h"

static bool watchdog_expired(struct session *s, long *left)
{
	unsigned long end = READ_ONCE(s->last_ioctl) + msecs_to_jiffies(s->setup.watchdog_ms);

	*left = end - jiffies;
	return *left <= 0;
}

/* What is asked of a held thread, if anything. */
static void write_if_asked(struct slot *slot)
{
	struct write_request *request = READ_ONCE(slot->write) ? xchg(&slot->write, NULL) : NULL;

	if (request)
		do_write(slot, request);
}

/* Sleeps until let_go(), the thread's death or the watchdog; says which. */
static enum vmxscope_released sleep_held(struct slot *slot)
{
	struct session *s = slot->session;
	long left;

	for (;;) {
		write_if_asked(slot);
		if (READ_ONCE(slot->release) || READ_ONCE(s->closing))
			return VMXSCOPE_BY_AGENT;
		if (watchdog_expired(s, &left))
			return VMXSCOPE_BY_WATCHDOG;
		if (wait_event_killable_timeout(slot->wait, READ_ONCE(slot->release) || READ_ONCE(s->closing) ||
						READ_ONCE(slot->write), left) < 0)
			return VMXSCOPE_BY_KILL;
	}
}

static void hold_work(struct callback_head *work)
{
	struct slot *slot = container_of(work, struct slot, work);
	struct session *s = slot->session;
	enum vmxscope_released by;

	/*
	 * With a signal pending KVM returns to user space first and this runs on the way there, where the VMCS may be
	 * unloaded. What was raised stays raised: the hold happens when the thread comes back to enter the guest.
	 */
	if (!signal_pending(current) && !READ_ONCE(s->closing)) {
		WRITE_ONCE(slot->release, false);
		WRITE_ONCE(slot->raised, 0);
		WRITE_ONCE(slot->armed, READ_ONCE(slot->armed) & ~VMXSCOPE_STOP_NOW);
		WRITE_ONCE(slot->held, true);
		emit_simple(slot, VMXSCOPE_REC_HELD, 0, 0, 0, 0);
		wake_up_interruptible(&s->readers);
		by = sleep_held(slot);
		if (by == VMXSCOPE_BY_WATCHDOG)
			WRITE_ONCE(slot->armed, 0);
		WRITE_ONCE(slot->held, false);
		emit_simple(slot, VMXSCOPE_REC_RELEASED, 0, by, 0, 0);
		wake_up_interruptible(&s->readers);
	}
	WRITE_ONCE(slot->queued, false);
	/* Last touch of the session. Its end waits for this, then for the text of this function to be left (main.c). */
	if (atomic_dec_and_test(&s->queued))
		wake_up(&s->idle);
}

void hold_init(struct slot *slot)
{
	init_waitqueue_head(&slot->wait);
	init_task_work(&slot->work, hold_work);
}

/* The agent asked that nothing be lost: the guest waits for it, not the ring. */
static bool ring_wants_rest(const struct session *s)
{
	u32 hold_at = READ_ONCE(s->setup.watch.hold_at);

	return hold_at && ring_used(&s->ring) > hold_at;
}

/* From a PRE_ENTRY hook, in the vCPU's own thread, preemption off. */
void hold_if_wanted(struct slot *slot)
{
	struct session *s = slot->session;
	u32 armed = READ_ONCE(slot->armed);

	if (!((armed & READ_ONCE(slot->raised)) || (armed & VMXSCOPE_STOP_NOW) || ring_wants_rest(s)))
		return;
	if (READ_ONCE(slot->queued) || READ_ONCE(s->closing))
		return;
	WRITE_ONCE(slot->queued, true);
	atomic_inc(&s->queued);
	if (task_work_add(current, &slot->work, TWA_RESUME)) {
		WRITE_ONCE(slot->queued, false);	/* the thread is exiting */
		if (atomic_dec_and_test(&s->queued))
			wake_up(&s->idle);
	}
}

void let_go(struct slot *slot)
{
	WRITE_ONCE(slot->release, true);
	wake_up(&slot->wait);
}

void let_all_go(struct session *s)
{
	u32 i, n = smp_load_acquire(&s->nr_slots_used);

	for (i = 0; i < n; i++)
		let_go(&s->slots[i]);
}
