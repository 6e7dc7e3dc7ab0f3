// SPDX-License-Identifier: GPL-2.0-only
/* See e1000e.h. */
#include <err.h>
#include <unistd.h>
#include "e1000e.h"
#include "vfio.h"

#define CTRL_UP		0x00000040
#define CTRL_RESET	0x04000000
#define STATUS_LINK	0x00000002
#define LINK_MS		5000

void e1000e_reset(const struct device *d)
{
	unsigned int i;

	device_write32(d, E1000E_IMC, ~0u);
	device_write32(d, E1000E_CTRL, device_read32(d, E1000E_CTRL) | CTRL_RESET);
	usleep(10000);
	device_write32(d, E1000E_IMC, ~0u);
	device_write32(d, E1000E_CTRL, device_read32(d, E1000E_CTRL) | CTRL_UP);
	for (i = 0; !(device_read32(d, E1000E_STATUS) & STATUS_LINK); i++) {
		if (i == LINK_MS)
			errx(1, "no link");
		usleep(1000);
	}
}
