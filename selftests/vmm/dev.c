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

#define COALESCED_PAGE		2
#define COALESCED_MAX		((4096 - sizeof(struct kvm_coalesced_mmio_ring)) / \
				 sizeof(struct kvm_coalesced_mmio))
/* No number is that one. */
#define STREAM_BROKEN		(~0ull)

static struct kvm_coalesced_mmio_ring *stream_ring(const struct vcpu *v)
{
	return (void *)((char *)v->run + COALESCED_PAGE * 4096);
}

unsigned int dev_stream_waiting(const struct vcpu *v)
{
	return (VMM_LOAD(stream_ring(v)->last) + COALESCED_MAX - v->dev.stream_first) %
	       COALESCED_MAX;
}

static void stream_take(struct vcpu_dev *d, __u64 val)
{
	d->stream = val == d->stream ? val + 1 : STREAM_BROKEN;
}

/*
 * What KVM has collected (coalesced MMIO) comes before the exit. Entries are given back at the
 * next exit only: until KVM_RUN this one may have to be undone, with what it took.
 */
static void dev_stream(struct vcpu *v, bool in, void *data, unsigned int size)
{
	struct kvm_coalesced_mmio_ring *ring = stream_ring(v);
	struct vcpu_dev *d = &v->dev;
	__u32 last = VMM_LOAD(ring->last);
	__u64 val = 0;

	VMM_STORE(ring->first, d->stream_first);
	for (; d->stream_first != last; d->stream_first = (d->stream_first + 1) % COALESCED_MAX) {
		memcpy(&val, ring->coalesced_mmio[d->stream_first].data, sizeof(val));
		stream_take(d, val);
	}
	if (in) {
		val = guest_answer(d->stream);
		memcpy(data, &val, size);
	} else {
		memcpy(&val, data, size);
		stream_take(d, val);
	}
}

bool dev_mmio(struct vcpu *v, __u64 addr, bool in, void *data, unsigned int size)
{
	__u64 val = 0;

	if (addr == GUEST_STREAM) {
		dev_stream(v, in, data, size);
		return true;
	}
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
