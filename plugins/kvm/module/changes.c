// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Records of what is new: of the fields and of the memory of a hook only what this vCPU's records have not told yet. A
 * recording of a guest that runs lives from it: a crossing changes a dozen of some hundred values. Every instruction here
 * is one of the guest's time, hence the lists (sights.c).
 *
 * What was told follows what went into the ring. When a record finds no room, all of it is told again (lose() sets `afresh`).
 */
#include <asm/tsc.h>

#include "sights.h"

/* A record's changes while they are gathered, in a slot's scratch. */
#define ROOM (VMXSCOPE_MAX_CHANGES + VMXSCOPE_MAX_FIELDS + VMXSCOPE_MAX_ONCE)
struct news {
	u64 value[ROOM];
	u16 what[ROOM];
};
static_assert(sizeof(struct vmxscope_record) + sizeof(struct news) <= VMXSCOPE_MAX_RECORD);

static __always_inline u32 add(struct news *news, u32 n, u32 what, u64 value)
{
	news->value[n] = value;
	news->what[n] = what;
	return n + 1;
}

/* All that follow append to n changes, and give how many there are then. */

/* What never changes. */
static u32 add_once(struct session *s, struct slot *slot, struct news *news, u32 n)
{
	u32 i;

	for (i = 0; i < s->setup.nr_mems; i++) {
		const struct vmxscope_mem *m = &s->mems[i];
		unsigned long at;
		u64 value = 0;

		if (!(m->flags & VMXSCOPE_MEM_ONCE) || !follow(slot->vcpu, &m->chain, NULL, &at) ||
		    copy_from_kernel_nofault(&value, (void *)at, m->size))
			continue;
		slot->told_words[s->mem_words[i]] = value;
		n = add(news, n, VMXSCOPE_CHANGE_MEM + s->mem_words[i], value);
	}
	return n;
}

/* Everything is to be told again; of fields that the processor does not have, at once that it has them not. */
static noinline u32 forget(struct session *s, struct slot *slot, struct news *news, u32 n)
{
	u64 *value = slot->told;
	u32 i;

	for (i = 0; i < told_values(s); i++)
		value[i] = s->untold;
	for (i = 0; i < s->nr_sights; i++)
		lose_sight(slot->sights[i]);
	for_each_set_bit(i, s->unsupported, s->setup.nr_fields) {
		slot->known[0].told[i] = slot->known[1].told[i] = s->unreadable;
		n = add(news, n, i | VMXSCOPE_CHANGE_STATUS, VMXSCOPE_FIELD_UNSUPPORTED);
	}
	return add_once(s, slot, news, n);
}

/* A field that VMREAD did not give: once it is known that the processor does not have it, it is not tried again. */
static noinline u32 add_refused(struct session *s, u64 *told, u32 field, struct news *news, u32 n)
{
	u64 value;
	u8 status = vmread_field(s, field, &value);

	if (status == VMXSCOPE_FIELD_READ) {
		*told = value;
		return add(news, n, field, value);
	}
	*told = status == VMXSCOPE_FIELD_UNSUPPORTED ? s->unreadable : s->untold;
	return add(news, n, field | VMXSCOPE_CHANGE_STATUS, status);
}

/* At least one, of the VMCS that is_current_vmcs(), with interrupts off. */
static __always_inline u32 add_fields(struct session *s, u64 *told, const struct side *side, struct news *news, u32 n)
{
	const struct listed *field = side->fields, *end = side->fields_end;
	const u64 unreadable = s->unreadable;

	do {
		unsigned long value;
		bool differs;

		if (unlikely(told[field->told] == unreadable))
			continue;
		asm volatile goto("1: vmread %[encoding], %[value]\n\t"
				   "jbe %l[refused]\n\t"
				   "cmp %[told], %[value]\n\t" _ASM_EXTABLE(1b, %l[refused])
				   : [value] "=&r"(value), "=@ccne"(differs)
				   : [encoding] "r"((unsigned long)field->encoding), [told] "m"(told[field->told])
				   : : refused);
		if (likely(!differs))
			continue;
		told[field->told] = value;
		n = add(news, n, field->told, value);
		continue;
refused:
		n = add_refused(s, &told[field->told], field->told, news, n);
	} while (++field < end);
	return n;
}

