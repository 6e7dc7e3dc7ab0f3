// SPDX-License-Identifier: GPL-2.0-only
/* What an upgrade would do, in the state before it and in words. */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "upgrade.h"

#define NO_FILE	": the file it is from was not found (--no-way-back)"

/* The file from which an instance that is loaded can be loaded again; NULL if there is none. */
static char *file_of(const char *name, const char *target_file)
{
	char *copy = strdup(target_file), *path;
	const char *number = strrchr(name, '-');

	if (!copy || asprintf(&path, "%s/%s.ko", dirname(copy), name) < 0)
		die_errno(NULL);
	free(copy);
	if (module_is_loaded_from(path, name))
		return path;
	free(path);
	path = module_path(number ? number + 1 : "");
	if (module_is_loaded_from(path, name))
		return path;
	free(path);
	return NULL;
}

static json_t *from_json(const struct kvm_core_instance_info *i, const char *target_file)
{
	char *file = file_of(i->name, target_file), *params = module_params(i->name);
	json_t *o;

	o = json_pack("{s:s, s:s, s:s, s:s, s:s*}", "name", i->name, "source", i->source, "state",
		      i->state, "params", params, "file", file);
	free(file);
	free(params);
	return o;
}

/**
 * upgrade_plan - the state of an upgrade that has not begun
 * @u: the upgrade
 *
 * Ends the program with a message if there is none.
 */
json_t *upgrade_plan(struct upgrade *u)
{
	char *path = module_path(u->what), *name, *source, *p, default_name[KVM_CORE_NAME_LEN] = "";
	struct kvm_core_instance_info *list;
	json_t *from = json_array(), *s;
	bool is_loaded = false;
	size_t i, n;

	if (access(path, R_OK))
		die_errno("%s", path);
	name = module_property(path, "name");
	source = module_property(path, "kvm_source");
	if (!name || !source)
		die("%s: no instance of KVM", path);
	for (p = name; *p; p++)
		if (*p == '_')
			*p = '-';
	/* From wherever the next one is called. */
	p = realpath(path, NULL);
	n = host_instances(u->control, &list);
	for (i = 0; i < n; i++) {
		if (list[i].flags & KVM_CORE_INSTANCE_DEFAULT)
			snprintf(default_name, sizeof(default_name), "%s", list[i].name);
		if (strcmp(list[i].name, name)) {
			json_array_append_new(from, from_json(&list[i], p));
			continue;
		}
		is_loaded = true;
		if (!module_is_loaded_from(p, name))
			die("%s is loaded, and is not what is in %s: take another number", name, p);
		if (!strcmp(list[i].state, "failed"))
			die("%s has failed", name);
	}
	free(list);
	if (!json_array_size(from) && !is_loaded)
		die("no other instance is loaded: kvmctl load");
	s = json_pack("{s:I, s:I, s:s, s:{s:s, s:s, s:s, s:s, s:b}, s:o, s:s, s:{}, s:b, s:b}",
		      "epoch", (json_int_t)host_epoch(), "began", (json_int_t)time(NULL), "phase",
		      PHASE_LOAD, "target", "name", name, "source", source, "file", p, "params",
		      u->params ? u->params : "", "loaded", !is_loaded, "from", from, "default",
		      default_name, "vms", "no_way_back", u->no_way_back, "keep", u->keep);
	if (!s)
		die("out of memory");
	json_object_set_new(s, "options", upgrade_options_json(&u->o));
	free(p);
	free(path);
	free(name);
	free(source);
	return s;
}

/**
 * upgrade_unloads - is an instance that goes unloaded at the end?
 * @u: the upgrade
 * @f: an object of "from"
 */
bool upgrade_unloads(const struct upgrade *u, const json_t *f)
{
	if (json_is_true(json_object_get(u->state, "keep")))
		return false;
	return *state_string(f, "file") || json_is_true(json_object_get(u->state, "no_way_back"));
}

/**
 * upgrade_say_plan - what would be done, a line each
 * @u: the upgrade
 */
void upgrade_say_plan(struct upgrade *u)
{
	json_t *t = upgrade_target(u), *f;
	struct vm *vms;
	size_t i, n, on = 0;

	n = host_vms(&vms);
	for (i = 0; i < n; i++)
		on += upgrade_is_from(u, vms[i].instance);
	free(vms);
	upgrade_tell(u, "plan", "%s, KVM of %s, for %zu VM%s", upgrade_name(u),
		     state_string(t, "source"), on, on == 1 ? "" : "s");
	if (json_is_true(json_object_get(t, "loaded")))
		upgrade_tell(u, "", "load %s%s%s", state_string(t, "file"),
			     *state_string(t, "params") ? " " : "", state_string(t, "params"));
	upgrade_tell(u, "",
		     "check each VM, none is stopped; if more than %u cannot go, it ends here",
		     u->o.max_failures);
	upgrade_tell(u, "",
		     "move them, %u at a time, fewest vCPUs first; if more than %u fail, all go back",
		     u->o.jobs ? u->o.jobs : handoffs_jobs(), u->o.max_failures);
	json_array_foreach(json_object_get(u->state, "from"), i, f) {
		if (upgrade_unloads(u, f))
			upgrade_tell(u, "", "unload %s, KVM of %s; %s%s", state_string(f, "name"),
				     state_string(f, "source"),
				     *state_string(f, "file") ? "kvmctl rollback loads "
							      : "there is no way back",
				     state_string(f, "file"));
		else
			upgrade_tell(u, "", "leave %s, KVM of %s%s", state_string(f, "name"),
				     state_string(f, "source"),
				     *state_string(f, "file") ? "" : NO_FILE);
	}
}
