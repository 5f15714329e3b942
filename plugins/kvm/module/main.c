// SPDX-License-Identifier: GPL-2.0-or-later
/* /dev/vmxscope: one session per open file, one open file at a time. What the ioctls take is checked here. */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "session.h"

static atomic_t opened = ATOMIC_INIT(0);

static bool chain_ok(const struct vmxscope_chain *chain)
{
	return chain->depth >= 1 && chain->depth <= VMXSCOPE_CHAIN;
}

static int check_setup(const struct vmxscope_setup *c)
{
	if (c->abi != VMXSCOPE_ABI)
		return -EPROTO;
	if (!c->nr_hooks || c->nr_hooks > VMXSCOPE_MAX_HOOKS || c->nr_mems > VMXSCOPE_MAX_MEMS ||
	    c->nr_fields > VMXSCOPE_MAX_FIELDS || !c->nr_slots || c->nr_slots > VMXSCOPE_MAX_SLOTS)
		return -E2BIG;
	if (!is_power_of_2(c->ring_bytes) || c->ring_bytes < VMXSCOPE_MIN_RING || c->ring_bytes > VMXSCOPE_MAX_RING)
		return -EINVAL;
	if (!c->watchdog_ms || c->flags & ~VMXSCOPE_SETUP_WRITES)
		return -EINVAL;
	return 0;
}

static int check_mems(const struct session *s)
{
	u32 i, once = 0;

	for (i = 0; i < s->setup.nr_mems; i++) {
		const struct vmxscope_mem *m = &s->mems[i];

		if (!chain_ok(&m->chain) || !m->size || m->size > VMXSCOPE_MAX_MEM_SIZE)
			return -EINVAL;
		if (m->flags & VMXSCOPE_MEM_ONCE && (m->size > sizeof(u64) || ++once > VMXSCOPE_MAX_ONCE))
			return -EINVAL;
	}
	return 0;
}

/* The mems of these groups: how many, and of how many words. */
static u32 count_mems(const struct session *s, u32 groups, u32 *words)
{
	u32 i, n = 0;

	*words = 0;
	for (i = 0; i < s->setup.nr_mems; i++) {
		if (!(s->mems[i].groups & groups))
			continue;
		*words += round_up(s->mems[i].size, 8) / 8;
		n++;
	}
	return n;
}

/* A hook's largest record must fit a slot's scratch. */
static int check_records(const struct session *s, const struct vmxscope_hook *h, u32 first, u32 n, u32 groups)
{
	u32 words, mems = count_mems(s, groups, &words);

	if (first > s->setup.nr_fields || n > s->setup.nr_fields - first)
		return -EINVAL;
	if (h->flags & VMXSCOPE_HOOK_CHANGES)
		return n + words > VMXSCOPE_MAX_CHANGES ? -E2BIG : 0;
	if (!(h->flags & VMXSCOPE_HOOK_IMAGE))
		n = 0;
	return sizeof(struct vmxscope_record) + (mems + words) * 8ull + n * 8 + round_up(n, 8) > VMXSCOPE_MAX_RECORD ?
		       -E2BIG : 0;
}

static int check_hook(const struct session *s, const struct vmxscope_hook *h)
{
	int e;

	if (h->kind > VMXSCOPE_AT_TRACEPOINT_OF_CURRENT || h->field_reg > 15 || h->value_reg > 15 || !h->address)
		return -EINVAL;
	if (h->flags & VMXSCOPE_HOOK_CHANGES && h->kind != VMXSCOPE_AT_ENTRY && h->kind < VMXSCOPE_AT_TRACEPOINT)
		return -EINVAL;
	e = check_records(s, h, h->first_l1, h->nr_l1, h->groups_l1);
	return e ?: check_records(s, h, h->first_l2, h->nr_l2, h->groups_l2);
}

/* Which mems a hook's groups are, once and not at every hit. */
static int choose_mems(const struct session *s, struct hook *hook)
{
	const u32 groups[2] = { hook->spec.groups_l1, hook->spec.groups_l2 };
	u32 i, level, words;

	for (level = 0; level < 2; level++) {
		u32 n = count_mems(s, groups[level], &words);

		if (!n)
			continue;
		hook->mems[level].list = kvcalloc(n, sizeof(u16), GFP_KERNEL);
		if (!hook->mems[level].list)
			return -ENOMEM;
		for (i = 0; i < s->setup.nr_mems; i++)
			if (s->mems[i].groups & groups[level])
				hook->mems[level].list[hook->mems[level].n++] = i;
	}
	return 0;
}

