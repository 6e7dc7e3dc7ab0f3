// SPDX-License-Identifier: GPL-2.0-only
/* A VMM of vmm-hold: its VM goes to a custodian, or comes from one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "adopt.h"

int hold_out = -1;

pid_t hold_exec(const char * const *args, int fd)
{
	const char *argv[16] = { "kvm-relay-hold" };
	unsigned int n = 1;
	char number[16];
	pid_t pid;

	while (*args)
		argv[n++] = *args++;
	if (fd >= 0) {
		snprintf(number, sizeof(number), "%d", fd);
		argv[n++] = "--fd";
		argv[n++] = number;
	}
	pid = fork();
	if (pid)
		return pid;
	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
	dup2(hold_out, STDOUT_FILENO);
	dup2(hold_out, STDERR_FILENO);
	execvp(argv[0], (char **)argv);
	_exit(127);
}

/* The VM runs on, here until the custodian has adopted it, then there. */
void adopt_hand(struct adopt_vmm *s, struct order_msg *m)
{
	const char * const args[] = {
		"--socket", common->socket_path, "--deadline", "5000000", "--timeout", "60000",
		*m->mv.instance ? "--instance" : NULL, m->mv.instance, NULL,
	};
	struct kvmrelay_error why;
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock)) {
		adopt_broken(m, "no socket");
		return;
	}
	m->nth = hold_exec(args, sock[1]);
	close(sock[1]);
	m->ret = kvmrelay_vm_send(sock[0], s->from, s->session > 0 ? s->session : -1, &why);
	if (!m->ret)
		m->ret = kvmrelay_result(sock[0], &why);
	if (m->ret)
		snprintf(m->why, sizeof(m->why), "%s", why.reason);
	close(sock[0]);
}

void adopt_ask(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvmrelay_error why;
	int sock = kvmrelay_hold_connect(common->socket_path, &why);

	if (sock < 0 || kvmrelay_vm_receive(sock, &s->from, &s->session, &why)) {
		adopt_broken(m, "%s", why.reason);
		return;
	}
	if (m->order == ORDER_ASK_AND_DIE)
		kill(getpid(), SIGKILL);
	adopt_vm(s, m);
	if (kvmrelay_report(sock, m->ret, m->why, &why))
		adopt_broken(m, "%s", why.reason);
	close(sock);
}

void adopt_open(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvmrelay_error why;

	s->session = kvmrelay_session_open(-1, common->ticket_path, &why);
	if (s->session < 0 || kvmrelay_vm_take(s->session, "vm", &s->from, &why))
		adopt_broken(m, "%s", why.reason);
}
