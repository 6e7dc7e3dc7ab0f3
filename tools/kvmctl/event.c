// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmctl event: a line in the journal, of an uevent that udev has in the environment. So no
 * part of it is ever an argument of a command.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "kvmctl.h"

static const char *get(const char *name)
{
	const char *value = getenv(name);

	return value ? value : "?";
}

static void of_vm(const char *event)
{
	const char *vm = get("KVM_RELAY_VM"), *pid = get("KVM_RELAY_PID");
	const char *from = get("KVM_RELAY_FROM"), *to = get("KVM_RELAY_TO");

	if (!strcmp(event, "failed"))
		syslog(LOG_WARNING,
		       "VM %s (pid %s) does not go from %s to %s: stage %s: %s (%s), asked by %s",
		       vm, pid, from, to, get("KVM_RELAY_STAGE"), get("KVM_RELAY_REASON"),
		       say_errno(atoi(get("KVM_RELAY_ERROR"))), get("KVM_RELAY_ASKED"));
	else if (!strcmp(event, "adopted"))
		syslog(LOG_NOTICE, "VM %s is process %s's, on %s; stopped for %s us", vm, pid, to,
		       get("KVM_RELAY_STOPPED_US"));
	else
		syslog(LOG_INFO,
		       "VM %s (pid %s) moved from %s to %s, stopped for %s us, asked by %s", vm,
		       pid, from, to, get("KVM_RELAY_STOPPED_US"), get("KVM_RELAY_ASKED"));
}

static void of_session(const char *event)
{
	const char *session = get("KVM_RELAY_SESSION"), *uid = get("KVM_RELAY_UID");

	if (!strcmp(event, "orphaned"))
		syslog(LOG_WARNING, "session %s of uid %s has no process; its devices run on",
		       session, uid);
	else
		syslog(LOG_NOTICE, "session %s of uid %s is released, its devices are reset",
		       session, uid);
}

/**
 * event_main - kvmctl event
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int event_main(int argc, char **argv)
{
	static const struct argp argp = {
		.doc = "For a rule of udev: the uevent in the environment goes to the log.",
		.children = common_options,
	};
	const char *event = getenv("KVM_RELAY_EVENT");

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (!event)
		return 0;
	openlog("kvm-relay", 0, LOG_DAEMON);
	if (getenv("KVM_RELAY_VM"))
		of_vm(event);
	else if (getenv("KVM_RELAY_SESSION"))
		of_session(event);
	closelog();
	return 0;
}
