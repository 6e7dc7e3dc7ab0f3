// SPDX-License-Identifier: GPL-2.0-only
/* Where the VM comes from: a session that its VMM has left, or the VMM itself. */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hold.h"

/* Who claims a session owns it: as root it would be the VMM's user's no more. */
static void check_owner(int watch)
{
	struct vfio_keepalive_info info;
	struct kvmrelay_error why;

	if (kvmrelay_session_info(watch, &info, &why))
		errx(EXIT_FAILED, "%s", why.reason);
	if (info.uid != geteuid())
		errx(EXIT_FAILED, "session %u is user %u's: start kvm-relay-hold as that user",
		     info.session, info.uid);
}

/* Until the session can be claimed, or the ticket in the file is another */
static void wait_orphan(int watch, int signals)
{
	struct pollfd p[] = {
		{ .fd = watch, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};

	while (poll(p, 2, -1) < 0)
		if (errno != EINTR)
			err(EXIT_FAILED, "waiting for the session");
	if (p[1].revents)
		exit(EXIT_STOPPED);
}

/* A VMM that has been replaced has put the next ticket there before the old one was void. */
static bool ticket_changed(const char *path, const struct kvmrelay_ticket *old)
{
	struct kvmrelay_ticket now;

	return !kvmrelay_ticket_load(path, &now, NULL) && memcmp(&now, old, sizeof(now));
}

static int claim(const struct hold_options *o, int signals)
{
	struct kvmrelay_ticket ticket;
	struct kvmrelay_error why;
	int watch, session, r;

	for (;;) {
		if (kvmrelay_ticket_load(o->ticket, &ticket, &why))
			errx(EXIT_FAILED, "%s", why.reason);
		watch = kvmrelay_session_watch(-1, &ticket, &why);
		if (watch == -ESTALE && ticket_changed(o->ticket, &ticket))
			continue;
		if (watch < 0)
			errx(EXIT_FAILED, "%s", why.reason);
		check_owner(watch);
		if (o->watch) {
			say("watching session %u", ticket.session);
			wait_orphan(watch, signals);
			r = kvmrelay_session_wait(watch, 0, &why);
			if (r == -ENOENT) {
				say("session %u was released: there is nothing to hold",
				    ticket.session);
				exit(0);
			}
			if (r == -ESTALE && ticket_changed(o->ticket, &ticket)) {
				close(watch);
				continue;
			}
			if (r)
				errx(EXIT_FAILED, "%s", why.reason);
		}
		close(watch);
		session = kvmrelay_session_open(-1, o->ticket, &why);
		if (session >= 0)
			return session;
		/* Another was first, who may end as well. */
		if (!o->watch || (session != -EBUSY && session != -ESTALE))
			errx(EXIT_FAILED, "%s", why.reason);
	}
}

/**
 * source_get - the descriptors of the VM
 * @o: what is wanted
 * @signals: descriptor that tells when this process is to end
 * @vm: the VM; it is its former process's still
 * @session: the session that keeps it, or -1
 *
 * The program ends if it does not get them.
 */
void source_get(const struct hold_options *o, int signals, struct kvmrelay_vm **vm,
		int *session)
{
	struct kvmrelay_error why;
	int r;

	if (o->ticket) {
		*session = claim(o, signals);
		r = kvmrelay_vm_take(*session, o->name, vm, &why);
	} else {
		r = kvmrelay_vm_receive(o->vmm, vm, session, &why);
	}
	if (!r)
		return;
	if (o->vmm >= 0)
		kvmrelay_report(o->vmm, r, why.reason, NULL);
	errx(EXIT_FAILED, "%s", why.reason);
}
