// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Records of what is new: of the fields and of the memory of a hook only what this vCPU's records have not told yet. A
 * recording of a guest that runs lives from it: a crossing changes a dozen of some hundred values. Every instruction here
 * is one of the guest's time, hence the lists that are made once at setup.
 *
 * `told` follows what went into the ring. When a record finds no room, all of it is told again (emit() sets `afresh`).
 */
#include <linux/slab.h>

#include "session.h"

#define MAX_BASES 8

/* One word of a piece of memory: where it is from one of a few addresses, and which of its bytes are the piece's. */
struct step {
	s32 offset;
	u16 word;
	u8 base;
	u8 bytes;
};

/* The memory that a hook looks at. The bases: the vCPU, then where pointers lead. */
struct look {
	u32 nr_bases, nr_steps;
	struct vmxscope_chain bases[MAX_BASES];
	struct step steps[];
};

static const u64 mask_of[9] = { 0, 0xff, 0xffff, 0xffffff, ~0u, 0xffffffffff, 0xffffffffffff, 0xffffffffffffff, ~0ull };

/* The base that the piece's last offset is counted from; added if it is new. MAX_BASES: there is no room. */
static u32 base_of(struct look *look, const struct vmxscope_chain *chain)
{
	struct vmxscope_chain base = *chain;
	u32 i;

	base.offset[base.depth - 1] = 0;
	base.reserved = 0;
	for (i = base.depth; i < VMXSCOPE_CHAIN; i++)
		base.offset[i] = 0;
	for (i = 0; i < look->nr_bases; i++)
		if (!memcmp(&look->bases[i], &base, sizeof(base)))
			return i;
	if (i < MAX_BASES)
		look->bases[look->nr_bases++] = base;
	return i;
}

static struct look *make_look(struct session *s, const struct mems *mems)
{
	u32 i, done, words = 0;
	struct look *look;

	for (i = 0; i < mems->n; i++)
		words += round_up(s->mems[mems->list[i]].size, 8) / 8;
	look = kvzalloc(struct_size(look, steps, words), GFP_KERNEL);
	if (!look)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < mems->n; i++) {
		const struct vmxscope_mem *m = &s->mems[mems->list[i]];
		u32 base = base_of(look, &m->chain);

		if (base == MAX_BASES) {
			kvfree(look);
			return ERR_PTR(-E2BIG);
		}
		for (done = 0; done < m->size; done += 8)
			look->steps[look->nr_steps++] = (struct step){
				.offset = m->chain.offset[m->chain.depth - 1] + done,
				.word = s->mem_words[mems->list[i]] + done / 8,
				.base = base,
				.bytes = min(m->size - done, 8u),
			};
	}
	return look;
}

int make_looks(struct session *s, struct hook *hook)
{
	u32 level;

	for (level = 0; level < 2; level++) {
		struct look *look = make_look(s, &hook->mems[level]);

		if (IS_ERR(look))
			return PTR_ERR(look);
		hook->look[level] = look;
	}
	return 0;
}

static u32 told_values(const struct session *s)
{
	return 2 * s->setup.nr_fields + s->mem_words[s->setup.nr_mems];
}

int make_told(struct session *s, struct slot *slot)
{
	slot->told.all = kvcalloc(told_values(s), sizeof(u64), GFP_KERNEL);
	if (!slot->told.all)
		return -ENOMEM;
	slot->told.fields[0] = slot->told.all;
	slot->told.fields[1] = slot->told.fields[0] + s->setup.nr_fields;
	slot->told.words = slot->told.fields[1] + s->setup.nr_fields;
	slot->afresh = true;
	return 0;
}

static void forget(struct session *s, struct slot *slot)
{
	u64 *value = slot->told.all;
	u32 i;

	for (i = 0; i < told_values(s); i++)
		value[i] = s->untold;
}

/* A record's changes while they are gathered: what they are lies behind the room for their values. */
struct changes {
	u64 *values;
	u16 *what;
	u32 n;
};

static __always_inline void add(struct changes *c, u32 what, u64 value)
{
	c->values[c->n] = value;
	c->what[c->n++] = what;
}

