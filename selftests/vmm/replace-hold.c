// SPDX-License-Identifier: GPL-2.0-only
/* vmm-replace: a custodian (kvm-relay-hold), which has the VM from the end of a VMM to the next. */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "replace.h"

#define TICKET		"/tmp/replace-ticket"
#define PATIENCE_MS	120000

/* Up to a line with this in it, which stays in h->line; to the end (NULL) */
static int says(struct replace_hold *h, const char *what)
{
	struct pollfd p = { .fd = h->says, .events = POLLIN };
	size_t n = 0;

	for (;;) {
		if (poll(&p, 1, PATIENCE_MS) != 1)
			return -ETIMEDOUT;
		if (read(h->says, &h->line[n], 1) != 1)
			return -EPIPE;
		if (h->line[n] != '\n') {
			n += n < sizeof(h->line) - 1;
			continue;
		}
		h->line[n] = '\0';
		h->handled += !!strstr(h->line, "a read that its VMM has handled");
		if (what && strstr(h->line, what))
			return 0;
		n = 0;
	}
}

int replace_hold_start(struct replace_hold *h, const struct ticket *t, bool watch)
{
	struct kvmrelay_ticket ticket = { .session = t->id };
	int out[2];

	memcpy(ticket.token, t->token, sizeof(ticket.token));
	if (kvmrelay_ticket_save(TICKET, &ticket, NULL) || pipe(out))
		return -EIO;
	fflush(NULL);
	h->pid = fork();
	if (h->pid < 0)
		err(1, "fork");
	if (!h->pid) {
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		close(out[1]);
		execlp("kvm-relay-hold", "kvm-relay-hold", "-t", TICKET, "-s",
		       REPLACE_HOLD_SOCKET, "-d", "5000000", "--timeout=60000",
		       watch ? "-w" : NULL, NULL);
		err(1, "kvm-relay-hold");
	}
	close(out[1]);
	h->says = out[0];
	return watch ? says(h, "watching session") : 0;
}

int replace_hold_adopted(struct replace_hold *h, struct ticket *t)
{
	struct kvmrelay_ticket ticket;
	unsigned long long us;
	const char *at;
	int r = says(h, "adopted on");

	at = r ? NULL : strstr(h->line, "stopped for ");
	if (!at || sscanf(at, "stopped for %llu", &us) != 1)
		return r ?: -EPROTO;
	h->downtime_us = us;
	r = kvmrelay_ticket_load(TICKET, &ticket, NULL);
	if (r)
		return r;
	t->id = ticket.session;
	memcpy(t->token, ticket.token, sizeof(t->token));
	return 0;
}

int replace_hold_end(struct replace_hold *h, bool given)
{
	int status = -1;

	if (!h->pid)
		return -1;
	if (!given)
		kill(h->pid, SIGTERM);
	says(h, NULL);
	close(h->says);
	waitpid(h->pid, &status, 0);
	unlink(TICKET);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
