// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl history: handoffs that have ended. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "handoffs.h"

/**
 * history_all - what kvm-core remembers
 * @control: descriptor of the control device
 * @list: set to an array, the oldest first, to be freed
 *
 * Return: how many.
 */
size_t history_all(int control, struct kvm_core_handoff **list)
{
	struct kvm_core_handoff h = { .seq = 0 };
	size_t n = 0;

	*list = NULL;
	for (; !ioctl(control, KVM_CORE_HISTORY, &h); h.seq++) {
		*list = reallocarray(*list, n + 1, sizeof(**list));
		if (!*list)
			die_errno(NULL);
		(*list)[n++] = h;
	}
	if (errno != ENOENT)
		die_errno("KVM_CORE_HISTORY");
	return n;
}

/**
 * history_stuck - why a VM is still where it is
 * @all: of history_all()
 * @n: number in @all
 * @vm: the VM
 *
 * Return: its last handoff, if it failed, or the last dry run, if it would have; else NULL.
 */
const struct kvm_core_handoff *history_stuck(const struct kvm_core_handoff *all, size_t n,
					     const struct vm *vm)
{
	while (n--) {
		if (all[n].vm != vm->id)
			continue;
		/* VMMs and adopters may ask for what does not work as often as they like. */
		if (all[n].flags & (KVM_CORE_HANDOFF_OWN | KVM_CORE_HANDOFF_ADOPT))
			continue;
		if (!all[n].error || strcmp(all[n].from, vm->instance))
			return NULL;
		return &all[n];
	}
	return NULL;
}

static const char *asked_by(const struct kvm_core_handoff *h)
{
	if (h->flags & KVM_CORE_HANDOFF_ADOPT)
		return "adopter";
	return h->flags & KVM_CORE_HANDOFF_OWN ? "vmm" : "operator";
}

static const char *result_of(const struct kvm_core_handoff *h)
{
	if (h->flags & KVM_CORE_HANDOFF_DRY_RUN)
		return h->error ? "could not" : "could";
	if (h->error)
		return "failed";
	return h->flags & KVM_CORE_HANDOFF_ADOPT ? "adopted" : "moved";
}

static void name_of(const struct kvm_core_handoff *h, char *to, size_t size)
{
	char raw[sizeof(h->comm) + 1];

	snprintf(raw, sizeof(raw), "%.*s", (int)sizeof(h->comm), h->comm);
	text_escape(to, size, raw, true);
}

static json_t *to_json(const struct kvm_core_handoff *h)
{
	char comm[TEXT_LEN(sizeof(h->comm) + 1)];
	json_t *o, *figures;

	name_of(h, comm, sizeof(comm));
	o = json_pack("{s:I, s:f, s:i, s:i, s:I, s:s, s:s, s:s, s:s, s:s}",
		      "seq", (json_int_t)h->seq, "time", h->time_ns / 1e9, "vm", h->vm,
		      "pid", h->pid, "uid", (json_int_t)h->uid, "comm", comm,
		      "asked_by", asked_by(h), "result", result_of(h), "from", h->from,
		      "to", h->to);
	figures = json_pack("{s:s, s:s*, s:s, s:i, s:i, s:I, s:I}",
			    "stage", handoff_stage(h->stage),
			    "errno", h->error ? say_errno(h->error) : NULL, "reason", h->reason,
			    "vcpus", h->vcpus, "attempts", h->attempts,
			    "downtime_ns", (json_int_t)h->downtime_ns,
			    "total_ns", (json_int_t)h->total_ns);
	json_object_update(o, figures);
	json_decref(figures);
	return o;
}

static void to_text(const struct kvm_core_handoff *h)
{
	char comm[TEXT_LEN(sizeof(h->comm) + 1)], when[32], stopped[16] = "-";
	time_t t = h->time_ns / 1000000000;

	name_of(h, comm, sizeof(comm));
	strftime(when, sizeof(when), "%F %T", localtime(&t));
	if (!(h->flags & KVM_CORE_HANDOFF_DRY_RUN))
		snprintf(stopped, sizeof(stopped), "%.1f", h->downtime_ns / 1e6);
	printf("%-19s %4u %-15s %8d %-8s %-9s %-14s %-14s %10s", when, h->vm, comm, h->pid,
	       asked_by(h), result_of(h), h->from, h->to, stopped);
	if (h->error)
		printf("  stage %s: %s (%s)", handoff_stage(h->stage), h->reason,
		       strerror(h->error));
	putchar('\n');
}

struct wanted {
	unsigned int count;
	unsigned int vm;
	bool failed;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct wanted *w = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		return 0;
	case 'c':
		w->count = say_number(state, arg, "a number of handoffs", 1, UINT_MAX);
		return 0;
	case 'f':
		w->failed = true;
		return 0;
	case 'v':
		w->vm = say_number(state, arg, "a VM", 1, INT_MAX);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/**
 * history_show - kvmctl history
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int history_show(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "count", 'c', "N", 0, "Only the last N", 0 },
		{ "failed", 'f', NULL, 0, "Only those that failed, or would have", 0 },
		{ "vm", 'v', "VM", 0, "Only those of this VM", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "Lists the handoffs that have ended: the last 1024 of operators, and the\n"
		       "last 256 that VMMs have asked for. STOPPED is in milliseconds.",
		.children = common_options,
	};
	struct wanted w = { .count = UINT_MAX };
	struct kvm_core_handoff *all;
	json_t *json = json_array();
	size_t i, n, wanted = 0;
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, &w);
	fd = host_control();
	n = history_all(fd, &all);
	close(fd);
	for (i = 0; i < n; i++)
		if ((!w.failed || all[i].error) && (!w.vm || all[i].vm == w.vm))
			all[wanted++] = all[i];
	if (!json_wanted)
		printf("%-19s %4s %-15s %8s %-8s %-9s %-14s %-14s %10s\n", "WHEN", "VM",
		       "COMMAND", "PID", "ASKED BY", "RESULT", "FROM", "TO", "STOPPED");
	for (i = wanted > w.count ? wanted - w.count : 0; i < wanted; i++) {
		if (json_lines)
			say_line(to_json(&all[i]));
		else if (json_wanted)
			json_array_append_new(json, to_json(&all[i]));
		else
			to_text(&all[i]);
	}
	free(all);
	if (json_wanted && !json_lines)
		say_json(json_pack("{s:O}", "handoffs", json));
	json_decref(json);
	return 0;
}
