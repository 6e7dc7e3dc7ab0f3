// SPDX-License-Identifier: GPL-2.0-only
/* What kvmctl upgrade and kvmctl rollback have in common. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "upgrade.h"

/**
 * upgrade_target - the instance that takes the place of the others
 * @u: the upgrade
 *
 * Return: a borrowed object of upgrade.h.
 */
json_t *upgrade_target(const struct upgrade *u)
{
	return json_object_get(u->state, "target");
}

/**
 * upgrade_name - its name
 * @u: the upgrade
 */
const char *upgrade_name(const struct upgrade *u)
{
	return state_string(upgrade_target(u), "name");
}

/**
 * upgrade_tell - what has been done, or would be: a line
 * @u: the upgrade
 * @event: one word; "" for another line of the plan
 * @format: the rest of the line
 */
void upgrade_tell(const struct upgrade *u, const char *event, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		die_errno(NULL);
	va_end(args);
	if (json_wanted)
		say_line(json_pack("{s:s, s:s, s:s}", "event", *event ? event : "plan",
				   "target", upgrade_name(u), "text", text));
	else
		printf("%-8s %s\n", event, text);
	fflush(stdout);
	free(text);
}

/**
 * upgrade_begin - a phase begins, or is done again
 * @u: the upgrade
 * @phase: one of PHASE_*
 */
void upgrade_begin(struct upgrade *u, const char *phase)
{
	state_phase(u->state, phase);
	clock_gettime(CLOCK_MONOTONIC, &u->began);
}

/**
 * upgrade_seconds - since its phase began
 * @u: the upgrade
 */
double upgrade_seconds(const struct upgrade *u)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - u->began.tv_sec + (now.tv_nsec - u->began.tv_nsec) / 1e9;
}

static void told(struct handoffs *h, const struct handoff *one)
{
	static const char *const results[] = {
		[HANDOFF_MOVED] = "moved",
		[HANDOFF_HERE] = "here",
		[HANDOFF_FAILED] = "failed",
		[HANDOFF_GONE] = "gone",
	};

	if (json_wanted)
		say_line(json_pack("{s:s, s:s, s:s, s:o}", "event", "vm", "phase",
				   (const char *)h->data, "result", results[one->state], "move",
				   handoff_json(one)));
}

/**
 * upgrade_handoffs - prepare some, that are done as the command line says
 * @u: the upgrade
 * @h: they
 * @phase: one of PHASE_*
 */
void upgrade_handoffs(struct upgrade *u, struct handoffs *h, const char *phase)
{
	handoffs_init(h, u->control);
	handoffs_set(h, &u->o);
	h->told = told;
	h->data = (void *)phase;
}

/**
 * upgrade_is_from - is it an instance that goes?
 * @u: the upgrade
 * @instance: its name
 */
bool upgrade_is_from(const struct upgrade *u, const char *instance)
{
	json_t *f;
	size_t i;

	json_array_foreach(json_object_get(u->state, "from"), i, f)
		if (!strcmp(state_string(f, "name"), instance))
			return true;
	return false;
}

/**
 * upgrade_drain - an instance takes no VMs, or takes them again
 * @u: the upgrade
 * @name: its name
 * @drain: it takes none
 *
 * Return: false with errno.
 */
bool upgrade_drain(const struct upgrade *u, const char *name, bool drain)
{
	struct kvm_core_drain arg = { .flags = drain ? 0 : KVM_CORE_DRAIN_UNDO };

	snprintf(arg.name, sizeof(arg.name), "%s", name);
	return !ioctl(u->control, KVM_CORE_DRAIN, &arg);
}

/**
 * upgrade_info - what an instance is
 * @u: the upgrade
 * @name: its name
 * @info: filled in
 *
 * Return: false if it is not loaded.
 */
bool upgrade_info(const struct upgrade *u, const char *name, struct kvm_core_instance_info *info)
{
	struct kvm_core_instance_info *list;
	bool found = false;
	size_t i, n;

	n = host_instances(u->control, &list);
	for (i = 0; i < n && !found; i++) {
		found = !strcmp(list[i].name, name);
		if (found)
			*info = list[i];
	}
	free(list);
	return found;
}

/**
 * upgrade_load - load an instance of the state
 * @what: with file and params
 *
 * Return: false after a message.
 */
bool upgrade_load(const json_t *what)
{
	return module_load_file(state_string(what, "file"), state_string(what, "params"));
}

/**
 * upgrade_options_json - options, as the state has them
 * @o: they
 */
json_t *upgrade_options_json(const struct handoff_options *o)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}",
			 "deadline_us", (json_int_t)o->want.deadline_us,
			 "timeout_ms", (json_int_t)o->want.timeout_ms,
			 "jobs", (json_int_t)o->jobs, "retry", (json_int_t)o->retry,
			 "max_failures", (json_int_t)o->max_failures);
}

/**
 * upgrade_options - what was not given now is as it was when the upgrade began
 * @u: the upgrade; its state may be NULL
 */
void upgrade_options(struct upgrade *u)
{
	const json_t *o = json_object_get(u->state, "options");

	if (!u->o.want.deadline_us)
		u->o.want.deadline_us = json_integer_value(json_object_get(o, "deadline_us"));
	if (!u->o.want.timeout_ms)
		u->o.want.timeout_ms = json_integer_value(json_object_get(o, "timeout_ms"));
	if (!u->o.jobs)
		u->o.jobs = json_integer_value(json_object_get(o, "jobs"));
	if (u->o.retry == UPGRADE_NOT_GIVEN)
		u->o.retry = o ? json_integer_value(json_object_get(o, "retry")) : 1;
	if (u->o.max_failures == UPGRADE_NOT_GIVEN)
		u->o.max_failures = json_integer_value(json_object_get(o, "max_failures"));
}

/**
 * upgrade_is_in - is this what it does?
 * @u: the upgrade
 * @phase: one of PHASE_*
 */
bool upgrade_is_in(const struct upgrade *u, const char *phase)
{
	return !strcmp(state_string(u->state, "phase"), phase);
}

/**
 * upgrade_time - when it began
 * @state: of the upgrade
 *
 * Return: a string, until the next call.
 */
const char *upgrade_time(const json_t *state)
{
	static char text[64];
	time_t t = json_integer_value(json_object_get(state, "began"));

	strftime(text, sizeof(text), "%F %T", localtime(&t));
	return text;
}
