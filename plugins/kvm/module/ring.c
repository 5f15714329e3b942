// SPDX-License-Identifier: GPL-2.0-or-later
/* The ring: whole records only, never overwritten, never waited for. A record that finds no room is counted. */
#include <linux/percpu.h>
#include <linux/vmalloc.h>
#include <asm/tsc.h>

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

static void pad(struct ring *ring, u32 at, u32 bytes)
{
	struct vmxscope_record r = { .size = bytes, .type = VMXSCOPE_REC_PAD };

	memcpy(ring->data + at, &r, min_t(u32, bytes, sizeof(r)));
}

/* Copies one record in, padding to the ring's end when it would wrap. Gives the bytes that are then used; 0: no room. */
static __always_inline u64 put(struct ring *ring, const struct vmxscope_record *record)
{
	u32 at = ring->head & (ring->bytes - 1), to_end = ring->bytes - at, need = record->size;
	u64 used = ring_used(ring);

	if (unlikely(need > to_end))
		need += to_end;
	if (unlikely(ring->bytes - used < need))
		return 0;
	if (unlikely(need != record->size)) {
		pad(ring, at, to_end);
		at = 0;
	}
	copy_words(ring->data + at, record, record->size / 8);
	ring->head += need;
	smp_store_release(&ring->page->head, ring->head);
	return used + need;
}

/* Completes the header, and puts the record into the ring or counts it as lost. Interrupts are off. */
void emit(struct session *s, struct slot *slot, struct vmxscope_record *r)
{
	u64 used = 0;

	r->slot = slot->index;
	r->tid = task_pid_nr(current);
	r->tsc = rdtsc_ordered();
	r->lost = slot->lost;
	if (!__this_cpu_read(writing)) {
		__this_cpu_write(writing, true);
		raw_spin_lock(&s->ring.lock);
		used = put(&s->ring, r);
		raw_spin_unlock(&s->ring.lock);
		__this_cpu_write(writing, false);
	}
	if (unlikely(!used)) {
		WRITE_ONCE(slot->lost, slot->lost + 1);
		slot->afresh = true;
	}
	/* Waking here could be in the middle of anything: irq_work does it from a clean context. */
	if (unlikely(used > READ_ONCE(s->setup.watch.wake_at)) && !READ_ONCE(s->waking)) {
		WRITE_ONCE(s->waking, true);
		irq_work_queue(&s->wake);
	}
}
