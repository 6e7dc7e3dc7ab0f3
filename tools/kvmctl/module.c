// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmctl load and unload. Debian has libkmod as a shared library only, and this
 * program is static; modprobe(8) loads what is the distribution's.
 */
#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvmctl.h"

#define MODULES "/usr/lib/kvm-relay"

/* An array of the names of what was loaded. */
static json_t *loaded;

/* struct object - an ELF file */
struct object {
	void *data;
	size_t size;
};

static void underscores(char *name)
{
	for (; *name; name++)
		if (*name == '-')
			*name = '_';
}

/* Starts at @off and has @len bytes: is it in the file? */
static bool is_in(const struct object *o, __u64 off, __u64 len)
{
	return off <= o->size && len <= o->size - off;
}

/*
 * A module's file in memory. Debian 13's static libelf does not link, and a table of
 * sections is all that is looked at.
 */
static bool object_open(struct object *o, int fd)
{
	const Elf64_Ehdr *eh;
	struct stat st;

	*o = (struct object){ 0 };
	if (fstat(fd, &st) || st.st_size < (off_t)sizeof(*eh))
		return false;
	o->size = st.st_size;
	o->data = mmap(NULL, o->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (o->data == MAP_FAILED) {
		o->data = NULL;
		return false;
	}
	eh = o->data;
	return !memcmp(eh->e_ident, ELFMAG, SELFMAG) && eh->e_ident[EI_CLASS] == ELFCLASS64 &&
	       eh->e_shentsize == sizeof(Elf64_Shdr) && eh->e_shstrndx < eh->e_shnum &&
	       is_in(o, eh->e_shoff, eh->e_shnum * sizeof(Elf64_Shdr));
}

static void object_close(struct object *o)
{
	if (o->data)
		munmap(o->data, o->size);
}

/* The bytes of a section; NULL if there is none of this name. */
static const char *object_section(const struct object *o, const char *name, size_t *len)
{
	const Elf64_Ehdr *eh = o->data;
	const Elf64_Shdr *sh = o->data + eh->e_shoff, *names = &sh[eh->e_shstrndx];
	size_t n = strlen(name) + 1;
	unsigned int i;

	if (!is_in(o, names->sh_offset, names->sh_size))
		return NULL;
	for (i = 0; i < eh->e_shnum; i++, sh++) {
		if (sh->sh_name > names->sh_size || names->sh_size - sh->sh_name < n ||
		    memcmp(o->data + names->sh_offset + sh->sh_name, name, n))
			continue;
		if (sh->sh_type == SHT_NOBITS || !is_in(o, sh->sh_offset, sh->sh_size))
			return NULL;
		*len = sh->sh_size;
		return o->data + sh->sh_offset;
	}
	return NULL;
}

/* The value of a module's property; NULL if it has none. The string lives with @o. */
static const char *property(const struct object *o, const char *name)
{
	size_t size, len = strlen(name);
	const char *p, *end;

	p = object_section(o, ".modinfo", &size);
	/* Strings, one after the other; the last byte ends the last. */
	if (!p || !size || p[size - 1])
		return NULL;
	for (end = p + size; p < end; p += strlen(p) + 1)
		if (!strncmp(p, name, len) && p[len] == '=')
			return p + len + 1;
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

/* @list: names with commas; from beside @path, or the distribution's. */
static bool load_dependencies(const char *path, const char *list)
{
	char *copy = strdup(path), *names = strdup(list), *file, *name, *rest, *p;
	const char *dir;
	bool ok = true;

	if (!copy || !names)
		die_errno(NULL);
	dir = dirname(copy);
	for (name = strtok_r(names, ",", &rest); ok && name; name = strtok_r(NULL, ",", &rest)) {
		underscores(name);
		if (host_has_module(name))
			continue;
		if (asprintf(&file, "%s/%s.ko", dir, name) < 0)
			die_errno(NULL);
		for (p = strrchr(file, '/'); *p; p++)
			if (*p == '_')
				*p = '-';
		ok = access(file, F_OK) ? modprobe(name) : module_load_file(file, "");
		if (!ok)
			warnx("%s: needs %s, which does not load", path, name);
		free(file);
	}
	free(copy);
	free(names);
	return ok;
}

/**
 * module_load_file - load a module, and what it depends on
 * @path: its file
 * @params: its parameters, with spaces between
 *
 * Return: false after a message.
 */
bool module_load_file(const char *path, const char *params)
{
	const char *depends, *name;
	struct object o;
	bool ok = false;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		warn("%s", path);
		return false;
	}
	name = object_open(&o, fd) ? property(&o, "name") : NULL;
	if (!name) {
		warnx("%s: no kernel module", path);
		goto out;
	}
	depends = property(&o, "depends");
	if (depends && !load_dependencies(path, depends))
		goto out;
	if (syscall(SYS_finit_module, fd, params, 0)) {
		if (errno == EEXIST && host_has_module(name))
			warnx("%s: it is loaded already", path);
		else if (errno == EKEYREJECTED || errno == ENOKEY)
			warnx("%s: it has no signature of a key that the kernel trusts", path);
		else
			warnx("%s: %s; the kernel's log says why", path, strerror(errno));
		goto out;
	}
	if (loaded)
		json_array_append_new(loaded, json_string(name));
	ok = true;
out:
	object_close(&o);
	close(fd);
	return ok;
}

/**
 * module_property - what a module's file says of itself
 * @path: the file
 * @key: such as "name", of modinfo(8)
 *
 * Return: a string, to be freed; NULL if there is none, or no such file.
 */
char *module_property(const char *path, const char *key)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *value = NULL;
	struct object o = { 0 };
	char *copy = NULL;

	if (fd < 0)
		return NULL;
	if (object_open(&o, fd))
		value = property(&o, key);
	if (value)
		copy = strdup(value);
	object_close(&o);
	close(fd);
	return copy;
}

