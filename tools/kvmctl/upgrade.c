// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmctl upgrade and rollback: one instance takes the place of all others, or they its.
 *
 * What is done next, and what would be undone, is in a file before it is done
 * (upgrade-state.c): when this program is killed, or the operator changes his mind, another
 * one goes on, or back. Each step may be done again.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handoffs.h"
#include "upgrade.h"

/* Further than this a signal, or too many failures, does not let it come. */
static bool is_interrupted(const struct handoffs *h, const char *phase)
{
	if (!signals_pending())
		return false;
	warnx("%s: stopped by a signal, %zu of %zu VMs were not tried", phase, h->total - h->tried,
	      h->total);
	warnx("kvmctl upgrade --resume goes on, kvmctl rollback goes back");
	return true;
}

/* All VMs that are not on the target; the state knows from then on where they were. */
static size_t add_vms(struct upgrade *u, struct handoffs *h)
{
	json_t *vms = json_object_get(u->state, "vms");
	size_t i, j, n, before = h->total;
	struct vm *list;
	char id[16];

	n = host_vms(&list);
	for (i = 0; i < n; i++) {
		for (j = 0; j < before && h->all[j].vm.id != list[i].id; j++)
			;
		if (j < before || !upgrade_is_from(u, list[i].instance))
			continue;
		handoffs_add(h, &list[i], upgrade_name(u), -1);
		snprintf(id, sizeof(id), "%u", list[i].id);
		json_object_set_new(vms, id, json_string(list[i].instance));
	}
	free(list);
	handoffs_smallest_first(h, before);
	return h->total - before;
}

static int phase_check(struct upgrade *u, bool changed)
{
	struct handoffs h;
	int status = -1;

	upgrade_handoffs(u, &h, PHASE_CHECK);
	h.want.flags |= KVM_CORE_MOVE_DRY_RUN;
	/* All that cannot go are to be known at once. */
	h.max_failures = HANDOFFS_NO_LIMIT;
	add_vms(u, &h);
	handoffs_run(&h);
	if (changed && is_interrupted(&h, PHASE_CHECK)) {
		status = EXIT_NONE;
	} else if (h.failed > u->o.max_failures) {
		warnx("%u of %zu VMs cannot go to %s: nothing was changed", h.failed, h.total,
		      upgrade_name(u));
		status = EXIT_NONE;
	} else {
		upgrade_tell(u, PHASE_CHECK, "%u of %zu VMs can go (%.1f s)", h.moved, h.total,
			     upgrade_seconds(u));
	}
	handoffs_free(&h);
	return status;
}

/* As before the upgrade had begun: no VM was moved, and what can be undone is the last one. */
static void forget(struct upgrade *u)
{
	json_t *t = upgrade_target(u);

	if (json_is_true(json_object_get(t, "loaded")) && host_has_instance(upgrade_name(u)))
		module_unload_instance(upgrade_name(u), UNLOAD_WAIT_S);
	if (u->last)
		state_save(u->last);
	else
		state_remove();
}

static void drain_from(struct upgrade *u)
{
	const char *name;
	json_t *f;
	size_t i;

	upgrade_drain(u, upgrade_name(u), false);
	json_array_foreach(json_object_get(u->state, "from"), i, f) {
		name = state_string(f, "name");
		/* One that has failed takes none anyway. */
		if (host_has_instance(name) && strcmp(state_string(f, "state"), "failed") &&
		    !upgrade_drain(u, name, true))
			die_errno("%s: it does not drain", name);
	}
}

