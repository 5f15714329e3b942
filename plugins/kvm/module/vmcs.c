// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading the machine: pointers from a vCPU, and the fields of a VMCS that is proven to be the expected one.
 * Every VMX instruction here has an exception-table fix-up (SDM Vol. 3C ch. 31: #UD outside VMX operation).
 */
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/io.h>

#include "session.h"

/* Where a chain leads from that vCPU; what was followed is watched, if `watching`. False: nowhere that could be read. */
bool follow(unsigned long vcpu, const struct vmxscope_chain *chain, struct sights *watching, unsigned long *address)
{
	unsigned long at = vcpu + chain->offset[0];
	u32 i;

	for (i = 1; i < chain->depth; i++) {
		u64 to = 0;
		bool read = peek(at, &to);

		if (watching)
			watch_word(watching, at, to);
		/* Beyond the end of the address space would be user space. */
		if (!read || !in_kernel(to) || !in_kernel(to + chain->offset[i]))
			return false;
		at = to + chain->offset[i];
	}
	*address = at;
	return true;
}

/* A struct loaded_vmcs, or what it points to, that was not seen yet. */
bool learn_vmcs(struct session *s, struct known_vmcs *known, unsigned long loaded)
{
	u64 vmcs;

	if (!in_kernel(loaded) || !peek(loaded + s->setup.vmcs_in_loaded, &vmcs) || !virt_addr_valid((void *)vmcs))
		return false;
	known->loaded = loaded;
	known->vmcs = vmcs;
	known->pa = virt_to_phys((void *)vmcs);
	return true;
}

/* VMREAD's three answers (SDM 31.2): ZF = VMfailValid (no such field), CF = VMfailInvalid (no current VMCS). */
static u8 vmread(unsigned long field, u64 *value)
{
	unsigned long v = 0;
	u8 status = VMXSCOPE_FIELD_FAULTED;

	asm volatile("1: vmread %2, %0\n\t"
		     "jc 4f\n\t"
		     "jz 3f\n\t"
		     "movb %3, %1\n\t"
		     "jmp 2f\n"
		     "3: movb %4, %1\n\t"
		     "jmp 2f\n"
		     "4: movb %5, %1\n"
		     "2:\n\t" _ASM_EXTABLE(1b, 2b)
		     : "+r"(v), "+q"(status)
		     : "r"(field), "i"(VMXSCOPE_FIELD_READ), "i"(VMXSCOPE_FIELD_UNSUPPORTED),
		       "i"(VMXSCOPE_FIELD_NOT_READ)
		     : "cc");
	*value = status == VMXSCOPE_FIELD_READ ? v : 0;
	return status;
}

/* Of the current VMCS. False: the processor refused it (SDM 31.2), and nothing was written. */
bool vmwrite(unsigned long field, u64 value)
{
	asm volatile goto("1: vmwrite %[value], %[field]\n\t"
			   "jbe %l[refused]\n\t" _ASM_EXTABLE(1b, %l[refused])
			   : : [value] "r"((unsigned long)value), [field] "r"(field) : "cc" : refused);
	return true;
refused:
	return false;
}

/*
 * One of setup's fields, of the current VMCS. A VMREAD of an unsupported one leaves 12 in the VM-instruction error field:
 * each is tried once a session.
 */
u8 vmread_field(struct session *s, u32 field, u64 *value)
{
	u8 status = VMXSCOPE_FIELD_UNSUPPORTED;

	*value = 0;
	if (!test_bit(field, s->unsupported)) {
		status = vmread(s->fields[field], value);
		if (status == VMXSCOPE_FIELD_UNSUPPORTED)
			set_bit(field, s->unsupported);
	}
	return status;
}

/*
 * Reads n fields of the expected VMCS, or none: false and NOT_READ unless it is the current one.
 * Interrupts are off throughout, so that no IPI can make another VMCS current in between.
 */
bool read_image(struct slot *slot, const struct known_vmcs *expected, u32 first, u32 n, u64 *values, u8 *status)
{
	struct session *s = slot->session;
	u32 i;
	unsigned long flags;
	bool identified;

	memset(values, 0, n * sizeof(*values));
	memset(status, VMXSCOPE_FIELD_NOT_READ, n);
	local_irq_save(flags);
	identified = is_current_vmcs(slot, expected);
	for (i = 0; identified && i < n; i++)
		status[i] = vmread_field(s, s->listed[first + i].told, &values[i]);
	local_irq_restore(flags);
	return identified;
}
