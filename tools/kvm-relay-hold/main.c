// SPDX-License-Identifier: GPL-2.0-only
/* kvm-relay-hold: runs a VM while no VMM is there. */
#include <argp.h>
#include <err.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>

#include "hold.h"

const char *argp_program_version = "kvm-relay-hold (kvm-relay)";

enum { KEY_TIMEOUT = 256 };

void say(const char *fmt, ...)
{
	va_list ap;

	printf("kvm-relay-hold: ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vwarnx(fmt, ap);
	va_end(ap);
}

static unsigned long parse_number(struct argp_state *state, const char *arg,
				  unsigned long min, unsigned long max)
{
	unsigned long v;
	char *end;

	v = strtoul(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || v < min || v > max)
		argp_error(state, "%s: a number from %lu to %lu is wanted", arg, min, max);
	return v;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct hold_options *o = state->input;

	switch (key) {
	case 't':
		o->ticket = arg;
		break;
	case 'w':
		o->watch = true;
		break;
	case 'f':
		o->vmm = parse_number(state, arg, 0, 1 << 20);
		break;
	case 'n':
		o->name = arg;
		break;
	case 's':
		o->socket = arg;
		break;
	case 'i':
		if (strlen(arg) >= sizeof(o->move.instance))
			argp_error(state, "%s is no instance", arg);
		strcpy(o->move.instance, arg);
		break;
	case 'd':
		o->move.deadline_us = parse_number(state, arg, 1, KVM_CORE_MAX_DEADLINE_US);
		break;
	case KEY_TIMEOUT:
		o->move.timeout_ms = parse_number(state, arg, 1, KVM_CORE_MAX_TIMEOUT_MS);
		break;
	case ARGP_KEY_END:
		if (!o->socket)
			argp_error(state, "--socket is missing");
		if (o->ticket ? o->vmm >= 0 : o->vmm < 0)
			argp_error(state, "either --ticket or --fd is wanted");
		if (o->watch && !o->ticket)
			argp_error(state, "--watch is for a session (--ticket)");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp_option options[] = {
	{ "ticket", 't', "FILE", 0,
	  "Claim the session of this ticket; the next ticket is put into FILE", 0 },
	{ "watch", 'w', NULL, 0, "First wait until the VMM that has the session has ended", 0 },
	{ "fd", 'f', "N", 0,
	  "Receive the VM on this descriptor, a socket to the VMM that has it", 0 },
	{ "name", 'n', "NAME", 0, "Its name in the session (vm)", 0 },
	{ "socket", 's', "PATH", 0, "Where the next VMM gets it", 0 },
	{ "instance", 'i', "INSTANCE", 0, "Adopt it on this instance, not where it is", 0 },
	{ "deadline", 'd', "US", 0, "Longest stop of the adoption, in microseconds (100000)", 0 },
	{ "timeout", KEY_TIMEOUT, "MS", 0,
	  "Longest time for the whole adoption, in milliseconds (10000)", 0 },
	{ 0 }
};

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.doc = "Adopts a VM and runs it until the next VMM takes it.\n"
	       "\vExits wait for that VMM. Exit status:\n"
	       "  0  the VM is another process's, or (--watch) its session was released\n"
	       "  1  it was not adopted, and is where it was\n"
	       "  2  usage\n"
	       "  3  ended by a signal, or because the session was released",
};

/* What a VMM's user may do without privilege is all that is needed. */
static void drop_privileges(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capset, &head, none) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err(EXIT_FAILED, "giving up privileges");
	/* The guest's memory is in no core, and the token is nobody else's to read. */
	if (prctl(PR_SET_DUMPABLE, 0) || chdir("/"))
		err(EXIT_FAILED, "giving up privileges");
}

int main(int argc, char **argv)
{
	struct hold_options o = { .vmm = -1, .name = "vm" };
	struct kvmrelay_vm *vm;
	int signals, session, door, status;
	sigset_t set;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		err(EXIT_FAILED, "signalfd");
	door = door_open(o.socket);
	source_get(&o, signals, &vm, &session);
	drop_privileges();
	status = keep(&o, signals, door, vm, session);
	return status;
}
