/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the memory that a recording's hooks look at is. */
#ifndef VMXSCOPE_SIGHTS_H
#define VMXSCOPE_SIGHTS_H

#include "session.h"

/* A word of memory that is looked at: its bytes of `mask` count. Or, in a run, so many whole ones. */
struct sight {
	unsigned long at;
	u64 mask;
	u32 word, words;
};

/* A pointer that was followed on the way to them: as long as it is the same, so are they. */
struct watched {
	unsigned long at;
	u64 value;
};

/* Where the memory that a hook looks at is, of one vCPU. */
struct sights {
	struct watched *watched, *watched_end;
	struct sight *singles, *singles_end, *runs, *runs_end;
};

u32 told_values(const struct session *s);
void lose_sight(struct sights *sights);
void forget_mems(struct sights *sights);
bool find_mem(const struct session *s, const struct slot *slot, u32 mem, struct sights *sights);

static __always_inline bool unchanged(const struct sights *sights)
{
	const struct watched *w = sights->watched, *end = sights->watched_end;

	for (; w < end; w++) {
		u64 value;

		if (unlikely(!peek(w->at, &value) || value != w->value))
			return false;
	}
	return true;
}

#endif
