// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmctl load and unload. Debian has libkmod as a shared library only, and this
 * program is static; modprobe(8) loads what is the distribution's.
 */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <jansson.h>
#include <libgen.h>
#include <libelf.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvmctl.h"

#define MODULES "/usr/lib/kvm-relay"

/* An array of the names of what was loaded. */
static json_t *loaded;

static void underscores(char *name)
{
	for (; *name; name++)
		if (*name == '-')
			*name = '_';
}

/* The value of a module's property; NULL if it has none. The string lives with @elf. */
static const char *modinfo(Elf *elf, const char *name)
{
	size_t names, len = strlen(name);
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr sh;
	const char *p, *end;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		if (!gelf_getshdr(scn, &sh) ||
		    strcmp(elf_strptr(elf, names, sh.sh_name) ?: "", ".modinfo"))
			continue;
		data = elf_getdata(scn, NULL);
		/* Strings, one after the other; the last byte ends the last. */
		if (!data || !data->d_size || ((char *)data->d_buf)[data->d_size - 1])
			return NULL;
		end = (char *)data->d_buf + data->d_size;
		for (p = data->d_buf; p < end; p += strlen(p) + 1)
			if (!strncmp(p, name, len) && p[len] == '=')
				return p + len + 1;
	}
	return NULL;
}

