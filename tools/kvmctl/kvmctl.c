// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl: what an operator does with instances and VMs of kvm-core. */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvmctl.h"

/* Every subcommand has --json. With =lines, what happens is told when it does, a line each. */
bool json_wanted;
bool json_lines;

const char *argp_program_version = "kvmctl (kvm-relay)";

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "list", show_list },
	{ "status", show_status },
	{ "load", module_load },
	{ "default", instance_default },
	{ "drain", instance_drain },
	{ "move", move_vms },
	{ "upgrade", upgrade_main },
	{ "rollback", upgrade_rollback },
	{ "check", check_host },
	{ "history", history_show },
	{ "metrics", metrics_main },
	{ "event", event_main },
	{ "vmm", vmm_main },
	{ "unload", module_unload },
	{ "devices", devices_sessions },
};

/* Without a letter: -j is --jobs where there are any. */
enum { OPT_JSON = 512 };

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	if (key != OPT_JSON)
		return ARGP_ERR_UNKNOWN;
	if (arg && strcmp(arg, "lines"))
		argp_error(state, "--json, or --json=lines");
	json_wanted = true;
	json_lines = arg;
	return 0;
}

static const struct argp_option common[] = {
	{ "json", OPT_JSON, "lines", OPTION_ARG_OPTIONAL, "Print JSON; =lines: one line each", 0 },
	{ 0 }
};

static const struct argp common_argp = { .options = common, .parser = parse_common };

const struct argp_child common_options[] = {
	{ &common_argp, 0, NULL, 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	static char name[32];
	const struct command *c;
	char **argv;

	switch (key) {
	case ARGP_KEY_ARG:
		for (c = commands; c < commands + sizeof(commands) / sizeof(*commands); c++) {
			if (strcmp(arg, c->name))
				continue;
			/* The subcommand's own parser takes the rest. */
			argv = state->argv + state->next - 1;
			snprintf(name, sizeof(name), "%s %s", state->name, c->name);
			argv[0] = name;
			*(int *)state->input = c->run(state->argc - state->next + 1, argv);
			state->next = state->argc;
			return 0;
		}
		argp_error(state, "no subcommand '%s'", arg);
		break;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "SUBCOMMAND [ARGUMENT...]",
		.doc = "Lists and loads the KVMs of this host, and moves VMs between them.\v\n"
		       "Subcommands, each with a --help of its own:\n"
		       "  list                       instances\n"
		       "  status [-w]                VMs\n"
		       "  load FILE|N [NAME=VALUE]   load an instance\n"
		       "  default NAME               which instance /dev/kvm opens\n"
		       "  drain NAME [--undo]        an instance takes no VMs any more\n"
		       "  move VM...|--all NAME      hand VMs over to an instance\n"
		       "  upgrade N|FILE             load an instance, move all to it, unload the others\n"
		       "  rollback                   undo that\n"
		       "  check                      what is wrong on this host\n"
		       "  history                    handoffs that have ended\n"
		       "  metrics [-o FILE]          figures for a monitoring system\n"
		       "  vmm upgrade PID|--all      replace the QEMU under a guest\n"
		       "  vmm list [--replaced]      what VMs run in\n"
		       "  unload NAME                unload an instance\n"
		       "  devices [show|release N]   sessions that keep passed-through devices\n",
		.children = common_options,
	};
	int status = EXIT_NONE;

	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &status))
		return EXIT_USAGE;
	if (fflush(stdout) || ferror(stdout))
		err(EXIT_NONE, "standard output");
	return status;
}