/* Negative to go on, or an exit status; @back: it is to go back. */
static int phase_move(struct upgrade *u, bool *back)
{
	struct handoffs h;
	int status = -1;

	drain_from(u);
	upgrade_handoffs(u, &h, PHASE_MOVE);
	/* Where each was is in the file before it goes. */
	while (add_vms(u, &h) && !handoffs_over(&h) && !signals_pending()) {
		state_save(u->state);
		handoffs_run(&h);
	}
	json_object_set_new(u->state, "failed", json_integer(h.failed));
	if (handoffs_over(&h)) {
		warnx("%u of %zu VMs did not go to %s, no more than %u may: all go back", h.failed,
		      h.total, upgrade_name(u), u->o.max_failures);
		*back = true;
	} else if (is_interrupted(&h, PHASE_MOVE)) {
		status = EXIT_SOME;
	} else {
		upgrade_tell(u, PHASE_MOVE, "%u moved, %u stay (%.1f s)", h.moved + h.here,
			     h.failed, upgrade_seconds(u));
	}
	handoffs_free(&h);
	return status;
}

/* Is each VM where the state says that it was moved to? */
static bool phase_verify(struct upgrade *u)
{
	json_t *vms = json_object_get(u->state, "vms"), *from;
	struct kvm_core_instance_info info;
	size_t there = 0, stay = 0;
	const char *id;
	struct vm vm;

	if (!upgrade_info(u, upgrade_name(u), &info) || strcmp(info.state, "live")) {
		warnx("%s is not in service", upgrade_name(u));
		return false;
	}
	json_object_foreach(vms, id, from) {
		if (!host_vm(strtoul(id, NULL, 10), &vm))
			continue;
		there += !strcmp(vm.instance, upgrade_name(u));
		stay += upgrade_is_from(u, vm.instance);
	}
	upgrade_tell(u, PHASE_VERIFY, "%s is live, %zu VMs on it, %zu not", upgrade_name(u), there,
		     stay);
	return stay <= u->o.max_failures;
}

static int phase_unload(struct upgrade *u)
{
	struct kvm_core_instance_info info;
	const char *name;
	int status = 0;
	json_t *f;
	size_t i;

	json_array_foreach(json_object_get(u->state, "from"), i, f) {
		name = state_string(f, "name");
		if (!upgrade_info(u, name, &info))
			continue;
		if (info.vms) {
			warnx("%s: %u VM%s on it", name, info.vms, info.vms == 1 ? " is" : "s are");
			status = EXIT_SOME;
			continue;
		}
		if (!upgrade_unloads(u, f))
			continue;
		if (module_unload_instance(name, UNLOAD_WAIT_S))
			upgrade_tell(u, PHASE_UNLOAD, "%s", name);
		else
			status = EXIT_SOME;
	}
	return status;
}

static int run(struct upgrade *u)
{
	bool back = false;
	int status;

	if (upgrade_is_in(u, PHASE_LOAD) || upgrade_is_in(u, PHASE_CHECK)) {
		upgrade_begin(u, PHASE_LOAD);
		if (!host_has_instance(upgrade_name(u))) {
			if (!upgrade_load(upgrade_target(u))) {
				forget(u);
				return EXIT_NONE;
			}
			upgrade_tell(u, PHASE_LOAD, "%s (%.1f s)", upgrade_name(u),
				     upgrade_seconds(u));
		}
		upgrade_begin(u, PHASE_CHECK);
		status = phase_check(u, true);
		if (status == EXIT_NONE && !signals_pending())
			forget(u);
		if (status >= 0)
			return status;
	}
	if (!upgrade_is_in(u, PHASE_VERIFY) && !upgrade_is_in(u, PHASE_UNLOAD)) {
		upgrade_begin(u, PHASE_MOVE);
		status = phase_move(u, &back);
		if (status >= 0)
			return status;
	}
	if (!back && !upgrade_is_in(u, PHASE_UNLOAD)) {
		upgrade_begin(u, PHASE_VERIFY);
		back = !phase_verify(u);
	}
	if (back)
		return upgrade_go_back(u) ? EXIT_BACK : EXIT_MIXED;
	upgrade_begin(u, PHASE_UNLOAD);
	status = phase_unload(u);
	state_phase(u->state, PHASE_DONE);
	upgrade_tell(u, PHASE_DONE, "%s; kvmctl rollback undoes it", upgrade_name(u));
	return status;
}

