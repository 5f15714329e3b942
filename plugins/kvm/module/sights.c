// SPDX-License-Identifier: GPL-2.0-or-later
/* What the hooks of a recording look at, and where that is: lists that are made at setup and filled as pointers are found. */
#include <linux/slab.h>

#include "sights.h"

#define SHORTEST_RUN 4	/* in words: below, one by one is quicker */

/* How many words of a mem are one run; the others are looked at one by one. */
static u32 run_of(const struct vmxscope_mem *m)
{
	return m->size / 8 >= SHORTEST_RUN ? m->size / 8 : 0;
}

static struct sights *make_sights(const struct session *s, const struct mems *mems)
{
	u32 i, watched = 1, singles = 0, runs = 0;
	struct sights *sights;

	for (i = 0; i < mems->n; i++) {
		const struct vmxscope_mem *m = &s->mems[mems->list[i]];

		watched += m->chain.depth - 1;
		singles += DIV_ROUND_UP(m->size, 8) - run_of(m);
		runs += run_of(m) != 0;
	}
	sights = kvzalloc(sizeof(*sights) + watched * sizeof(struct watched) + (singles + runs) * sizeof(struct sight), GFP_KERNEL);
	if (!sights)
		return NULL;
	sights->watched = (struct watched *)(sights + 1);
	sights->singles = (struct sight *)(sights->watched + watched);
	sights->runs = sights->singles + singles;
	return sights;
}

/* What a hook looks at; before the slots are made. */
void make_sides(struct session *s, struct hook *hook)
{
	const struct vmxscope_hook *spec = &hook->spec;
	const u32 first[2] = { spec->first_l1, spec->first_l2 }, nr[2] = { spec->nr_l1, spec->nr_l2 };
	u32 level;

	for (level = 0; level < 2; level++) {
		struct side *side = &hook->side[level];

		side->fields = s->listed + first[level];
		side->fields_end = side->fields + nr[level];
		side->due = spec->flags & VMXSCOPE_HOOK_DUE;
		side->if_due = level == 0 && spec->flags & VMXSCOPE_HOOK_IF_DUE;
		if (side->mems.n)
			side->sights = s->nr_sights++;
	}
}

u32 told_values(const struct session *s)
{
	return 2 * s->setup.nr_fields + s->mem_words[s->setup.nr_mems];
}

static int make_all_sights(struct session *s, struct slot *slot)
{
	u32 i, level;

	slot->sights = kvcalloc(max(s->nr_sights, 1u), sizeof(*slot->sights), GFP_KERNEL);
	if (!slot->sights)
		return -ENOMEM;
	for (i = 0; i < s->setup.nr_hooks; i++) {
		for (level = 0; level < 2; level++) {
			const struct side *side = &s->hooks[i].side[level];

			if (!side->mems.n)
				continue;
			slot->sights[side->sights] = make_sights(s, &side->mems);
			if (!slot->sights[side->sights])
				return -ENOMEM;
		}
	}
	return 0;
}

int make_told(struct session *s, struct slot *slot)
{
	u64 *told = kvcalloc(told_values(s), sizeof(u64), GFP_KERNEL);

	if (!told)
		return -ENOMEM;
	slot->told = told;
	slot->known[0].told = told;
	slot->known[1].told = told + s->setup.nr_fields;
	slot->told_words = told + 2 * s->setup.nr_fields;
	slot->afresh = true;
	return make_all_sights(s, slot);
}

void free_told(struct session *s, struct slot *slot)
{
	u32 i;

	for (i = 0; slot->sights && i < s->nr_sights; i++)
		kvfree(slot->sights[i]);
	kvfree(slot->sights);
	kvfree(slot->told);
}

/* They are looked for anew: something is watched that is not as it says. */
void lose_sight(struct sights *sights)
{
	sights->watched[0] = (struct watched){ (unsigned long)sights, 0 };
	sights->watched_end = sights->watched + 1;
}

void watch_word(struct sights *sights, unsigned long at, u64 value)
{
	struct watched *w;

	for (w = sights->watched; w < sights->watched_end; w++)
		if (w->at == at)
			return;
	*sights->watched_end++ = (struct watched){ at, value };
}

static void add_sights(const struct session *s, u32 mem, unsigned long at, struct sights *sights)
{
	u32 size = s->mems[mem].size, word = s->mem_words[mem], run = run_of(&s->mems[mem]), done;

	if (run)
		*sights->runs_end++ = (struct sight){ .at = at, .word = word, .words = run };
	for (done = 8 * run; done < size; done += 8)
		*sights->singles_end++ = (struct sight){
			.at = at + done,
			.mask = size - done >= 8 ? ~0ull : (1ull << 8 * (size - done)) - 1,
			.word = word + done / 8,
		};
}

void forget_mems(struct sights *sights)
{
	sights->watched_end = sights->watched;
	sights->singles_end = sights->singles;
	sights->runs_end = sights->runs;
}

/*
 * Where a mem is now. False: it cannot be read, until something that is watched changes. An address that is not the kernel's
 * must never be touched: the fix-up is for holes in kernel memory, and under SMAP a fault on a user's address is fatal
 * whatever is fixed up.
 */
bool find_mem(const struct session *s, const struct slot *slot, u32 mem, struct sights *sights)
{
	const struct vmxscope_mem *m = &s->mems[mem];
	unsigned long at;

	if (!follow(slot->vcpu, &m->chain, sights, &at) || !in_kernel(at + round_up(m->size, 8)))
		return false;
	add_sights(s, mem, at, sights);
	return true;
}
