// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/vmxscope: one session per open file, one open file at a time. What the ioctls take is checked here, and in setup.c. */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "session.h"

static atomic_t opened = ATOMIC_INIT(0);

static void wake_readers(struct irq_work *work)
{
	wake_up_interruptible(&container_of(work, struct session, wake)->readers);
}

static int give_statuses(struct session *s, u64 hooks)
{
	struct vmxscope_hook __user *to = u64_to_user_ptr(hooks);
	u32 i;

	for (i = 0; i < s->setup.nr_hooks; i++)
		if (put_user(s->hooks[i].spec.status, &to[i].status))
			return -EFAULT;
	return 0;
}

/*
 * Ends all watching: vCPUs go on, no handler runs, no task work is left. The last wait is for a thread that has done
 * its last touch of the session but is still in the module's text.
 */
static void stop_watching(struct session *s)
{
	WRITE_ONCE(s->closing, true);
	let_all_go(s);
	remove_hooks(s, 0);
	let_all_go(s);
	forget_slots();
	wait_event(s->idle, !atomic_read(&s->queued));
	irq_work_sync(&s->wake);
	synchronize_rcu_tasks();
}

static int setup(struct session *s, const struct vmxscope_setup __user *arg)
{
	int e, e2;

	if (s->ready)
		return -EBUSY;
	if (copy_from_user(&s->setup, arg, sizeof(s->setup)))
		return -EFAULT;
	e = check_setup(&s->setup);
	if (e)
		return e;
	s->closing = false;
	s->default_armed = s->setup.armed;
	e = take_lists(s);
	if (!e)
		e = make_slots(s);
	if (!e)
		e = ring_init(&s->ring, s->setup.ring_bytes);
	if (!e) {
		e = place_hooks(s, s->setup.watch.sets);
		e2 = give_statuses(s, s->setup.watch.hooks);
		e = e ?: e2;
		if (e)
			stop_watching(s);
	}
	if (e)
		free_parts(s);
	else
		smp_store_release(&s->ready, true);
	return e;
}

/* vCPUs may run meanwhile: a probe that comes or goes is seen by what it is then hit by. */
static int watch(struct session *s, const struct vmxscope_watch __user *arg)
{
	struct vmxscope_watch c;
	int e, e2;
	u32 i;

	if (copy_from_user(&c, arg, sizeof(c)))
		return -EFAULT;
	remove_hooks(s, c.sets);
	WRITE_ONCE(s->setup.watch.op_first, c.op_first);
	WRITE_ONCE(s->setup.watch.op_last, c.op_last);
	WRITE_ONCE(s->setup.watch.wake_at, c.wake_at);
	WRITE_ONCE(s->setup.watch.hold_at, c.hold_at);
	for (i = 0; i < s->setup.nr_slots; i++)
		WRITE_ONCE(s->slots[i].afresh, true);
	e = place_hooks(s, c.sets);
	e2 = give_statuses(s, c.hooks);
	return e ?: e2;
}

static int capability_msrs(struct vmxscope_msrs __user *arg)
{
	struct vmxscope_msrs c = {};
	u32 i, low, high;

	for (i = 0; i < VMXSCOPE_NR_MSRS; i++) {
		if (rdmsr_safe(VMXSCOPE_FIRST_MSR + i, &low, &high))
			continue;
		c.value[i] = (u64)high << 32 | low;
		c.known |= 1u << i;
	}
	c.tsc_khz = tsc_khz;
	return copy_to_user(arg, &c, sizeof(c)) ? -EFAULT : 0;
}

static void kick(struct session *s, struct slot *slot)
{
	struct task_struct *task = NULL;
	unsigned long flags;

	raw_spin_lock_irqsave(&s->slot_lock, flags);
	if (slot->task)
		task = get_task_struct(slot->task);
	raw_spin_unlock_irqrestore(&s->slot_lock, flags);
	if (task) {
		kick_process(task);
		put_task_struct(task);
	}
}

static int run(struct session *s, const struct vmxscope_run __user *arg)
{
	u32 i, n = smp_load_acquire(&s->nr_slots_used);
	struct vmxscope_run c;

	if (copy_from_user(&c, arg, sizeof(c)))
		return -EFAULT;
	if (c.slot != VMXSCOPE_ALL_SLOTS && c.slot >= n)
		return -ENOENT;
	if (c.slot == VMXSCOPE_ALL_SLOTS)
		WRITE_ONCE(s->default_armed, c.armed);
	for (i = 0; i < n; i++) {
		struct slot *slot = &s->slots[i];

		if (c.slot != VMXSCOPE_ALL_SLOTS && c.slot != i)
			continue;
		WRITE_ONCE(slot->armed, c.armed);
		if (c.flags & VMXSCOPE_RUN_RELEASE)
			let_go(slot);
		if (c.flags & VMXSCOPE_RUN_KICK)
			kick(s, slot);
	}
	return 0;
}