/* Told of the first word of a mem, for all of it: the others are told again when they can be. */
static noinline u32 add_unreadable(struct session *s, u64 *told, u32 word, struct news *news, u32 n)
{
	u32 mem = 0;

	while (s->mem_words[mem + 1] <= word)
		mem++;
	word = s->mem_words[mem];
	if (told[word] == s->unreadable)
		return n;
	n = add(news, n, (VMXSCOPE_CHANGE_MEM + word) | VMXSCOPE_CHANGE_STATUS, VMXSCOPE_FIELD_FAULTED);
	told[word] = s->unreadable;
	while (++word < s->mem_words[mem + 1])
		told[word] = s->untold;
	return n;
}

/* A pointer has changed, or all is to be told afresh. */
static noinline u32 look_anew(struct session *s, struct slot *slot, const struct mems *mems, struct sights *sights,
			      struct news *news, u32 n)
{
	u32 i;

	forget_mems(sights);
	for (i = 0; i < mems->n; i++)
		if (!find_mem(s, slot, mems->list[i], sights))
			n = add_unreadable(s, slot->told_words, s->mem_words[mems->list[i]], news, n);
	return n;
}

static __always_inline u32 add_singles(struct session *s, const struct sights *sights, u64 *told, struct news *news, u32 n)
{
	const struct sight *p = sights->singles, *end = sights->singles_end;

	for (; p < end; p++) {
		bool differs;
		u64 value;

		__get_kernel_nofault(&value, (u64 *)p->at, u64, fault);
		value &= p->mask;
		asm("cmp %[told], %[value]" : "=@ccne"(differs) : [told] "m"(told[p->word]), [value] "r"(value));
		if (likely(!differs))
			continue;
		told[p->word] = value;
		n = add(news, n, VMXSCOPE_CHANGE_MEM + p->word, value);
		continue;
fault:
		n = add_unreadable(s, told, p->word, news, n);
	}
	return n;
}

static u32 add_run(struct session *s, const struct sight *p, u64 *told, struct news *news, u32 n)
{
	unsigned long at = p->at, left = p->words;
	u64 *last = told + p->word, value;
	bool same;

	while (left) {
		asm volatile goto("1: repe cmpsq\n\t" _ASM_EXTABLE(1b, %l[fault])
				   : "+S"(at), "+D"(last), "+c"(left), "=@cce"(same) : : "memory" : fault);
		if (same)
			break;
		if (!peek(at - 8, &value))
			goto fault;
		last[-1] = value;
		n = add(news, n, VMXSCOPE_CHANGE_MEM + (last - 1 - told), value);
	}
	return n;
fault:
	return add_unreadable(s, told, p->word, news, n);
}

static noinline u32 add_runs(struct session *s, const struct sights *sights, u64 *told, struct news *news, u32 n)
{
	const struct sight *p;

	for (p = sights->runs; p < sights->runs_end; p++)
		n = add_run(s, p, told, news, n);
	return n;
}

static __always_inline u32 add_state(struct session *s, struct slot *slot, const struct side *side, struct news *news, u32 n)
{
	struct sights *sights = slot->sights[side->sights];

	if (unlikely(!unchanged(sights)))
		n = look_anew(s, slot, &side->mems, sights, news, n);
	n = add_singles(s, sights, slot->told_words, news, n);
	if (sights->runs != sights->runs_end)
		n = add_runs(s, sights, slot->told_words, news, n);
	return n;
}

