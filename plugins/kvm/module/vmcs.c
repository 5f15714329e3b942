// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading the machine: pointers from a vCPU, and the fields of a VMCS that is proven to be the expected one.
 * Every VMX instruction here has an exception-table fix-up (SDM Vol. 3C ch. 31: #UD outside VMX operation).
 */
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/io.h>
#include <asm/tlbflush.h>

#include "session.h"

static bool peek(unsigned long address, void *to, size_t size)
{
	return !copy_from_kernel_nofault(to, (const void *)address, size);
}

bool follow(unsigned long vcpu, const struct vmxscope_chain *chain, unsigned long *address)
{
	unsigned long at = vcpu + chain->offset[0];
	u32 i;

	for (i = 1; i < chain->depth; i++) {
		if (!peek(at, &at, sizeof(at)) || !at)
			return false;
		at += chain->offset[i];
	}
	*address = at;
	return true;
}

/* Which VMCS KVM says is loaded for this vCPU: its physical address, and whether it is vmcs02. */
bool loaded_vmcs(struct session *s, unsigned long vcpu, phys_addr_t *pa, bool *is_vmcs02)
{
	unsigned long at, loaded, vmcs;

	if (!follow(vcpu, &s->setup.loaded_vmcs, &at) || !peek(at, &loaded, sizeof(loaded)) || !loaded)
		return false;
	*is_vmcs02 = loaded == vcpu + s->setup.vmcs02;
	if (!peek(loaded + s->setup.vmcs_in_loaded, &vmcs, sizeof(vmcs)) || !virt_addr_valid((void *)vmcs))
		return false;
	*pa = virt_to_phys((void *)vmcs);
	return true;
}

static bool vmptrst(u64 *pa)
{
	bool ok = true;

	asm volatile("1: vmptrst %0\n\t"
		     "jmp 3f\n"
		     "2: movb $0, %1\n"
		     "3:\n\t" _ASM_EXTABLE(1b, 2b)
		     : "=m"(*pa), "+q"(ok) : : "cc", "memory");
	return ok;
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

/*
 * Reads the first n fields of the VMCS at `expected`, or none: false and NOT_READ unless it is the current one.
 * Interrupts are off throughout, so that no IPI can make another VMCS current in between.
 * A VMREAD of an unsupported field leaves 12 in the VM-instruction error field: each is tried once a session.
 */
bool read_image(struct session *s, phys_addr_t expected, u32 n, u64 *values, u8 *status)
{
	u32 i;
	unsigned long flags;
	u64 current_pa = ~0ull;
	bool identified;

	memset(values, 0, n * sizeof(*values));
	memset(status, VMXSCOPE_FIELD_NOT_READ, n);
	local_irq_save(flags);
	identified = (cr4_read_shadow() & X86_CR4_VMXE) && vmptrst(&current_pa) && current_pa == expected;
	for (i = 0; identified && i < n; i++) {
		if (test_bit(i, s->unsupported)) {
			status[i] = VMXSCOPE_FIELD_UNSUPPORTED;
			continue;
		}
		status[i] = vmread(s->fields[i], &values[i]);
		if (status[i] == VMXSCOPE_FIELD_UNSUPPORTED)
			set_bit(i, s->unsupported);
	}
	local_irq_restore(flags);
	return identified;
}
