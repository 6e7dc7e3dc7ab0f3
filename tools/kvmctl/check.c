// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl check: what is wrong on this host, for people and for a monitoring system. */
#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handoffs.h"
#include "upgrade.h"

/* An orphan that has less left than this is told of. */
#define ORPHAN_MS	60000

/**
 * struct check - what is looked for, and was found
 * @try:	see whether each VM could go to another instance
 * @control:	descriptor of the control device
 * @problems:	array of what was found
 */
struct check {
	bool try;
	int control;
	json_t *problems;
};

static void __printf(3, 4) problem(struct check *c, const char *what, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		die_errno(NULL);
	va_end(args);
	if (!json_wanted)
		printf("%s\n", text);
	json_array_append_new(c->problems, json_pack("{s:s, s:s}", "what", what, "text", text));
	free(text);
}

static void check_instances(struct check *c, const struct kvm_core_instance_info *list, size_t n)
{
	bool has_default = false;
	size_t i;

	for (i = 0; i < n; i++) {
		has_default |= list[i].flags & KVM_CORE_INSTANCE_DEFAULT;
		if (!strcmp(list[i].state, "failed"))
			problem(c, "failed",
				"%s has failed, %u VMs on it; the kernel's log says why",
				list[i].name, list[i].vms);
		if (!strcmp(list[i].state, "draining") && list[i].vms)
			problem(c, "draining", "%s is draining, %u VM%s left on it", list[i].name,
				list[i].vms, list[i].vms == 1 ? " is" : "s are");
	}
	if (!has_default)
		problem(c, "no-default", "no instance takes VMs: /dev/kvm cannot be opened");
}

/* Where a VM would go: to the default, or from there to any other that takes VMs. */
static const char *target_for(const struct vm *vm, const struct kvm_core_instance_info *list,
			      size_t n)
{
	const char *other = NULL;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!strcmp(list[i].name, vm->instance) || strcmp(list[i].state, "live"))
			continue;
		if (!other || list[i].flags & KVM_CORE_INSTANCE_DEFAULT)
			other = list[i].name;
	}
	return other;
}

static void try_vms(struct check *c, const struct kvm_core_instance_info *list, size_t n,
		    const struct vm *vms, size_t nr_vms)
{
	struct handoffs h;
	const char *to;
	size_t i;

	handoffs_init(&h, c->control);
	h.jobs = handoffs_jobs();
	h.want.flags = KVM_CORE_MOVE_DRY_RUN;
	for (i = 0; i < nr_vms; i++) {
		to = target_for(&vms[i], list, n);
		if (to)
			handoffs_add(&h, &vms[i], to, -1);
	}
	if (nr_vms && !h.total)
		warnx("no other instance takes VMs: whether they could go is not known");
	h.silent = true;
	handoffs_run(&h);
	handoffs_free(&h);
}

/* By the last that an operator asked of each; a dry run of try_vms() is one, too. */
static void check_vms(struct check *c, const struct vm *vms, size_t n)
{
	const struct kvm_core_handoff *h;
	struct kvm_core_handoff *all;
	size_t i, nr;

	nr = history_all(c->control, &all);
	for (i = 0; i < n; i++) {
		h = history_stuck(all, nr, &vms[i]);
		if (h)
			problem(c, "stuck",
				"VM %u (%s, pid %d) does not go from %s to %s: stage %s: %s (%s)",
				vms[i].id, vms[i].comm, vms[i].pid, h->from, h->to,
				handoff_stage(h->stage), h->reason, strerror(h->error));
	}
	free(all);
}

static void check_sessions(struct check *c)
{
	struct vfio_keepalive_info *list;
	size_t i, n;

	n = devices_list(&list);
	for (i = 0; i < n; i++)
		if (list[i].state == VFIO_KEEPALIVE_ORPHANED && list[i].left_ms < ORPHAN_MS)
			problem(c, "orphan",
				"session %u of uid %u has no process; its devices are reset in %.1f s",
				list[i].session, list[i].uid, list[i].left_ms / 1e3);
	free(list);
}

static void check_rings(struct check *c)
{
	FILE *f = fopen("/sys/module/dirty_ring/parameters/dropped", "re");
	unsigned long long n = 0;

	if (!f)
		return;
	if (fscanf(f, "%llu", &n) == 1 && n)
		problem(c, "dropped",
			"%llu pages that were written are in no dirty ring: a migration missed them",
			n);
	fclose(f);
}

static void check_upgrade(struct check *c)
{
	json_t *state = state_load();

	if (state_is_open(state))
		problem(c, "upgrade",
			"the upgrade to %s is not finished: kvmctl upgrade --resume, or rollback",
			state_string(json_object_get(state, "target"), "name"));
	json_decref(state);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct check *c = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		return 0;
	case 'n':
		c->try = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/**
 * check_host - kvmctl check
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int check_host(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "dry-run", 'n', NULL, 0,
		  "See whether each VM could go to another instance that is loaded", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "Says what is wrong on this host, a line each; the exit status is 1 then.",
		.children = common_options,
	};
	struct check c = { .problems = json_array() };
	struct kvm_core_instance_info *list;
	size_t n = 0, nr_vms = 0, problems;
	struct vm *vms;

	argp_parse(&argp, argc, argv, 0, NULL, &c);
	if (host_has_module("kvm_core")) {
		c.control = host_control();
		n = host_instances(c.control, &list);
		nr_vms = host_vms(&vms);
		check_instances(&c, list, n);
		if (c.try)
			try_vms(&c, list, n, vms, nr_vms);
		check_vms(&c, vms, nr_vms);
		close(c.control);
		free(list);
		free(vms);
	} else {
		problem(&c, "not-loaded", "kvm-core is not loaded");
	}
	check_sessions(&c);
	check_rings(&c);
	check_upgrade(&c);

	problems = json_array_size(c.problems);
	if (json_wanted)
		say_json(json_pack("{s:O}", "problems", c.problems));
	else if (!problems)
		printf("%zu instance%s, %zu VM%s, nothing is wrong\n", n, n == 1 ? "" : "s",
		       nr_vms, nr_vms == 1 ? "" : "s");
	json_decref(c.problems);
	return problems ? EXIT_NONE : 0;
}
