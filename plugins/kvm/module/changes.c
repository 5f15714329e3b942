// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Records of what is new: of the fields and of the memory of a hook only what this vCPU's records have not told yet. A
 * recording of a guest that runs lives from it: a crossing changes a dozen of some hundred values.
 *
 * `told` follows what went into the ring. When a record finds no room, all of it is told again (emit() sets `afresh`).
 */
#include <linux/slab.h>

#include "session.h"

/* A record's changes while they are gathered; the kinds follow the values once their number is known. */
struct changes {
	u64 *values;
	u16 what[VMXSCOPE_MAX_CHANGES];		/* enough for any hook: check_hook() */
	u32 n;
};

static DEFINE_PER_CPU(struct changes, gathered);

static void add(struct changes *c, u32 what, u64 value)
{
	c->values[c->n] = value;
	c->what[c->n++] = what;
}

int make_told(struct session *s, struct slot *slot)
{
	u32 fields = s->setup.nr_fields, words = s->mem_words[s->setup.nr_mems];
	size_t bytes = (2 * fields + words) * (sizeof(u64) + sizeof(u8));
	u64 *values;
	u8 *status;

	slot->told_all = kvzalloc(bytes, GFP_KERNEL);
	if (!slot->told_all)
		return -ENOMEM;
	values = slot->told_all;
	status = (u8 *)(values + 2 * fields + words);
	slot->told[0] = (struct told){ values, status };
	slot->told[1] = (struct told){ values + fields, status + fields };
	slot->told_words = (struct told){ values + 2 * fields, status + 2 * fields };
	return 0;
}

static void forget(struct session *s, struct slot *slot)
{
	memset(slot->told[0].status, 0, 2 * s->setup.nr_fields + s->mem_words[s->setup.nr_mems]);
}

static void add_fields(struct session *s, struct told *told, u32 first, u32 n, struct changes *c)
{
	u32 i;

	for (i = first; i < first + n; i++) {
		u32 field = s->same_field[i];
		u64 value;
		u8 status;

		if (told->status[field] == VMXSCOPE_FIELD_UNSUPPORTED)
			continue;
		status = vmread_field(s, field, &value);
		if (value == told->value[field] && status == told->status[field])
			continue;
		told->value[field] = value;
		told->status[field] = status;
		if (status == VMXSCOPE_FIELD_READ)
			add(c, field, value);
		else
			add(c, field | VMXSCOPE_CHANGE_STATUS, status);
	}
}

/* The last word of a piece may be part of one; what follows the piece is not told. */
static u64 mask_of(u32 bytes)
{
	return bytes >= 8 ? ~0ull : (1ull << (8 * bytes)) - 1;
}

static void add_mem(struct told *told, u32 word, unsigned long from, u32 size, struct changes *c)
{
	u32 done;
	u64 value;

	for (done = 0; done < size; done += 8, word++) {
		if (!peek(from + done, &value))
			return;
		value &= mask_of(size - done);
		if (value == told->value[word] && told->status[word] == VMXSCOPE_FIELD_READ)
			continue;
		told->value[word] = value;
		told->status[word] = VMXSCOPE_FIELD_READ;
		add(c, VMXSCOPE_CHANGE_MEM + word, value);
	}
}

static void add_state(struct session *s, const u16 *list, u32 n, struct slot *slot, struct changes *c)
{
	const struct vmxscope_chain *last = NULL;
	unsigned long from = 0;
	u64 base = 0;
	u32 i;

	for (i = 0; i < n; i++) {
		const struct vmxscope_mem *m = &s->mems[list[i]];
		u32 word = s->mem_words[list[i]];
		bool ok;

		/* Neighbours often lie behind the same pointer. */
		if (m->chain.depth == 2 && last && last->offset[0] == m->chain.offset[0]) {
			ok = base;
			from = base + m->chain.offset[1];
		} else {
			ok = follow(slot->vcpu, &m->chain, &from);
			last = m->chain.depth == 2 ? &m->chain : NULL;
			base = ok ? from - m->chain.offset[1] : 0;
		}
		if (ok) {
			add_mem(&slot->told_words, word, from, m->size, c);
		} else if (slot->told_words.status[word] != VMXSCOPE_FIELD_FAULTED) {
			slot->told_words.status[word] = VMXSCOPE_FIELD_FAULTED;
			add(c, (VMXSCOPE_CHANGE_MEM + word) | VMXSCOPE_CHANGE_STATUS, VMXSCOPE_FIELD_FAULTED);
		}
	}
}

/* In a hook's handler; `r` is the slot's scratch, with its header filled in. */
void add_changes(struct session *s, const struct hook *hook, struct slot *slot, bool known, phys_addr_t pa,
		 struct vmxscope_record *r)
{
	bool is_vmcs02 = r->flags & VMXSCOPE_REC_LEVEL2;
	u32 first = is_vmcs02 ? hook->spec.first_l2 : hook->spec.first_l1;
	u32 n = is_vmcs02 ? hook->spec.nr_l2 : hook->spec.nr_l1;
	struct changes *c;
	unsigned long flags;

	/* One at a time on this processor: an interrupt's handler may hit a hook, too. */
	local_irq_save(flags);
	c = this_cpu_ptr(&gathered);
	c->values = (u64 *)(r + 1);
	c->n = 0;
	if (slot->afresh) {
		slot->afresh = false;
		forget(s, slot);
		r->flags |= VMXSCOPE_REC_AFRESH;
	}
	if (n && known && is_current_vmcs(pa)) {
		r->flags |= VMXSCOPE_REC_IDENTIFIED;
		add_fields(s, &slot->told[is_vmcs02], first, n, c);
	}
	add_state(s, hook->mems[is_vmcs02].list, hook->mems[is_vmcs02].n, slot, c);
	memcpy(c->values + c->n, c->what, c->n * sizeof(u16));
	r->nr = c->n;
	r->size = sizeof(*r) + c->n * sizeof(u64) + round_up(c->n * sizeof(u16), 8);
	local_irq_restore(flags);
}
