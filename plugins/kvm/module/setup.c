// SPDX-License-Identifier: GPL-2.0-or-later
/* What an agent asks for when it sets a session up: checked, copied in and laid out; and let go of again. */
#include <linux/log2.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "session.h"

static bool chain_ok(const struct vmxscope_chain *chain)
{
	return chain->depth >= 1 && chain->depth <= VMXSCOPE_CHAIN;
}

int check_setup(const struct vmxscope_setup *c)
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
	if (h->flags & VMXSCOPE_HOOK_CHANGES ? h->kind != VMXSCOPE_AT_ENTRY && h->kind < VMXSCOPE_AT_TRACEPOINT :
					       h->kind >= VMXSCOPE_AT_TRACEPOINT)
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
		struct mems *mems = &hook->side[level].mems;

		if (!n)
			continue;
		mems->list = kvcalloc(n, sizeof(u16), GFP_KERNEL);
		if (!mems->list)
			return -ENOMEM;
		for (i = 0; i < s->setup.nr_mems; i++)
			if (s->mems[i].groups & groups[level])
				mems->list[mems->n++] = i;
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

void free_parts(struct session *s)
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
			kvfree(s->hooks[i].side[level].mems.list);
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

int make_slots(struct session *s)
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
int take_lists(struct session *s)
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
