/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring: whole records only, never overwritten, never waited for. Whoever writes enters it, with interrupts off, sees that
 * there is room, fills the place, commits it and leaves. A record that finds no room is its writer's to count.
 */
#ifndef VMXSCOPE_RING_H
#define VMXSCOPE_RING_H

#include <linux/atomic.h>
#include <linux/smp.h>
#include <linux/types.h>

#include "vmxscope_uapi.h"

struct ring {
	struct vmxscope_ring_page *page;	/* shared with the agent, then the data */
	u8 *data;
	u32 bytes;
	u32 writer;				/* the processor that writes, + 1; 0 = none */
	u64 head;				/* ours; the agent's copy in `page` is only written */
	u64 free_to;				/* there is room up to here, in one piece, whatever the agent has taken since */
};

int ring_init(struct ring *ring, u32 bytes);
void ring_free(struct ring *ring);
u64 ring_used(const struct ring *ring);
bool ring_wait(struct ring *ring, u32 me);
bool ring_make_room(struct ring *ring, u32 bytes);

/*
 * False: this processor is writing already. A perf NMI may read the guest's RIP by a VMREAD of KVM's that is hooked. (An int3
 * counts as NMI, too, so in_nmi() does not tell.) What is held so shortly, and by so few, needs no queue of waiters.
 */
static __always_inline bool ring_enter(struct ring *ring)
{
	u32 me = raw_smp_processor_id() + 1, nobody = 0;

	return likely(try_cmpxchg_acquire(&ring->writer, &nobody, me)) || ring_wait(ring, me);
}

static __always_inline void ring_leave(struct ring *ring)
{
	smp_store_release(&ring->writer, 0);
}

/* For a record of so many bytes, at most VMXSCOPE_MAX_RECORD, in one piece. False: it is to be counted as lost. */
static __always_inline bool ring_has_room(struct ring *ring, u32 bytes)
{
	return likely(ring->head + bytes <= ring->free_to) || ring_make_room(ring, bytes);
}

/* Where the next record goes, if there is room. */
static __always_inline void *ring_place(struct ring *ring)
{
	return ring->data + (ring->head & (ring->bytes - 1));
}

/* The record is whole. Gives the bytes that are used now. */
static __always_inline u64 ring_commit(struct ring *ring, u32 bytes)
{
	u64 head = ring->head + bytes;

	ring->head = head;
	smp_store_release(&ring->page->head, head);
	return head - READ_ONCE(ring->page->tail);
}

#endif
