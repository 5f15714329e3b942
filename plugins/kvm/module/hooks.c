// SPDX-License-Identifier: GPL-2.0-or-later
/* Placing the hooks that the agent asked for, and making a record when one fires. Handlers run with preemption off. */
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "session.h"

/* Completes the header, and puts the record into the ring or counts it as lost. Interrupts are off. */
static void emit(struct session *s, struct slot *slot, struct vmxscope_record *r)
{
	struct ring *ring = &s->ring;
	bool room = false;

	r->slot = slot->index;
	r->tid = task_pid_nr(current);
	r->tsc = rdtsc_ordered();
	r->lost = slot->lost;
	if (ring_enter(ring)) {
		room = ring_has_room(ring, r->size);
		if (likely(room)) {
			copy_words(ring_place(ring), r, r->size / 8);
			wake_if_due(s, ring_commit(ring, r->size));
		}
		ring_leave(ring);
	}
	if (unlikely(!room))
		lose(slot);
}

void emit_simple(struct slot *slot, u16 type, u32 flags, u64 arg0, u64 arg1, u16 hook)
{
	struct vmxscope_record r = {
		.size = sizeof(r), .type = type, .hook = hook, .flags = flags, .regs = { arg0, arg1 },
	};
	unsigned long irqs;

	local_irq_save(irqs);
	emit(slot->session, slot, &r);
	local_irq_restore(irqs);
}

/* One register by its number in an instruction's encoding (SDM Vol. 2 table 2-2 with REX). */
static unsigned long reg(const struct pt_regs *regs, u8 number)
{
	switch (number) {
	case 0: return regs->ax;
	case 1: return regs->cx;
	case 2: return regs->dx;
	case 3: return regs->bx;
	case 4: return regs->sp;
	case 5: return regs->bp;
	case 6: return regs->si;
	case 7: return regs->di;
	case 8: return regs->r8;
	case 9: return regs->r9;
	case 10: return regs->r10;
	case 11: return regs->r11;
	case 12: return regs->r12;
	case 13: return regs->r13;
	case 14: return regs->r14;
	default: return regs->r15;
	}
}

/* Appends the memory pieces of the hook's groups: status, bytes, padding. */
static void add_mems(struct session *s, const struct hook *hook, unsigned long vcpu, struct vmxscope_record *r)
{
	bool is_vmcs02 = r->flags & VMXSCOPE_REC_LEVEL2;
	unsigned long from;
	u32 i;

	for (i = 0; i < hook->side[is_vmcs02].mems.n; i++) {
		const struct vmxscope_mem *m = &s->mems[hook->side[is_vmcs02].mems.list[i]];
		u32 room = round_up(m->size, 8);
		u8 *to = (u8 *)r + r->size;

		memset(to, 0, 8 + room);
		if (!follow(vcpu, &m->chain, NULL, &from) || copy_from_kernel_nofault(to + 8, (void *)from, m->size)) {
			memset(to + 8, 0, room);
			*(u64 *)to = 1;
		}
		r->size += 8 + room;
	}
}

static void add_image(struct slot *slot, const struct hook *hook, const struct known_vmcs *loaded, struct vmxscope_record *r)
{
	bool is_vmcs02 = r->flags & VMXSCOPE_REC_LEVEL2;
	u32 first = is_vmcs02 ? hook->spec.first_l2 : hook->spec.first_l1;
	u32 n = is_vmcs02 ? hook->spec.nr_l2 : hook->spec.nr_l1;
	u64 *values = (u64 *)((u8 *)r + r->size);
	u8 *status = (u8 *)(values + n);

	memset(values, 0, n * 8 + round_up(n, 8));
	if (loaded && read_image(slot, loaded, first, n, values, status))
		r->flags |= VMXSCOPE_REC_IDENTIFIED;
	r->first = first;
	r->nr = n;
	r->size += n * 8 + round_up(n, 8);
}

/* As a record has them. `first`: of RDI, which is not the vCPU everywhere. */
void put_regs(u64 *to, u64 first, const struct pt_regs *regs)
{
	to[0] = first;
	to[1] = regs ? regs->si : 0;
	to[2] = regs ? regs->dx : 0;
	to[3] = regs ? regs->cx : 0;
	to[4] = regs ? regs->r8 : 0;
	to[5] = regs ? regs->ax : 0;
}