/* A field of which nothing was told yet, or that cannot be read now: an unsupported one is not tried again. */
static noinline void add_untold(struct session *s, u64 *told, u32 field, struct changes *c)
{
	u64 value;
	u8 status = vmread_field(s, field, &value);

	if (status == VMXSCOPE_FIELD_READ) {
		*told = value;
		add(c, field, value);
	} else {
		*told = status == VMXSCOPE_FIELD_UNSUPPORTED ? s->unreadable : s->untold;
		add(c, field | VMXSCOPE_CHANGE_STATUS, status);
	}
}

/* Of the VMCS that is_current_vmcs(), with interrupts off. */
static void add_fields(struct session *s, u64 *told, u32 first, u32 n, struct changes *c)
{
	const u16 *encoding = s->fields + first, *field = s->same_field + first, *end = field + n;

	for (; field < end; field++, encoding++) {
		u64 last = told[*field];
		unsigned long value;

		if (last == s->unreadable)
			continue;
		if (unlikely(last == s->untold))
			goto untold;
		asm volatile goto("1: vmread %[encoding], %[value]\n\t"
				   "jbe %l[untold]\n\t" _ASM_EXTABLE(1b, %l[untold])
				   : [value] "=r"(value) : [encoding] "r"((unsigned long)*encoding) : "cc" : untold);
		if (value == last)
			continue;
		told[*field] = value;
		add(c, *field, value);
		continue;
untold:
		add_untold(s, &told[*field], *field, c);
	}
}

/* Told of the first word of a piece, for all of it. */
static noinline void add_unreadable(struct session *s, u64 *told, u32 word, struct changes *c)
{
	if (told[word] == s->unreadable)
		return;
	told[word] = s->unreadable;
	add(c, (VMXSCOPE_CHANGE_MEM + word) | VMXSCOPE_CHANGE_STATUS, VMXSCOPE_FIELD_FAULTED);
}

static void add_state(struct session *s, const struct look *look, unsigned long vcpu, u64 *told, struct changes *c)
{
	const struct step *step = look->steps, *end = step + look->nr_steps;
	unsigned long bases[MAX_BASES];
	u64 value;
	u32 i;

	for (i = 0; i < look->nr_bases; i++)
		if (!follow(vcpu, &look->bases[i], &bases[i]))
			bases[i] = 0;
	for (; step < end; step++) {
		unsigned long from = bases[step->base];

		if (unlikely(!from || !peek(from + step->offset, &value))) {
			add_unreadable(s, told, step->word, c);
			continue;
		}
		value &= mask_of[step->bytes];
		if (value == told[step->word])
			continue;
		told[step->word] = value;
		add(c, VMXSCOPE_CHANGE_MEM + step->word, value);
	}
}

/* In a hook's handler; `r` is the slot's scratch, with its header filled in. */
void add_changes(struct session *s, const struct hook *hook, struct slot *slot, bool known, phys_addr_t pa,
		 struct vmxscope_record *r)
{
	bool is_vmcs02 = r->flags & VMXSCOPE_REC_LEVEL2;
	u32 first = is_vmcs02 ? hook->spec.first_l2 : hook->spec.first_l1;
	u32 n = is_vmcs02 ? hook->spec.nr_l2 : hook->spec.nr_l1;
	struct changes c = { .values = (u64 *)(r + 1), .what = (u16 *)((u64 *)(r + 1) + VMXSCOPE_MAX_CHANGES) };
	unsigned long flags;

	if (unlikely(slot->afresh)) {
		slot->afresh = false;
		forget(s, slot);
		r->flags |= VMXSCOPE_REC_AFRESH;
	}
	if (n && known) {
		local_irq_save(flags);
		if (is_current_vmcs(pa)) {
			r->flags |= VMXSCOPE_REC_IDENTIFIED;
			add_fields(s, slot->told.fields[is_vmcs02], first, n, &c);
		}
		local_irq_restore(flags);
	}
	add_state(s, hook->look[is_vmcs02], slot->vcpu, slot->told.words, &c);
	r->nr = c.n;
	copy_words(c.values + c.n, c.what, (c.n + 3) / 4);
	r->size = sizeof(*r) + c.n * sizeof(u64) + round_up(c.n * sizeof(u16), 8);
}
