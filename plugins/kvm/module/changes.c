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

/*
 * Memory at an address that it shares with others (a base: the vCPU, or where pointers lead): a word of which the bytes of
 * `mask` count, or, if `words` is not 0, so many whole ones.
 */
struct piece {
	s32 offset;
	u16 word;
	u16 words;
	u64 mask;
};

/* The memory that a hook looks at, by base; of each, first the pieces of single words. */
struct look {
	u32 nr_bases;
	struct base {
		struct vmxscope_chain chain;
		u32 singles, runs;
		u32 end;			/* the furthest byte from it that is read, and the word that it is in */
	} bases[MAX_BASES];
	struct piece pieces[];
};

static bool same_base(const struct vmxscope_chain *a, const struct vmxscope_chain *b)
{
	return a->depth == b->depth && !memcmp(a->offset, b->offset, (a->depth - 1) * sizeof(a->offset[0]));
}

/* The bases of a hook's mems, each once, in the order of the first that needs it. */
static int find_bases(struct session *s, const struct mems *mems, struct look *look)
{
	u32 i, b;

	for (i = 0; i < mems->n; i++) {
		const struct vmxscope_mem *m = &s->mems[mems->list[i]];
		const struct vmxscope_chain *chain = &m->chain;
		s32 offset = chain->offset[chain->depth - 1];

		if (chain->depth > 1 && (offset < 0 || offset > VMXSCOPE_MAX_MEM_SIZE))
			return -EINVAL;
		for (b = 0; b < look->nr_bases && !same_base(&look->bases[b].chain, chain);)
			b++;
		if (b == MAX_BASES)
			return -E2BIG;
		if (b == look->nr_bases) {
			look->bases[b].chain = *chain;
			look->bases[b].chain.offset[chain->depth - 1] = 0;
			look->nr_bases++;
		}
		look->bases[b].end = max(look->bases[b].end, offset + m->size + 8);
	}
	return 0;
}

#define SHORTEST_RUN 4	/* in words: below, one by one is quicker */

/* Appends what the mem is of: a run, or single words. */
static void add_mem(struct session *s, struct look *look, struct base *base, u32 *n, u16 mem, bool runs)
{
	const struct vmxscope_mem *m = &s->mems[mem];
	u32 words = m->size / 8, run = words >= SHORTEST_RUN ? words : 0, at;
	s32 offset = m->chain.offset[m->chain.depth - 1];

	if (runs && run) {
		look->pieces[(*n)++] = (struct piece){ offset, s->mem_words[mem], run };
		base->runs++;
	}
	for (at = 8 * run; !runs && at < m->size; at += 8) {
		u32 bytes = min(m->size - at, 8u);

		look->pieces[(*n)++] = (struct piece){ offset + at, s->mem_words[mem] + at / 8, 0,
						       bytes == 8 ? ~0ull : (1ull << 8 * bytes) - 1 };
		base->singles++;
	}
}

static struct look *make_look(struct session *s, const struct mems *mems)
{
	struct look *look = kvzalloc(struct_size(look, pieces, mems->n * (SHORTEST_RUN + 1)), GFP_KERNEL);
	u32 i, b, n = 0;
	int e;

	if (!look)
		return ERR_PTR(-ENOMEM);
	e = find_bases(s, mems, look);
	if (e) {
		kvfree(look);
		return ERR_PTR(e);
	}
	for (b = 0; b < 2 * look->nr_bases; b++)
		for (i = 0; i < mems->n; i++)
			if (same_base(&look->bases[b / 2].chain, &s->mems[mems->list[i]].chain))
				add_mem(s, look, &look->bases[b / 2], &n, mems->list[i], b % 2);
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

/* A record's changes are gathered behind its header: their values, then, behind the room for these, what they are. */
#define ROOM (VMXSCOPE_MAX_CHANGES + VMXSCOPE_MAX_FIELDS)
static_assert(sizeof(struct vmxscope_record) + ROOM * (sizeof(u64) + sizeof(u16)) <= VMXSCOPE_MAX_RECORD);

static __always_inline u32 add(struct vmxscope_record *r, u32 n, u32 what, u64 value)
{
	((u64 *)(r + 1))[n] = value;
	((u16 *)((u64 *)(r + 1) + ROOM))[n] = what;
	return n + 1;
}

/* All that follow append to the record's n changes, and give how many there are then. */

/* Everything is to be told again; of fields that the processor does not have, at once that it has them not. */
static noinline u32 forget(struct session *s, struct slot *slot, struct vmxscope_record *r, u32 n)
{
	u64 *value = slot->told.all;
	u32 i;

	for (i = 0; i < told_values(s); i++)
		value[i] = s->untold;
	for_each_set_bit(i, s->unsupported, s->setup.nr_fields) {
		slot->told.fields[0][i] = slot->told.fields[1][i] = s->unreadable;
		n = add(r, n, i | VMXSCOPE_CHANGE_STATUS, VMXSCOPE_FIELD_UNSUPPORTED);
	}
	return n;
}

/* A field that VMREAD did not give: once it is known that the processor does not have it, it is not tried again. */
static noinline u32 add_refused(struct session *s, u64 *told, u32 field, struct vmxscope_record *r, u32 n)
{
	u64 value;
	u8 status = vmread_field(s, field, &value);

	if (status == VMXSCOPE_FIELD_READ) {
		*told = value;
		return add(r, n, field, value);
	}
	*told = status == VMXSCOPE_FIELD_UNSUPPORTED ? s->unreadable : s->untold;
	return add(r, n, field | VMXSCOPE_CHANGE_STATUS, status);
}

/* Of the VMCS that is_current_vmcs(), with interrupts off. */
static __always_inline u32 add_fields(struct session *s, u64 *told, const struct listed *field, u32 nr,
				      struct vmxscope_record *r, u32 n)
{
	const struct listed *end = field + nr;
	const u64 unreadable = s->unreadable;

