// SPDX-License-Identifier: GPL-2.0-only
/* What a passed-through device's config space says of its resets. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "pci.h"

/* The part that has the capabilities; only root can read more than its first quarter. */
struct config {
	uint8_t byte[256];
};

static uint32_t dword(const struct config *c, unsigned int at)
{
	if (at > sizeof(c->byte) - 4)
		return 0;
	return c->byte[at] | c->byte[at + 1] << 8 | c->byte[at + 2] << 16 |
	       (uint32_t)c->byte[at + 3] << 24;
}

/* Where a capability is, or 0. */
static unsigned int capability(const struct config *c, uint8_t id)
{
	unsigned int at = c->byte[PCI_CAPABILITY_LIST], n;

	if (!(c->byte[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return 0;
	for (n = 0; at >= PCI_STD_HEADER_SIZEOF && n < sizeof(c->byte) / 4; n++) {
		at &= ~3u;
		if (c->byte[at] == id)
			return at;
		at = c->byte[at + 1];
	}
	return 0;
}

static bool has_flr(const struct config *c)
{
	const uint32_t both = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;
	unsigned int at = capability(c, PCI_CAP_ID_EXP);

	if (at && dword(c, at + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR)
		return true;
	at = capability(c, PCI_CAP_ID_AF);
	return at && (dword(c, at) >> 8 * PCI_AF_CAP & both) == both;
}

/* By going to D3hot and back. */
static bool has_pm_reset(const struct config *c)
{
	unsigned int at = capability(c, PCI_CAP_ID_PM);

	return at && !(dword(c, at + PCI_PM_CTRL) & PCI_PM_CTRL_NO_SOFT_RESET);
}

/**
 * pci_resets_with_bus - would a VMM rather reset the bus than the device?
 * @address: of the device
 * @yes:	the answer: it cannot be reset by itself, or only by its power state
 *
 * Return: false when it cannot be known, and errno says why.
 */
bool pci_resets_with_bus(const char *address, bool *yes)
{
	char path[PATH_MAX];
	struct config c;
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", address);
	f = fopen(path, "re");
	if (f) {
		n = fread(c.byte, 1, sizeof(c.byte), f);
		fclose(f);
	}
	if (f && n != sizeof(c.byte))
		errno = EPERM;
	if (n != sizeof(c.byte))
		return false;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/reset", address);
	*yes = access(path, F_OK) || (!has_flr(&c) && has_pm_reset(&c));
	return true;
}