static int status(struct session *s, struct vmxscope_status __user *arg)
{
	u32 i, n = smp_load_acquire(&s->nr_slots_used);
	struct vmxscope_slot_status __user *to;
	struct vmxscope_status c;

	if (copy_from_user(&c, arg, sizeof(c)))
		return -EFAULT;
	to = u64_to_user_ptr(c.slots);
	for (i = 0; i < n && i < c.nr_slots; i++) {
		struct slot *slot = &s->slots[i];
		struct vmxscope_slot_status one = {
			.state = READ_ONCE(slot->held) ? VMXSCOPE_HELD : VMXSCOPE_RUNNING,
			.lost = READ_ONCE(slot->lost),
		};
		unsigned long flags;

		raw_spin_lock_irqsave(&s->slot_lock, flags);
		one.tid = slot->task ? task_pid_nr(slot->task) : 0;
		raw_spin_unlock_irqrestore(&s->slot_lock, flags);
		if (copy_to_user(&to[i], &one, sizeof(one)))
			return -EFAULT;
	}
	c.nr_slots = n;
	c.missed = missed_hits(s);
	return copy_to_user(arg, &c, sizeof(c)) ? -EFAULT : 0;
}

static long vmxscope_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct session *s = file->private_data;
	void __user *p = (void __user *)arg;
	long e;

	mutex_lock(&s->lock);
	WRITE_ONCE(s->last_ioctl, jiffies);
	if (cmd == VMXSCOPE_IOC_SETUP)
		e = setup(s, p);
	else if (!s->ready)
		e = -ENODATA;
	else if (cmd == VMXSCOPE_IOC_RUN)
		e = run(s, p);
	else if (cmd == VMXSCOPE_IOC_STATUS)
		e = status(s, p);
	else if (cmd == VMXSCOPE_IOC_WATCH)
		e = watch(s, p);
	else if (cmd == VMXSCOPE_IOC_MSRS)
		e = capability_msrs(p);
	else if (cmd == VMXSCOPE_IOC_WRITE)
		e = write_held(s, p);
	else if (cmd == VMXSCOPE_IOC_PING)
		e = 0;
	else
		e = -ENOTTY;
	mutex_unlock(&s->lock);
	return e;
}

static int vmxscope_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct session *s = file->private_data;
	int e = -ENODATA;

	mutex_lock(&s->lock);
	if (s->ready)
		e = remap_vmalloc_range(vma, s->ring.page, vma->vm_pgoff);
	mutex_unlock(&s->lock);
	return e;
}

static __poll_t vmxscope_poll(struct file *file, poll_table *table)
{
	struct session *s = file->private_data;

	poll_wait(file, &s->readers, table);
	WRITE_ONCE(s->waking, false);
	/* `ready` never goes back, and the ring lives as long as the file. */
	return smp_load_acquire(&s->ready) && ring_used(&s->ring) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int vmxscope_open(struct inode *inode, struct file *file)
{
	struct session *s;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (atomic_cmpxchg(&opened, 0, 1))
		return -EBUSY;
	s = kvzalloc(sizeof(*s), GFP_KERNEL);
	if (!s) {
		atomic_set(&opened, 0);
		return -ENOMEM;
	}
	mutex_init(&s->lock);
	raw_spin_lock_init(&s->slot_lock);
	init_waitqueue_head(&s->idle);
	init_waitqueue_head(&s->readers);
	init_irq_work(&s->wake, wake_readers);
	s->last_ioctl = jiffies;
	file->private_data = s;
	return 0;
}

/* Also how a killed agent's session ends. Mappings keep the file, so none is left here. */
static int vmxscope_release(struct inode *inode, struct file *file)
{
	struct session *s = file->private_data;

	if (s->ready)
		stop_watching(s);
	free_parts(s);
	kvfree(s);
	atomic_set(&opened, 0);
	return 0;
}

static const struct file_operations vmxscope_fops = {
	.owner = THIS_MODULE,
	.open = vmxscope_open,
	.release = vmxscope_release,
	.unlocked_ioctl = vmxscope_ioctl,
	.mmap = vmxscope_mmap,
	.poll = vmxscope_poll,
};

static struct miscdevice vmxscope_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vmxscope",
	.fops = &vmxscope_fops,
	.mode = 0600,
};

module_misc_device(vmxscope_device);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Watches and holds nested guests at VM-entry, for vmxscope");
