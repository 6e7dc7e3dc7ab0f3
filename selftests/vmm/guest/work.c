// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests with a device that is passed through and devices of the VMM's, each on a vCPU of
 * its own: no VMM that is replaced has nothing to do.
 */
#include "guest.h"

static void beside(struct guest_cpu *c)
{
	switch (c->index % 3) {
	case 0:
		guest_timer_oneshot(c);
		break;
	case 1:
		guest_pio(c);
		break;
	default:
		guest_mmio(c);
		break;
	}
}

void guest_work_nvme(struct guest_cpu *c)
{
	if (c->index)
		beside(c);
	else
		guest_nvme(c);
}

void guest_work_rings(struct guest_cpu *c)
{
	if (!c->index)
		guest_nvme(c);
	else if (c->index == 2)
		guest_stream(c);
	else
		beside(c);
}

void guest_work_edu(struct guest_cpu *c)
{
	if (c->index)
		beside(c);
	else
		guest_edu(c);
}

void guest_work_e1000e(struct guest_cpu *c)
{
	if (c->index)
		beside(c);
	else
		guest_e1000e(c);
}