static void begin_record(struct vmxscope_record *r, struct hook *hook, const struct pt_regs *regs, bool is_vmcs02)
{
	r->size = sizeof(*r);
	r->type = VMXSCOPE_REC_HOOK;
	r->hook = hook->index;
	r->flags = is_vmcs02 ? VMXSCOPE_REC_LEVEL2 : 0;
	r->first = r->nr = 0;
	put_regs(r->regs, regs->di, regs);
}

static void record_all(struct hook *hook, struct slot *slot, const struct pt_regs *regs, const struct known_vmcs *loaded,
		       bool is_vmcs02)
{
	struct vmxscope_record *r = slot->scratch;
	unsigned long flags;

	begin_record(r, hook, regs, is_vmcs02);
	add_mems(slot->session, hook, slot->vcpu, r);
	if (hook->spec.flags & VMXSCOPE_HOOK_IMAGE)
		add_image(slot, hook, loaded, r);
	local_irq_save(flags);
	emit(slot->session, slot, r);
	local_irq_restore(flags);
}

static noinline void record_and_hold(struct hook *hook, struct slot *slot, const struct pt_regs *regs)
{
	bool is_vmcs02;
	const struct known_vmcs *loaded = loaded_vmcs(slot, &is_vmcs02);

	if ((is_vmcs02 || !(hook->spec.flags & VMXSCOPE_HOOK_LEVEL2)) && !(hook->spec.flags & VMXSCOPE_HOOK_SILENT))
		record_all(hook, slot, regs, loaded, is_vmcs02);
	WRITE_ONCE(slot->raised, slot->raised | (is_vmcs02 ? hook->spec.raise_l2 : hook->spec.raise_l1));
	if (hook->spec.flags & VMXSCOPE_HOOK_PRE_ENTRY)
		hold_if_wanted(slot);
}

static void fire(struct hook *hook, unsigned long vcpu, const struct pt_regs *regs)
{
	struct slot *slot = enter_slot(hook->session, vcpu);

	if (slot)
		record_and_hold(hook, slot, regs);
}

static int at_entry(struct kprobe *kp, struct pt_regs *regs)
{
	fire(container_of(kp, struct hook, kp), regs->di, regs);
	return 0;
}

static int return_begins(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	*(unsigned long *)ri->data = regs->di;
	return 0;
}

static int at_return(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct kretprobe *krp = get_kretprobe(ri);

	/* NULL: the probe was removed while the function ran. */
	if (krp)
		fire(container_of(krp, struct hook, krp), *(unsigned long *)ri->data, regs);
	return 0;
}

static bool wanted_op(struct session *s, unsigned long encoding)
{
	const struct vmxscope_watch *w = &s->setup.watch;

	return encoding <= 0xffff && (s32)encoding >= READ_ONCE(w->op_first) && (s32)encoding <= READ_ONCE(w->op_last);
}

/* An access seen: of vmcs02, or of vmcs01, by what KVM has loaded. */
static void emit_op(struct slot *slot, struct hook *hook, u32 flags, u64 encoding, u64 value)
{
	bool is_vmcs02;

	loaded_vmcs(slot, &is_vmcs02);
	if (is_vmcs02)
		flags |= VMXSCOPE_REC_LEVEL2;
	emit_simple(slot, VMXSCOPE_REC_OP, flags, encoding, value, hook->index);
}

static int at_vmwrite(struct kprobe *kp, struct pt_regs *regs)
{
	struct hook *hook = container_of(kp, struct hook, kp);
	unsigned long encoding = reg(regs, hook->spec.field_reg);
	struct slot *slot = slot_of_current(hook->session);

	if (slot && wanted_op(hook->session, encoding))
		emit_op(slot, hook, VMXSCOPE_REC_VALUE, encoding, reg(regs, hook->spec.value_reg));
	return 0;
}

/* The destination may be the register that holds the encoding, so the encoding is kept from before. */
static int before_vmread(struct kprobe *kp, struct pt_regs *regs)
{
	struct hook *hook = container_of(kp, struct hook, kp);
	unsigned long encoding = reg(regs, hook->spec.field_reg);
	struct slot *slot = slot_of_current(hook->session);

	if (slot)
		slot->op_field = wanted_op(hook->session, encoding) ? encoding : 0xffff;
	return 0;
}

static void after_vmread(struct kprobe *kp, struct pt_regs *regs, unsigned long flags)
{
	struct hook *hook = container_of(kp, struct hook, kp);
	struct slot *slot = slot_of_current(hook->session);
	bool read = !(regs->flags & (X86_EFLAGS_CF | X86_EFLAGS_ZF));

	if (slot && slot->op_field != 0xffff)
		emit_op(slot, hook, read ? VMXSCOPE_REC_VALUE : 0, slot->op_field, read ? reg(regs, hook->spec.value_reg) : 0);
}

