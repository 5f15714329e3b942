// SPDX-License-Identifier: GPL-2.0-or-later
/* The ring: whole records only, never overwritten, never waited for. A record that finds no room is counted. */
#include <linux/percpu.h>
#include <linux/vmalloc.h>

#include "session.h"

/*
 * This processor holds a ring's lock. A perf NMI then may read the guest's RIP by a VMREAD of KVM's that is hooked. (An
 * int3 counts as NMI, too, so in_nmi() does not tell.)
 */
static DEFINE_PER_CPU(bool, writing);

int ring_init(struct ring *ring, u32 bytes)
{
	ring->page = vmalloc_user(PAGE_SIZE + bytes);
	if (!ring->page)
		return -ENOMEM;
	ring->data = (u8 *)ring->page + PAGE_SIZE;
	ring->bytes = bytes;
	ring->head = 0;
	raw_spin_lock_init(&ring->lock);
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
	u64 used = ring->head - READ_ONCE(ring->page->tail);

	return used > ring->bytes ? ring->bytes : used;
}

/* Copies one record in, padding to the ring's end when it would wrap. Gives the bytes that are then used; 0: no room, or called from within itself. */
u64 ring_write(struct ring *ring, const struct vmxscope_record *record)
{
	unsigned long flags;
	u32 at, to_end, need = record->size;
	u64 used;

	local_irq_save(flags);
	if (__this_cpu_read(writing)) {
		local_irq_restore(flags);
		return 0;
	}
	__this_cpu_write(writing, true);
	raw_spin_lock(&ring->lock);
	at = ring->head & (ring->bytes - 1);
	to_end = ring->bytes - at;
	if (need > to_end)
		need += to_end;
	used = ring_used(ring);
	if (ring->bytes - used < need) {
		used = 0;
	} else {
		if (need != record->size) {
			struct vmxscope_record pad = { .size = to_end, .type = VMXSCOPE_REC_PAD };

			memcpy(ring->data + at, &pad, min_t(u32, to_end, sizeof(pad)));
			at = 0;
		}
		copy_words(ring->data + at, record, record->size / 8);
		ring->head += need;
		used += need;
		smp_store_release(&ring->page->head, ring->head);
	}
	raw_spin_unlock(&ring->lock);
	__this_cpu_write(writing, false);
	local_irq_restore(flags);
	return used;
}