static bool modprobe(char *name)
{
	char *argv[3] = { "modprobe", name };
	int status, r;
	pid_t pid;

	r = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (r) {
		warnx("%s: %s", argv[0], strerror(r));
		return false;
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool load_file(const char *path, const char *params);

/* @list: names with commas; from beside @path, or the distribution's. */
static bool load_dependencies(const char *path, const char *list)
{
	char *copy = strdup(path), *names = strdup(list), *file, *name, *rest, *p;
	const char *dir;
	bool ok = true;

	if (!copy || !names)
		err(EXIT_NONE, NULL);
	dir = dirname(copy);
	for (name = strtok_r(names, ",", &rest); ok && name; name = strtok_r(NULL, ",", &rest)) {
		underscores(name);
		if (host_has_module(name))
			continue;
		if (asprintf(&file, "%s/%s.ko", dir, name) < 0)
			err(EXIT_NONE, NULL);
		for (p = strrchr(file, '/'); *p; p++)
			if (*p == '_')
				*p = '-';
		ok = access(file, F_OK) ? modprobe(name) : load_file(file, "");
		if (!ok)
			warnx("%s: needs %s, which does not load", path, name);
		free(file);
	}
	free(copy);
	free(names);
	return ok;
}

static bool load_file(const char *path, const char *params)
{
	const char *depends, *name;
	bool ok = false;
	Elf *elf;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		warn("%s", path);
		return false;
	}
	elf = elf_version(EV_CURRENT) == EV_NONE ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	name = elf ? modinfo(elf, "name") : NULL;
	if (!name) {
		warnx("%s: no kernel module", path);
		goto out;
	}
	depends = modinfo(elf, "depends");
	if (depends && !load_dependencies(path, depends))
		goto out;
	if (syscall(SYS_finit_module, fd, params, 0)) {
		if (errno == EEXIST && host_has_module(name))
			warnx("%s: it is loaded already", path);
		else
			warnx("%s: %s; the kernel's log says why", path, strerror(errno));
		goto out;
	}
	json_array_append_new(loaded, json_string(name));
	ok = true;
out:
	elf_end(elf);
	close(fd);
	return ok;
}

/* What this CPU has, as the modules' names have it; NULL for neither. */
static const char *vendor(void)
{
	const char *found = NULL;
	char *line = NULL;
	size_t len = 0;
	FILE *f;

	f = fopen("/proc/cpuinfo", "re");
	while (f && !found && getline(&line, &len, f) > 0) {
		if (strncmp(line, "flags", 5))
			continue;
		if (strstr(line, " svm"))
			found = "amd";
		else if (strstr(line, " vmx"))
			found = "intel";
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* N to a file's name, to be freed. */
static char *file_of(const char *number)
{
	const char *dir = getenv("KVM_RELAY_MODULES"), *v = vendor();
	struct utsname u;
	char *path;
	int r;

	if (!v)
		errx(EXIT_NONE, "this CPU has neither VMX nor SVM");
	if (dir && *dir) {
		r = asprintf(&path, "%s/kvm-%s-%s.ko", dir, v, number);
	} else {
		uname(&u);
		r = asprintf(&path, MODULES "/%s/kvm-%s-%s.ko", u.release, v, number);
	}
	if (r < 0)
		err(EXIT_NONE, NULL);
	return path;
}

struct load {
	char *what;
	char *params;
};

static error_t parse_load(int key, char *arg, struct argp_state *state)
{
	struct load *l = state->input;
	char *more;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case ARGP_KEY_ARG:
		if (!state->arg_num) {
			l->what = arg;
			break;
		}
		if (!strchr(arg, '='))
			argp_error(state, "a parameter is NAME=VALUE, not '%s'", arg);
		if (asprintf(&more, "%s%s ", l->params ?: "", arg) < 0)
			err(EXIT_NONE, NULL);
		free(l->params);
		l->params = more;
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which one?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/**
 * module_load - kvmctl load
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int module_load(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_load,
		.args_doc = "FILE|N [NAME=VALUE...]",
		.doc = "Loads an instance, and what it depends on. N stands for the instance of\n"
		       "this number for this CPU, in $KVM_RELAY_MODULES or " MODULES "/RELEASE.",
		.children = common_options,
	};
	struct load l = { 0 };
	char *path;
	bool ok;

	argp_parse(&argp, argc, argv, 0, NULL, &l);
	path = l.what[strspn(l.what, "0123456789")] ? strdup(l.what) : file_of(l.what);
	if (!path)
		err(EXIT_NONE, NULL);
	loaded = json_array();
	ok = load_file(path, l.params ?: "");
	loaded = json_pack("{s:o}", "loaded", loaded);
	if (json_wanted) {
		json_dumpf(loaded, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(loaded);
	free(l.params);
	free(path);
	return ok ? 0 : EXIT_NONE;
}

static error_t parse_unload(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "too many arguments");
		*(char **)state->input = arg;
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which instance?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static unsigned int vms_on(const char *instance)
{
	unsigned int on = 0;
	struct vm *vms;
	size_t i, n;

	n = host_vms(&vms);
	for (i = 0; i < n; i++)
		on += !strcmp(vms[i].instance, instance);
	free(vms);
	return on;
}

/**
 * module_unload - kvmctl unload
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int module_unload(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_unload,
		.args_doc = "NAME",
		.doc = "Unloads the instance NAME; or kvm-core, and dirty-ring with it.",
		.children = common_options,
	};
	bool core;
	char *name, *module;
	unsigned int n;

	argp_parse(&argp, argc, argv, 0, NULL, &name);
	core = !strcmp(name, "kvm-core");
	/* Nothing else of the kernel's is unloaded by this. */
	if (core ? !host_has_module("kvm_core") : !host_has_instance(name))
		errx(EXIT_NONE, "%s is not loaded", name);
	module = strdup(name);
	if (!module)
		err(EXIT_NONE, NULL);
	underscores(module);
	/* It uses kvm-core, and nobody but instances uses it. */
	if (core && host_has_module("dirty_ring"))
		syscall(SYS_delete_module, "dirty_ring", O_NONBLOCK);
	if (syscall(SYS_delete_module, module, O_NONBLOCK)) {
		if (errno != EAGAIN && errno != EBUSY)
			err(EXIT_NONE, "%s", name);
		if (core)
			errx(EXIT_NONE, "%s is in use", name);
		n = vms_on(name);
		if (n)
			errx(EXIT_NONE, "%s is in use, %u VM%s on it", name, n,
			     n == 1 ? " is" : "s are");
		errx(EXIT_NONE, "%s is in use, a process has its device open", name);
	}
	free(module);
	if (json_wanted) {
		json_t *o = json_pack("{s:s}", "unloaded", name);

		json_dumpf(o, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(o);
	}
	return 0;
}