/* Straight into the ring. */
static __always_inline bool put(struct session *s, struct slot *slot, const struct hook *hook, u32 flags,
				const struct pt_regs *regs, const struct news *news, u32 n)
{
	u32 whats = (n + 3) / 4, size = offsetof(struct vmxscope_record, regs) + (n + whats) * sizeof(u64);
	struct vmxscope_record *r;
	bool room;

	if (unlikely(flags & VMXSCOPE_REC_REGS))
		size += sizeof(r->regs);
	if (unlikely(!ring_enter(&s->ring)))
		return false;
	room = ring_has_room(&s->ring, size);
	if (likely(room)) {
		r = ring_place(&s->ring);
		r->size = size;
		r->type = VMXSCOPE_REC_CHANGES;
		r->hook = hook->index;
		r->slot = slot->index;
		r->tid = slot->tid;
		r->tsc = rdtsc();
		r->lost = slot->lost;
		r->flags = flags;
		r->first = 0;
		r->nr = n;
		if (n) {
			copy_words(r->regs, news->value, n);
			copy_words(r->regs + n, news->what, whats);
		}
		if (unlikely(flags & VMXSCOPE_REC_REGS))
			put_regs(r->regs + n + whats, slot->vcpu, regs);
		wake_if_due(s, ring_commit(&s->ring, size));
	}
	ring_leave(&s->ring);
	return room;
}

/* Some hooks look at memory only where another has made it worth while. */
static __always_inline bool looks_at_state(struct slot *slot, const struct side *side)
{
	if (side->due)
		slot->due = true;
	if (!side->mems.n || (side->if_due && !slot->due))
		return false;
	if (side->if_due)
		slot->due = false;
	return true;
}

/* What is new at this hook; `regs`: the registers at a function's beginning, or NULL. */
static __always_inline void tell_changes(struct hook *hook, struct slot *slot, const struct pt_regs *regs)
{
	struct session *s = slot->session;
	struct news *news = slot->scratch;
	u32 n = 0, flags = regs ? VMXSCOPE_REC_REGS : 0;
	const struct known_vmcs *loaded;
	const struct side *side;
	unsigned long irqs;
	bool is_vmcs02;

	local_irq_save(irqs);
	loaded = loaded_vmcs(slot, &is_vmcs02);
	side = &hook->side[is_vmcs02];
	OPTIMIZER_HIDE_VAR(side);	/* or it is worked out again at each use */
	flags |= is_vmcs02 ? VMXSCOPE_REC_LEVEL2 : 0;
	if (unlikely(slot->afresh)) {
		slot->afresh = false;
		slot->due = true;
		n = forget(s, slot, news, n);
		flags |= VMXSCOPE_REC_AFRESH | VMXSCOPE_REC_REGS;
	}
	if (side->fields != side->fields_end && loaded && is_current_vmcs(slot, loaded)) {
		flags |= VMXSCOPE_REC_IDENTIFIED;
		n = add_fields(s, loaded->told, side, news, n);
	}
	if (looks_at_state(slot, side)) {
		flags |= VMXSCOPE_REC_STATE;
		n = add_state(s, slot, side, news, n);
	}
	if (unlikely(!put(s, slot, hook, flags, regs, news, n)))
		lose(slot);
	local_irq_restore(irqs);
}

/* The handlers. Each has all of the above in it: at every crossing a call less. At a tracepoint preemption is off. */

int changes_at_entry(struct kprobe *kp, struct pt_regs *regs)
{
	struct hook *hook = container_of(kp, struct hook, kp);
	struct slot *slot = enter_slot(hook->session, regs->di);

	if (slot)
		tell_changes(hook, slot, regs);
	return 0;
}

/* The tracepoint's own first argument; those of other kernels may have more. */
void changes_at_tracepoint(void *data, unsigned long vcpu)
{
	struct hook *hook = data;
	struct slot *slot = enter_slot(hook->session, vcpu);

	if (slot)
		tell_changes(hook, slot, NULL);
}

void changes_at_tracepoint_of_current(void *data)
{
	struct hook *hook = data;
	struct slot *slot = slot_of_current(hook->session);

	if (slot)
		tell_changes(hook, slot, NULL);
}
