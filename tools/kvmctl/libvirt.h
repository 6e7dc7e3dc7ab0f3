/* SPDX-License-Identifier: GPL-2.0-only */
/* libvirt's domains, whose monitors its daemon holds. */
#ifndef __LIBVIRT_H
#define __LIBVIRT_H

#include <stdbool.h>
#include <stddef.h>

#include "cpr.h"
#include "qemu.h"

/**
 * struct libvirt - its daemon, while it is not there
 * @unit:	service of systemd that it is; "" for none
 * @sockets:	units that start it again, with spaces between; those that were active
 * @lock:	of the daemon; whoever has it, or a child of that, is at work
 * @guard:	unit of systemd that starts the daemon when nobody has the lock
 * @begun:	something was stopped, or may have been
 */
struct libvirt {
	char unit[32];
	char sockets[512];
	int lock;
	char guard[64];
	bool begun;
};

const char *libvirt_holds(const struct qemu *q, const char *path);
bool libvirt_has(const char *path);
const char *libvirt_loses(const struct qemu *q);
void libvirt_check(struct cpr *c);
void libvirt_hint(struct cpr *c);
bool libvirt_stop(struct libvirt *l, const char *unit, char *why, size_t size);
bool libvirt_start(struct libvirt *l, char *why, size_t size);
bool libvirt_knows(const struct libvirt *l, const struct qemu *q, const char *path,
		   char *why, size_t size);

#endif
