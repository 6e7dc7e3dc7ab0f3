// SPDX-License-Identifier: GPL-2.0-only
/* The VMM's devices: an echo register by port and by MMIO, a FIFO, and a tally. */
#include <string.h>
#include "vmm.h"

bool dev_pio(struct vcpu *v, __u16 port, bool in, void *data, unsigned int size)
{
	struct vcpu_dev *d = &v->dev;
	__u64 val = 0;

	if (!in)
		memcpy(&val, data, size);
	switch (port) {
	case PORT_NOP:
	case PORT_FAIL:
		break;
	case PORT_ECHO:
		if (in)
			val = guest_answer(d->latch);
		else
			d->latch = val;
		break;
	case PORT_FIFO:
		if (in)
			val = guest_answer(d->fifo[d->fifo_out++ % FIFO_LEN]);
		else
			d->fifo[d->fifo_in++ % FIFO_LEN] = (__u32)val;
		break;
	case PORT_TALLY:
		/* A read that changes something: done twice it shows. */
		val = guest_answer(in ? ++d->tally : 0);
		break;
	default:
		return false;
	}
	if (in)
		memcpy(data, &val, size);
	return true;
}

bool dev_mmio(struct vcpu *v, __u64 addr, bool in, void *data, unsigned int size)
{
	__u64 val = 0;

	if (addr != GUEST_MMIO + v->id * 64ull)
		return false;
	if (in) {
		val = guest_answer(v->dev.mmio);
		memcpy(data, &val, size);
	} else {
		memcpy(&val, data, size);
		v->dev.mmio = val;
	}
	return true;
}
