// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl default and drain: which instance takes VMs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvmctl.h"

static void instance_name(struct argp_state *state, char *to, const char *name)
{
	if (strlen(name) >= KVM_CORE_NAME_LEN)
		argp_error(state, "'%s' is too long for an instance's name", name);
	snprintf(to, KVM_CORE_NAME_LEN, "%s", name);
}

static error_t parse_default(int key, char *arg, struct argp_state *state)
{
	struct kvm_core_name *name = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "too many arguments");
		instance_name(state, name->name, arg);
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which instance?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/**
 * instance_default - kvmctl default
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int instance_default(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_default,
		.args_doc = "NAME",
		.doc = "Has /dev/kvm open the instance NAME; with \"\" the one loaded last.",
		.children = common_options,
	};
	struct kvm_core_name name = { 0 };
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, &name);
	fd = host_control();
	if (ioctl(fd, KVM_CORE_SET_DEFAULT, &name)) {
		if (errno == ENODEV)
			die("%s: no such instance is live", name.name);
		die_errno("%s", name.name);
	}
	close(fd);
	if (json_wanted)
		say_json(json_pack("{s:s}", "default", name.name));
	return 0;
}

static error_t parse_drain(int key, char *arg, struct argp_state *state)
{
	struct kvm_core_drain *drain = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case 'u':
		drain->flags |= KVM_CORE_DRAIN_UNDO;
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "too many arguments");
		instance_name(state, drain->name, arg);
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which instance?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/**
 * instance_drain - kvmctl drain
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int instance_drain(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "undo", 'u', NULL, 0, "It takes VMs again", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_drain,
		.args_doc = "NAME",
		.doc = "Has the instance NAME take no VMs any more; those that it has go on.",
		.children = common_options,
	};
	struct kvm_core_drain drain = { 0 };
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, &drain);
	fd = host_control();
	if (ioctl(fd, KVM_CORE_DRAIN, &drain)) {
		if (errno == ENODEV)
			die("%s: no such instance is in service", drain.name);
		die_errno("%s", drain.name);
	}
	close(fd);
	if (json_wanted)
		say_json(json_pack("{s:s, s:s}", "instance", drain.name, "state",
				   drain.flags & KVM_CORE_DRAIN_UNDO ? "live" : "draining"));
	return 0;
}
