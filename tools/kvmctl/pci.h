/* SPDX-License-Identifier: GPL-2.0-only */
/* PCI devices of the host. */
#ifndef PCI_H
#define PCI_H

#include <stdbool.h>

bool pci_resets_with_bus(const char *address, bool *yes);

#endif