/*
 * A probe with a post handler is never turned into a jump. Each of those would have kprobes' optimizer hold its mutex
 * for a grace period of all tasks, while the next of some hundred probes waits for it.
 */
static void after_vmwrite(struct kprobe *kp, struct pt_regs *regs, unsigned long flags)
{
}

static void *tracepoint_probe(const struct hook *hook)
{
	return hook->spec.kind == VMXSCOPE_AT_TRACEPOINT ? (void *)changes_at_tracepoint :
							   (void *)changes_at_tracepoint_of_current;
}

static bool at_a_tracepoint(const struct hook *hook)
{
	return hook->spec.kind >= VMXSCOPE_AT_TRACEPOINT;
}

static int place(struct hook *hook)
{
	struct vmxscope_hook *spec = &hook->spec;

	if (at_a_tracepoint(hook))
		return tracepoint_probe_register((struct tracepoint *)spec->address, tracepoint_probe(hook), hook);
	if (spec->kind == VMXSCOPE_AT_RETURN) {
		hook->krp = (struct kretprobe){
			.kp.addr = (kprobe_opcode_t *)spec->address,
			.entry_handler = return_begins,
			.handler = at_return,
			.data_size = sizeof(unsigned long),
			.maxactive = 2 * VMXSCOPE_MAX_SLOTS,
		};
		return register_kretprobe(&hook->krp);
	}
	hook->kp = (struct kprobe){ .addr = (kprobe_opcode_t *)spec->address };
	if (spec->kind == VMXSCOPE_AT_VMREAD) {
		hook->kp.pre_handler = before_vmread;
		hook->kp.post_handler = after_vmread;
	} else if (spec->kind == VMXSCOPE_AT_VMWRITE) {
		hook->kp.pre_handler = at_vmwrite;
		hook->kp.post_handler = after_vmwrite;
	} else {
		hook->kp.pre_handler = spec->flags & VMXSCOPE_HOOK_CHANGES ? changes_at_entry : at_entry;
	}
	return register_kprobe(&hook->kp);
}

/* Places the hooks of these sets; on the first that is needed and cannot be, the errno (its status says which). */
int place_hooks(struct session *s, u32 sets)
{
	u32 i;

	for (i = 0; i < s->setup.nr_hooks; i++) {
		struct hook *hook = &s->hooks[i];

		if (hook->placed || !(hook->spec.sets & sets))
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		/* Hundreds take a while; the agent, waiting for us, is not silent. */
		WRITE_ONCE(s->last_ioctl, jiffies);
		hook->spec.status = place(hook);
		hook->placed = !hook->spec.status;
		if (hook->spec.status && !(hook->spec.flags & VMXSCOPE_HOOK_OPTIONAL))
			return hook->spec.status;
	}
	return 0;
}

static u32 missed_by(const struct hook *hook)
{
	if (at_a_tracepoint(hook))
		return 0;
	if (hook->spec.kind == VMXSCOPE_AT_RETURN)
		return hook->krp.nmissed + hook->krp.kp.nmissed;
	return hook->kp.nmissed;
}

/*
 * Removes the hooks of none of these sets: no handler of theirs runs after this. In one go, as each removal would wait
 * for RCU.
 */
void remove_hooks(struct session *s, u32 keep_sets)
{
	u32 i, probes = 0, returns = 0, tracepoints = 0;

	for (i = 0; i < s->setup.nr_hooks; i++) {
		struct hook *hook = &s->hooks[i];

		if (!hook->placed || (hook->spec.sets & keep_sets))
			continue;
		s->missed_before += missed_by(hook);
		if (at_a_tracepoint(hook)) {
			tracepoint_probe_unregister((struct tracepoint *)hook->spec.address, tracepoint_probe(hook), hook);
			tracepoints++;
		} else if (hook->spec.kind == VMXSCOPE_AT_RETURN)
			s->krps[returns++] = &hook->krp;
		else
			s->kps[probes++] = &hook->kp;
		hook->placed = false;
	}
	unregister_kretprobes(s->krps, returns);
	unregister_kprobes(s->kps, probes);
	if (tracepoints)
		tracepoint_synchronize_unregister();
}

u32 missed_hits(struct session *s)
{
	u32 i, missed = atomic_read(&s->no_slot) + s->missed_before;

	for (i = 0; i < s->setup.nr_hooks; i++)
		if (s->hooks[i].placed)
			missed += missed_by(&s->hooks[i]);
	return missed;
}
