// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest of vmm-ring: each store has a new value, so a page that was written
 * has other contents than before.
 */
#include "guest.h"

void guest_dirty(struct guest_cpu *c)
{
	__u64 pages = shared()->ws_per_cpu >> 12;
	__u64 *ws = (__u64 *)(GUEST_WS + c->index * shared()->ws_per_cpu);
	__u64 n = 0, page = 0, i;

	do {
		switch (DIRTY_OP(LOAD(shared()->bench_op), c->index)) {
		case DIRTY_RANDOM:
			page = random64(&c->count[1]) % pages;
			break;
		case DIRTY_SEQUENTIAL:
			page = page + 1 < pages ? page + 1 : 0;
			break;
		case DIRTY_SPIN:
			for (i = 0; i < 1000000; i++)
				asm volatile("" : : : "memory");
			c->count[2]++;
			continue;
		default:
			for (i = 0; i < 100; i++)
				pause();
			continue;
		}
		n++;
		STORE(ws[page * 512 + n % 512], n);
		c->count[0] = n;
	} while (step(c));
}