/* Where each mem's words begin, and under which place a field that is listed twice is known. */
static void lay_out(struct session *s)
{
	u32 i, j, words = 0;

	for (i = 0; i < s->setup.nr_mems; i++) {
		s->mem_words[i] = words;
		words += round_up(s->mems[i].size, 8) / 8;
	}
	s->mem_words[i] = words;
	for (i = 0; i < s->setup.nr_fields; i++) {
		for (j = 0; s->fields[j] != s->fields[i];)
			j++;
		s->listed[i] = (struct listed){ s->fields[i], j };
	}
}

static void wake_readers(struct irq_work *work)
{
	wake_up_interruptible(&container_of(work, struct session, wake)->readers);
}

static void free_parts(struct session *s)
{
	u32 i, level;

	for (i = 0; s->slots && i < s->setup.nr_slots; i++) {
		if (s->slots[i].task)
			put_task_struct(s->slots[i].task);
		kvfree(s->slots[i].scratch);
		free_told(s, &s->slots[i]);
	}
	for (i = 0; s->hooks && i < s->setup.nr_hooks; i++)
		for (level = 0; level < 2; level++)
			kvfree(s->hooks[i].mems[level].list);
	kvfree(s->slots);
	kvfree(s->hooks);
	kvfree(s->kps);
	kvfree(s->krps);
	kvfree(s->mems);
	kvfree(s->mem_words);
	kvfree(s->fields);
	kvfree(s->listed);
	bitmap_free(s->unsupported);
	ring_free(&s->ring);
	s->slots = NULL;
	s->hooks = NULL;
	s->kps = NULL;
	s->krps = NULL;
	s->mems = NULL;
	s->mem_words = NULL;
	s->fields = NULL;
	s->listed = NULL;
	s->unsupported = NULL;
}

static int make_slots(struct session *s)
{
	u32 i;

	s->slots = kvcalloc(s->setup.nr_slots, sizeof(*s->slots), GFP_KERNEL);
	if (!s->slots)
		return -ENOMEM;
	for (i = 0; i < s->setup.nr_slots; i++) {
		struct slot *slot = &s->slots[i];

		slot->session = s;
		slot->index = i;
		slot->scratch = kvzalloc(VMXSCOPE_MAX_RECORD, GFP_KERNEL);
		if (!slot->scratch || make_told(s, slot))
			return -ENOMEM;
		hold_init(slot);
	}
	return 0;
}

/* Copies in everything that the setup points at, and checks it. */
static int take_lists(struct session *s)
{
	const struct vmxscope_setup *c = &s->setup;
	struct vmxscope_hook __user *from = u64_to_user_ptr(c->watch.hooks);
	u32 i;
	int e;

	s->mems = kvcalloc(max(c->nr_mems, 1u), sizeof(*s->mems), GFP_KERNEL);
	s->mem_words = kvcalloc(c->nr_mems + 1, sizeof(*s->mem_words), GFP_KERNEL);
	s->fields = kvcalloc(max(c->nr_fields, 1u), sizeof(*s->fields), GFP_KERNEL);
	s->listed = kvcalloc(max(c->nr_fields, 1u), sizeof(*s->listed), GFP_KERNEL);
	s->hooks = kvcalloc(c->nr_hooks, sizeof(*s->hooks), GFP_KERNEL);
	s->kps = kvcalloc(c->nr_hooks, sizeof(*s->kps), GFP_KERNEL);
	s->krps = kvcalloc(c->nr_hooks, sizeof(*s->krps), GFP_KERNEL);
	s->unsupported = bitmap_zalloc(max(c->nr_fields, 1u), GFP_KERNEL);
	if (!s->mems || !s->mem_words || !s->fields || !s->listed || !s->hooks || !s->kps || !s->krps || !s->unsupported)
		return -ENOMEM;
	if (copy_from_user(s->mems, u64_to_user_ptr(c->mems), c->nr_mems * sizeof(*s->mems)) ||
	    copy_from_user(s->fields, u64_to_user_ptr(c->fields), c->nr_fields * sizeof(*s->fields)))
		return -EFAULT;
	e = check_mems(s);
	if (!e)
		lay_out(s);
	s->nr_sights = 0;
	s->untold = get_random_u64();
	s->unreadable = get_random_u64();
	for (i = 0; !e && i < c->nr_hooks; i++) {
		s->hooks[i].session = s;
		s->hooks[i].index = i;
		if (copy_from_user(&s->hooks[i].spec, &from[i], sizeof(*from)))
			return -EFAULT;
		e = check_hook(s, &s->hooks[i].spec);
		if (!e)
			e = choose_mems(s, &s->hooks[i]);
		if (!e && s->hooks[i].spec.flags & VMXSCOPE_HOOK_CHANGES)
			make_sides(s, &s->hooks[i]);
	}
	return e;
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