enum { OPT_RESUME = 256, OPT_KEEP, OPT_NO_WAY_BACK };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct upgrade *u = state->input;
	char *more;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		state->child_inputs[1] = &u->o;
		break;
	case 'n':
		u->dry = true;
		break;
	case OPT_RESUME:
		u->resume = true;
		break;
	case OPT_KEEP:
		u->keep = true;
		break;
	case OPT_NO_WAY_BACK:
		u->no_way_back = true;
		break;
	case ARGP_KEY_ARG:
		if (!state->arg_num) {
			u->what = arg;
			break;
		}
		if (!strchr(arg, '='))
			argp_error(state, "a parameter is NAME=VALUE, not '%s'", arg);
		if (asprintf(&more, "%s%s%s", u->params ? u->params : "", u->params ? " " : "",
			     arg) < 0)
			die_errno(NULL);
		free(u->params);
		u->params = more;
		break;
	case ARGP_KEY_END:
		if (u->resume == !!u->what)
			argp_error(state, "an instance, or --resume");
		if (u->resume && u->dry)
			argp_error(state, "what --resume does has been said");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static void take_state(struct upgrade *u)
{
	json_t *last;

	u->control = host_control();
	if (!state_lock())
		die("another kvmctl is upgrading this host");
	last = state_load();
	if (u->resume && (!state_is_open(last) || !strcmp(state_string(last, "phase"), PHASE_BACK)))
		die("there is no upgrade that could go on");
	if (!u->resume && state_is_open(last))
		die("the upgrade to %s of %s is not finished: kvmctl upgrade --resume, or rollback",
		    state_string(json_object_get(last, "target"), "name"), upgrade_time(last));
	if (u->resume)
		u->state = last;
	else
		u->last = last;
}

/**
 * upgrade_main - kvmctl upgrade
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int upgrade_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "dry-run", 'n', NULL, 0,
		  "Say what would be done; if it is loaded, also whether each VM could go", 0 },
		{ "resume", OPT_RESUME, NULL, 0, "Go on where the last one was stopped", 0 },
		{ "keep", OPT_KEEP, NULL, 0, "Unload no instance", 0 },
		{ "no-way-back", OPT_NO_WAY_BACK, NULL, 0,
		  "Unload also an instance that could not be loaded again", 0 },
		{ 0 }
	};
	const struct argp_child children[] = {
		*common_options, { &handoff_argp, 0, NULL, 0 }, { 0 }
	};
	const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "N|FILE [NAME=VALUE...]\n--resume",
		.doc = "Loads an instance, moves all VMs to it, and unloads the others.\n"
		       "N and FILE are as for kvmctl load. With more than --max-failures (0) that\n"
		       "cannot be moved, all go back.",
		.children = children,
	};
	struct upgrade u = {
		.o.retry = UPGRADE_NOT_GIVEN, .o.max_failures = UPGRADE_NOT_GIVEN,
	};
	bool nothing = false;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &u);
	signals_hold();
	take_state(&u);
	upgrade_options(&u);
	if (!u.resume) {
		u.state = upgrade_plan(&u);
		nothing = !json_array_size(json_object_get(u.state, "from"));
		/* That of the upgrade that has led to this stays. */
		if (nothing)
			upgrade_tell(&u, PHASE_DONE, "%s is the only instance already",
				     upgrade_name(&u));
		else
			upgrade_say_plan(&u);
	}
	if (nothing)
		status = 0;
	else if (u.dry)
		status = host_has_instance(upgrade_name(&u)) ? phase_check(&u, false) : 0;
	else
		status = run(&u);
	json_decref(u.state);
	json_decref(u.last);
	free(u.params);
	fflush(stdout);
	signals_release();
	return status < 0 ? 0 : status;
}