	for (; field < end; field++) {
		u64 last = told[field->told];
		unsigned long value;

		if (last == unreadable)
			continue;
		asm volatile goto("1: vmread %[encoding], %[value]\n\t"
				   "jbe %l[refused]\n\t" _ASM_EXTABLE(1b, %l[refused])
				   : [value] "=r"(value) : [encoding] "r"((unsigned long)field->encoding) : "cc" : refused);
		if (likely(value == last))
			continue;
		told[field->told] = value;
		n = add(r, n, field->told, value);
		continue;
refused:
		n = add_refused(s, &told[field->told], field->told, r, n);
	}
	return n;
}

/* Told of the first word of a mem, for all of it. */
static noinline u32 add_unreadable(struct session *s, u64 *told, u32 word, struct vmxscope_record *r, u32 n)
{
	u32 mem = 0;

	while (s->mem_words[mem + 1] <= word)
		mem++;
	word = s->mem_words[mem];
	if (told[word] == s->unreadable)
		return n;
	told[word] = s->unreadable;
	return add(r, n, (VMXSCOPE_CHANGE_MEM + word) | VMXSCOPE_CHANGE_STATUS, VMXSCOPE_FIELD_FAULTED);
}

static __always_inline u32 add_singles(struct session *s, unsigned long base, const struct piece *p, u32 nr, u64 *told,
				       struct vmxscope_record *r, u32 n)
{
	const struct piece *end = p + nr;

	for (; p < end; p++) {
		u64 value;

		__get_kernel_nofault(&value, (u64 *)(base + p->offset), u64, fault);
		value &= p->mask;
		if (likely(value == told[p->word]))
			continue;
		told[p->word] = value;
		n = add(r, n, VMXSCOPE_CHANGE_MEM + p->word, value);
		continue;
fault:
		n = add_unreadable(s, told, p->word, r, n);
	}
	return n;
}

static __always_inline u32 add_run(struct session *s, unsigned long at, const struct piece *p, u64 *told,
				   struct vmxscope_record *r, u32 n)
{
	unsigned long left = p->words;
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
		n = add(r, n, VMXSCOPE_CHANGE_MEM + (last - 1 - told), value);
	}
	return n;
fault:
	return add_unreadable(s, told, p->word, r, n);
}

/* Where nothing can be read: of all mems at a base. */
static noinline u32 add_unreadables(struct session *s, const struct piece *p, u32 nr, u64 *told, struct vmxscope_record *r,
				    u32 n)
{
	for (; nr; nr--, p++)
		n = add_unreadable(s, told, p->word, r, n);
	return n;
}

/*
 * An address that is not the kernel's must never be touched: the fix-up is for holes in kernel memory, and under SMAP
 * a fault on a user's address is fatal whatever is fixed up.
 */
static __always_inline bool find_base(unsigned long vcpu, const struct base *b, unsigned long *base)
{
	if (b->chain.depth == 1) {
		*base = vcpu;
		return true;
	}
	return follow(vcpu, &b->chain, base) && in_kernel(*base + b->end);
}

static __always_inline u32 add_state(struct session *s, const struct look *look, unsigned long vcpu, u64 *told,
				     struct vmxscope_record *r, u32 n)
{
	const struct piece *piece = look->pieces;
	const struct base *b = look->bases, *end = b + look->nr_bases;
	u32 i;

	for (; b < end; b++) {
		unsigned long base;

		if (unlikely(!find_base(vcpu, b, &base))) {
			if (told[piece->word] != s->unreadable)
				n = add_unreadables(s, piece, b->singles + b->runs, told, r, n);
			piece += b->singles + b->runs;
			continue;
		}
		n = add_singles(s, base, piece, b->singles, told, r, n);
		piece += b->singles;
		for (i = b->runs; i; i--, piece++)
			n = add_run(s, base + piece->offset, piece, told, r, n);
	}
	return n;
}

/* In a hook's handler, interrupts off; `r` is the slot's scratch, with its header filled in. */
void add_changes(struct session *s, const struct hook *hook, struct slot *slot, bool known, phys_addr_t pa,
		 struct vmxscope_record *r)
{
	bool is_vmcs02 = r->flags & VMXSCOPE_REC_LEVEL2;
	u32 first = is_vmcs02 ? hook->spec.first_l2 : hook->spec.first_l1;
	u32 nr = is_vmcs02 ? hook->spec.nr_l2 : hook->spec.nr_l1;
	u32 n = 0;

	if (unlikely(slot->afresh)) {
		slot->afresh = false;
		n = forget(s, slot, r, n);
		r->flags |= VMXSCOPE_REC_AFRESH;
	}
	if (nr && known && is_current_vmcs(pa)) {
		r->flags |= VMXSCOPE_REC_IDENTIFIED;
		n = add_fields(s, slot->told.fields[is_vmcs02], s->listed + first, nr, r, n);
	}
	n = add_state(s, hook->look[is_vmcs02], slot->vcpu, slot->told.words, r, n);
	r->nr = n;
	copy_words((u64 *)(r + 1) + n, (u64 *)(r + 1) + ROOM, (n + 3) / 4);
	r->size = sizeof(*r) + n * sizeof(u64) + round_up(n * sizeof(u16), 8);
}