/**
 * module_is_loaded_from - is what is loaded the same build as a file?
 * @path: the file
 * @name: of an instance that is loaded
 */
bool module_is_loaded_from(const char *path, const char *name)
{
	char notes[256], file[128], *module = strdup(name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct object o = { 0 };
	const char *id = NULL;
	size_t len = 0, n = 0;
	FILE *f;

	if (!module)
		die_errno(NULL);
	underscores(module);
	if (fd >= 0 && object_open(&o, fd))
		id = object_section(&o, ".note.gnu.build-id", &len);
	snprintf(file, sizeof(file), "/sys/module/%s/notes/.note.gnu.build-id", module);
	f = fopen(file, "re");
	if (f) {
		n = fread(notes, 1, sizeof(notes), f);
		fclose(f);
	}
	if (!id || len != n || memcmp(id, notes, n))
		n = 0;
	object_close(&o);
	if (fd >= 0)
		close(fd);
	free(module);
	return n;
}

/**
 * module_params - the parameters that a loaded instance has, as loading it takes them
 * @name: of the instance
 *
 * Return: a string, to be freed.
 */
char *module_params(const char *name)
{
	char path[128], file[512], value[128], *module = strdup(name), *all = strdup(""), *more;
	struct dirent *de;
	FILE *f;
	DIR *dir;

	if (!module || !all)
		die_errno(NULL);
	underscores(module);
	snprintf(path, sizeof(path), "/sys/module/%s/parameters", module);
	dir = opendir(path);
	while (dir && (de = readdir(dir))) {
		snprintf(file, sizeof(file), "%s/%s", path, de->d_name);
		if (*de->d_name == '.')
			continue;
		f = fopen(file, "re");
		/* What is empty, or not there, was not given. */
		if (!f || !fgets(value, sizeof(value), f) || *value == '\n' || *value == '(') {
			if (f)
				fclose(f);
			continue;
		}
		fclose(f);
		value[strcspn(value, "\n")] = '\0';
		if (asprintf(&more, "%s%s%s=%s", all, *all ? " " : "", de->d_name, value) < 0)
			die_errno(NULL);
		free(all);
		all = more;
	}
	if (dir)
		closedir(dir);
	free(module);
	return all;
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

/**
 * module_path - the file that is meant by an argument
 * @what: a number for the instance of this number for this CPU, or a file
 *
 * Return: a string, to be freed.
 */
char *module_path(const char *what)
{
	const char *dir = getenv("KVM_RELAY_MODULES"), *v;
	struct utsname u;
	char *path;
	int r;

	if (what[strspn(what, "0123456789")]) {
		path = strdup(what);
		if (!path)
			die_errno(NULL);
		return path;
	}
	v = vendor();
	if (!v)
		die("this CPU has neither VMX nor SVM");
	if (dir && *dir) {
		r = asprintf(&path, "%s/kvm-%s-%s.ko", dir, v, what);
	} else {
		uname(&u);
		r = asprintf(&path, MODULES "/%s/kvm-%s-%s.ko", u.release, v, what);
	}
	if (r < 0)
		die_errno(NULL);
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
			die_errno(NULL);
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
	path = module_path(l.what);
	loaded = json_array();
	ok = module_load_file(path, l.params ?: "");
	if (json_wanted)
		say_json(json_pack("{s:O}", "loaded", loaded));
	json_decref(loaded);
	free(l.params);
	free(path);
	return ok ? 0 : EXIT_NONE;
}

struct unload {
	char *name;
	unsigned int wait_s;
};

enum { OPT_WAIT = 'w' };

static error_t parse_unload(int key, char *arg, struct argp_state *state)
{
	struct unload *u = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case OPT_WAIT:
		u->wait_s = arg ? say_number(state, arg, "a time", 1, 86400) : UINT_MAX;
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "too many arguments");
		u->name = arg;
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

static void in_use(const char *name, bool core)
{
	unsigned int n = core ? 0 : vms_on(name);

	if (core)
		warnx("%s is in use", name);
	else if (n)
		warnx("%s is in use, %u VM%s on it", name, n, n == 1 ? " is" : "s are");
	else
		warnx("%s is in use, a process has its device open", name);
	if (!core)
		holders_tell(name);
}

/**
 * module_unload_instance - unload an instance, or kvm-core
 * @name: of it
 * @wait_s: so long nobody may have it, in seconds; UINT_MAX for ever
 *
 * Return: false after a message, which has who holds it.
 */
bool module_unload_instance(const char *name, unsigned int wait_s)
{
	bool core = !strcmp(name, "kvm-core"), told = false;
	char *module = strdup(name);
	unsigned int tenths = 0;

	if (!module)
		die_errno(NULL);
	underscores(module);
	for (;;) {
		/* It uses kvm-core, and nobody but instances uses it. */
		if (core && host_has_module("dirty_ring"))
			syscall(SYS_delete_module, "dirty_ring", O_NONBLOCK);
		if (!syscall(SYS_delete_module, module, O_NONBLOCK))
			break;
		if (errno != EAGAIN && errno != EBUSY) {
			warn("%s", name);
			free(module);
			return false;
		}
		if (tenths / 10 >= wait_s || signals_pending()) {
			in_use(name, core);
			free(module);
			return false;
		}
		/* Whoever waits wants to know for whom. */
		if (tenths++ == 10 && !told) {
			in_use(name, core);
			told = true;
		}
		usleep(100000);
	}
	free(module);
	return true;
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
	static const struct argp_option options[] = {
		{ "wait", OPT_WAIT, "SECONDS", OPTION_ARG_OPTIONAL,
		  "Wait until nobody has it, no longer than SECONDS if they are given", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_unload,
		.args_doc = "NAME",
		.doc = "Unloads the instance NAME; or kvm-core, and dirty-ring with it.",
		.children = common_options,
	};
	struct unload u = { 0 };

	argp_parse(&argp, argc, argv, 0, NULL, &u);
	/* Nothing else of the kernel's is unloaded by this. */
	if (!strcmp(u.name, "kvm-core") ? !host_has_module("kvm_core") : !host_has_instance(u.name))
		die("%s is not loaded", u.name);
	if (!module_unload_instance(u.name, u.wait_s)) {
		if (json_wanted)
			say_json(json_pack("{s:{s:s}}", "error", "reason", "it is not unloaded"));
		return EXIT_NONE;
	}
	if (json_wanted)
		say_json(json_pack("{s:s}", "unloaded", u.name));
	return 0;
}
