// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl list and status: what there is. */
#include <err.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "kvmctl.h"

/* Seconds: ten looks at all VMs in each are enough, and one a day is none too few. */
#define WATCH_MIN	0.1
#define WATCH_MAX	86400.0

static void no_arguments(int argc, char **argv, const char *doc)
{
	const struct argp argp = { .doc = doc, .children = common_options };

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
}

static void list_text(const struct kvm_core_instance_info *i)
{
	if (!i->index)
		printf("%-14s %-16s %-8s %-7s %5s\n", "INSTANCE", "SOURCE", "STATE", "DEFAULT",
		       "VMS");
	printf("%-14s %-16s %-8s %-7s %5u\n", i->name, i->source, i->state,
	       i->flags & KVM_CORE_INSTANCE_DEFAULT ? "yes" : "-", i->vms);
}

static json_t *list_json(const struct kvm_core_instance_info *i)
{
	return json_pack("{s:s, s:i, s:s, s:s, s:b, s:i}", "name", i->name, "number", i->number,
			 "source", i->source, "state", i->state,
			 "default", !!(i->flags & KVM_CORE_INSTANCE_DEFAULT), "vms", i->vms);
}

/**
 * show_list - kvmctl list
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int show_list(int argc, char **argv)
{
	struct kvm_core_instance_info *list;
	json_t *all = json_array();
	size_t i, n;
	int fd;

	no_arguments(argc, argv, "Lists the instances that are loaded.");
	fd = host_control();
	n = host_instances(fd, &list);
	close(fd);
	for (i = 0; i < n; i++) {
		if (json_wanted)
			json_array_append_new(all, list_json(&list[i]));
		else
			list_text(&list[i]);
	}
	free(list);
	if (json_wanted)
		say_json(json_pack("{s:O}", "instances", all));
	json_decref(all);
	return 0;
}

static void status_text(void)
{
	struct vm *vms;
	size_t i, n;

	n = host_vms(&vms);
	printf("%4s %-15s %8s %5s %-14s %6s\n", "VM", "COMMAND", "PID", "VCPUS", "INSTANCE",
	       "MOVES");
	for (i = 0; i < n; i++)
		printf("%4u %-15s %8d %5u %-14s %6lu\n", vms[i].id, vms[i].comm, vms[i].pid,
		       vms[i].vcpus, vms[i].instance, vms[i].moves);
	free(vms);
}

static void status_json(size_t flags)
{
	json_t *all = json_array();
	struct vm *vms;
	size_t i, n;

	n = host_vms(&vms);
	for (i = 0; i < n; i++)
		json_array_append_new(all, json_pack("{s:i, s:i, s:s, s:i, s:s, s:I}",
						     "vm", vms[i].id, "pid", vms[i].pid,
						     "comm", vms[i].comm, "vcpus", vms[i].vcpus,
						     "instance", vms[i].instance,
						     "moves", (json_int_t)vms[i].moves));
	free(vms);
	all = json_pack("{s:o}", "vms", all);
	json_dumpf(all, stdout, flags);
	putchar('\n');
	json_decref(all);
}

static error_t parse_status(int key, char *arg, struct argp_state *state)
{
	double *interval = state->input;
	char *end;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		return 0;
	case 'w':
		*interval = 1;
		if (arg) {
			*interval = strtod(arg, &end);
			/* So that NaN is refused, too. */
			if (end == arg || *end || !(*interval >= WATCH_MIN) ||
			    !(*interval <= WATCH_MAX))
				argp_error(state, "an interval is %.1f to %.0f seconds, not '%s'",
					   WATCH_MIN, WATCH_MAX, arg);
		}
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/**
 * show_status - kvmctl status
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int show_status(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "watch", 'w', "SECONDS", OPTION_ARG_OPTIONAL,
		  "Show it again every second, or every SECONDS (0.1 to 86400)", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_status,
		.doc = "Lists the VMs of this host.",
		.children = common_options,
	};
	struct timespec ts;
	double interval = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &interval);
	for (;;) {
		if (json_wanted) {
			status_json(interval > 0 ? JSON_COMPACT : JSON_INDENT(2));
		} else {
			/* From the upper left corner of an empty screen. */
			if (interval > 0 && isatty(STDOUT_FILENO))
				fputs("\033[H\033[2J", stdout);
			status_text();
		}
		if (!(interval > 0))
			return 0;
		if (fflush(stdout))
			die_errno("standard output");
		ts.tv_sec = interval;
		ts.tv_nsec = (interval - ts.tv_sec) * 1e9;
		nanosleep(&ts, NULL);
	}
}
