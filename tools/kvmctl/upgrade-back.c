// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl rollback, and the way back of an upgrade that fails. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "upgrade.h"

/* Those that were there before are loaded, and take VMs again as far as they did. */
static bool restore_from(struct upgrade *u)
{
	const char *name;
	bool ok = true;
	json_t *f;
	size_t i;

	json_array_foreach(json_object_get(u->state, "from"), i, f) {
		name = state_string(f, "name");
		if (!host_has_instance(name)) {
			if (!*state_string(f, "file")) {
				warnx("%s is not loaded, and it is not known from which file",
				      name);
				ok = false;
				continue;
			}
			if (!upgrade_load(f)) {
				ok = false;
				continue;
			}
			upgrade_tell(u, PHASE_LOAD, "%s", name);
		}
		upgrade_drain(u, name, !strcmp(state_string(f, "state"), "draining"));
	}
	return ok;
}

/* Of a VM that has come since then there is nothing: it goes where it would have come. */
static const char *origin_of(const struct upgrade *u, unsigned int vm)
{
	const char *from, *fallback = state_string(u->state, "default");
	char id[16];

	snprintf(id, sizeof(id), "%u", vm);
	from = state_string(json_object_get(u->state, "vms"), id);
	if (!upgrade_is_from(u, fallback))
		fallback =
			state_string(json_array_get(json_object_get(u->state, "from"), 0), "name");
	return *from ? from : fallback;
}

static void move_back(struct upgrade *u, struct handoffs *h)
{
	size_t i, j, n, before;
	struct vm *vms;

	do {
		before = h->total;
		n = host_vms(&vms);
		for (i = 0; i < n; i++) {
			for (j = 0; j < before && h->all[j].vm.id != vms[i].id; j++)
				;
			if (j == before && !strcmp(vms[i].instance, upgrade_name(u)))
				handoffs_add(h, &vms[i], origin_of(u, vms[i].id), -1);
		}
		free(vms);
		handoffs_smallest_first(h, before);
		handoffs_run(h);
	} while (h->total > before && !signals_pending());
}

/**
 * upgrade_go_back - all VMs of the target go where they were
 * @u: the upgrade
 *
 * Return: is it so?
 */
bool upgrade_go_back(struct upgrade *u)
{
	struct kvm_core_name before = { 0 };
	struct kvm_core_instance_info info;
	struct handoffs h;
	bool ok;

	upgrade_begin(u, PHASE_BACK);
	if (!restore_from(u))
		return false;
	if (!host_has_instance(upgrade_name(u)))
		goto out;
	upgrade_drain(u, upgrade_name(u), true);
	snprintf(before.name, sizeof(before.name), "%s", state_string(u->state, "default"));
	if (upgrade_info(u, before.name, &info) && !(info.flags & KVM_CORE_INSTANCE_DEFAULT) &&
	    ioctl(u->control, KVM_CORE_SET_DEFAULT, &before))
		warn("%s does not become the default", before.name);
	upgrade_handoffs(u, &h, PHASE_BACK);
	/* Whatever fails, the others are to be where they were. */
	h.max_failures = HANDOFFS_NO_LIMIT;
	move_back(u, &h);
	upgrade_tell(u, PHASE_BACK, "%u moved, %u stay on %s (%.1f s)", h.moved, h.failed,
		     upgrade_name(u), upgrade_seconds(u));
	ok = !h.failed && h.tried == h.total;
	handoffs_free(&h);
	if (!ok) {
		warnx("not all VMs are where they were: kvmctl rollback tries it again");
		return false;
	}
	if (!json_is_true(json_object_get(upgrade_target(u), "loaded")))
		upgrade_drain(u, upgrade_name(u), false);
	else if (module_unload_instance(upgrade_name(u), UNLOAD_WAIT_S))
		upgrade_tell(u, PHASE_UNLOAD, "%s", upgrade_name(u));
out:
	state_phase(u->state, PHASE_UNDONE);
	return true;
}

static error_t parse_rollback(int key, char *arg, struct argp_state *state)
{
	struct upgrade *u = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		state->child_inputs[1] = &u->o;
		return 0;
	case 'n':
		u->dry = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static void say_way_back(struct upgrade *u)
{
	struct vm *vms;
	size_t i, n;
	json_t *f;

	upgrade_tell(u, "plan", "undo the upgrade to %s of %s", upgrade_name(u),
		     upgrade_time(u->state));
	json_array_foreach(json_object_get(u->state, "from"), i, f)
		if (!host_has_instance(state_string(f, "name")))
			upgrade_tell(u, "", "load %s, KVM of %s, from %s", state_string(f, "name"),
				     state_string(f, "source"),
				     *state_string(f, "file") ? state_string(f, "file")
							      : "a file that is not known");
	n = host_vms(&vms);
	for (i = 0; i < n; i++)
		if (!strcmp(vms[i].instance, upgrade_name(u)))
			upgrade_tell(u, "", "move VM %u (%s, pid %d) to %s", vms[i].id, vms[i].comm,
				     vms[i].pid, origin_of(u, vms[i].id));
	free(vms);
	if (json_is_true(json_object_get(upgrade_target(u), "loaded")) &&
	    host_has_instance(upgrade_name(u)))
		upgrade_tell(u, "", "unload %s", upgrade_name(u));
}

/**
 * upgrade_rollback - kvmctl rollback
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int upgrade_rollback(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "dry-run", 'n', NULL, 0, "Say what would be done", 0 }, { 0 }
	};
	const struct argp_child children[] = {
		*common_options, { &handoff_argp, 0, NULL, 0 }, { 0 }
	};
	const struct argp argp = {
		.options = options,
		.parser = parse_rollback,
		.doc = "Undoes the last kvmctl upgrade, finished or not: loads what it unloaded,\n"
		       "moves all VMs back, and unloads what it loaded.",
		.children = children,
	};
	struct upgrade u = {
		.o.retry = UPGRADE_NOT_GIVEN, .o.max_failures = UPGRADE_NOT_GIVEN,
	};
	int status = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &u);
	signals_hold();
	u.control = host_control();
	if (!state_lock())
		die("another kvmctl is upgrading this host");
	u.state = state_load();
	if (!u.state || upgrade_is_in(&u, PHASE_UNDONE))
		die("there is no upgrade to undo");
	upgrade_options(&u);
	say_way_back(&u);
	if (!u.dry && !upgrade_go_back(&u))
		status = EXIT_MIXED;
	if (!u.dry && !status)
		upgrade_tell(&u, PHASE_DONE, "all is as it was before");
	json_decref(u.state);
	fflush(stdout);
	signals_release();
	return status;
}
