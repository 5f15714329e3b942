// SPDX-License-Identifier: GPL-2.0-or-later
/* The ring, where it is not on every record's way (that is in ring.h). */
#include <linux/mm.h>
#include <linux/processor.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "ring.h"

int ring_init(struct ring *ring, u32 bytes)
{
	ring->page = vmalloc_user(PAGE_SIZE + bytes);
	if (!ring->page)
		return -ENOMEM;
	ring->data = (u8 *)ring->page + PAGE_SIZE;
	ring->bytes = bytes;
	ring->head = 0;
	ring->free_to = 0;
	ring->writer = 0;
	return 0;
}

void ring_free(struct ring *ring)
{
	vfree(ring->page);
	ring->page = NULL;
}

/* The tail is the agent's word: an impossible one reads as "full", which harms only the agent. */
u64 ring_used(const struct ring *ring)
{
	u64 used = READ_ONCE(ring->head) - READ_ONCE(ring->page->tail);

	return used > ring->bytes ? ring->bytes : used;
}

/* Another processor writes, or an interrupted writer of this one: that one would never leave. */
noinline bool ring_wait(struct ring *ring, u32 me)
{
	u32 other = READ_ONCE(ring->writer);

	while (other != me) {
		if (!other && try_cmpxchg_acquire(&ring->writer, &other, me))
			return true;
		cpu_relax();
		other = READ_ONCE(ring->writer);
	}
	return false;
}

/* To the ring's end, where the next record would not fit: no more of it than there is may be written. */
static void pad(struct ring *ring, u32 at, u32 bytes)
{
	struct vmxscope_record r = { .size = bytes, .type = VMXSCOPE_REC_PAD };

	memcpy(ring->data + at, &r, min_t(u32, bytes, sizeof(r)));
	ring->head += bytes;
}

/* Sees what the agent has taken meanwhile, and goes on at the ring's beginning when its end is too short. */
noinline bool ring_make_room(struct ring *ring, u32 bytes)
{
	u32 at = ring->head & (ring->bytes - 1), to_end = ring->bytes - at;
	u64 free = ring->bytes - ring_used(ring);

	if (bytes > to_end) {
		if (to_end + bytes > free)
			return false;
		pad(ring, at, to_end);
		free -= to_end;
		to_end = ring->bytes;
	}
	ring->free_to = ring->head + min_t(u64, free, to_end);
	return bytes <= free;
}
