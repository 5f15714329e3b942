// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Writing, where the session was set up for it: a field of vmcs02, or into what KVM keeps of vmcs12. The thread of the held
 * vCPU does it, for there the VMCS can be loaded and nobody else writes; the ioctl waits for it.
 *
 * Never host state: a VM-exit would load it into this very kernel. Never execution or exit controls: by those the processor
 * finds memory of L0's. Guest state and what an entry injects concern the guest alone.
 */
#include <linux/sched/signal.h>

#include "session.h"

/* SDM Vol. 3C appendix B: bits 11:10 of an encoding. */
enum { TYPE_CONTROL = 0, TYPE_GUEST_STATE = 2 };
enum { VMCS_LINK_POINTER = 0x2800, GUEST_PML_INDEX = 0x812 };	/* guest state by encoding, but addresses L0's memory */

static bool harmless(u32 encoding)
{
	u32 type = (encoding >> 10) & 3, even = encoding & ~1u;

	if (encoding & 0xffff9000u || even == VMCS_LINK_POINTER || even == GUEST_PML_INDEX)
		return false;
	/* VM-entry interruption information, its error code, and the length of the instruction */
	return type == TYPE_GUEST_STATE || even == 0x4016 || even == 0x4018 || even == 0x401a;
}

static bool in_setup(const struct session *s, u32 encoding)
{
	u32 i;

	for (i = 0; i < s->setup.nr_fields; i++)
		if (s->fields[i] == encoding)
			return true;
	return false;
}

int check_write(const struct session *s, const struct vmxscope_write *c)
{
	if (!(s->setup.flags & VMXSCOPE_SETUP_WRITES))
		return -EPERM;
	if (c->what == VMXSCOPE_WRITE_FIELD)
		return harmless(c->field) && in_setup(s, c->field) ? 0 : -EINVAL;
	if (c->what != VMXSCOPE_WRITE_MEM || c->mem >= s->setup.nr_mems || !(s->mems[c->mem].flags & VMXSCOPE_MEM_WRITABLE))
		return -EINVAL;
	if ((c->size != 2 && c->size != 4 && c->size != 8) || c->offset % c->size)
		return -EINVAL;
	if (c->offset > s->mems[c->mem].size || c->size > s->mems[c->mem].size - c->offset)
		return -EINVAL;
	return 0;
}

static int write_field(struct slot *slot, struct vmxscope_write *c)
{
	struct session *s = slot->session;
	const struct known_vmcs *loaded;
	bool is_vmcs02;
	unsigned long flags;
	int e = -EIO;
	u32 field;

	for (field = 0; s->fields[field] != c->field;)
		field++;
	local_irq_save(flags);
	loaded = loaded_vmcs(slot, &is_vmcs02);
	if (is_vmcs02 && is_current_vmcs(slot, loaded) &&
	    vmread_field(s, field, &c->before) == VMXSCOPE_FIELD_READ && vmwrite(c->field, c->value) &&
	    vmread_field(s, field, &c->after) == VMXSCOPE_FIELD_READ)
		e = 0;
	local_irq_restore(flags);
	return e;
}

static bool peek_bytes(unsigned long at, u32 size, u64 *value)
{
	*value = 0;
	return !copy_from_kernel_nofault(value, (void *)at, size);
}

static bool poke_bytes(unsigned long at, u32 size, u64 value)
{
	u32 value4 = value;
	u16 value2 = value;

	if (size == 8)
		__put_kernel_nofault((u64 *)at, &value, u64, fault);
	else if (size == 4)
		__put_kernel_nofault((u32 *)at, &value4, u32, fault);
	else
		__put_kernel_nofault((u16 *)at, &value2, u16, fault);
	return true;
fault:
	return false;
}

static int write_mem(struct slot *slot, struct vmxscope_write *c)
{
	unsigned long at;

	if (!follow(slot->vcpu, &slot->session->mems[c->mem].chain, NULL, &at) || !in_kernel(at))
		return -EIO;
	at += c->offset;
	return peek_bytes(at, c->size, &c->before) && poke_bytes(at, c->size, c->value) &&
	       peek_bytes(at, c->size, &c->after) ? 0 : -EIO;
}

/* In the held thread. */
void do_write(struct slot *slot, struct write_request *request)
{
	request->error = request->c.what == VMXSCOPE_WRITE_FIELD ? write_field(slot, &request->c) :
								    write_mem(slot, &request->c);
	complete(&request->done);
}

/* Under session->lock. The held thread answers at once; one that was just let go never does, and the request is taken back. */
int write_held(struct session *s, struct vmxscope_write __user *arg)
{
	struct write_request request = {};
	struct slot *slot;
	int e;

	if (copy_from_user(&request.c, arg, sizeof(request.c)))
		return -EFAULT;
	e = check_write(s, &request.c);
	if (e)
		return e;
	if (request.c.slot >= smp_load_acquire(&s->nr_slots_used))
		return -ENOENT;
	slot = &s->slots[request.c.slot];
	if (!READ_ONCE(slot->held))
		return -EAGAIN;
	init_completion(&request.done);
	smp_store_release(&slot->write, &request);
	wake_up(&slot->wait);
	if (!wait_for_completion_timeout(&request.done, HZ)) {
		if (xchg(&slot->write, NULL))
			return -EAGAIN;
		wait_for_completion(&request.done);
	}
	if (request.error)
		return request.error;
	return copy_to_user(arg, &request.c, sizeof(request.c)) ? -EFAULT : 0;
}
