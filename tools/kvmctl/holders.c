// SPDX-License-Identifier: GPL-2.0-only
/* Who keeps an instance from being unloaded. */
#include <ctype.h>
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvmctl.h"

/* So many are told of one by one. */
#define MOST	20

/* The value of a line "key:\tvalue" of an fdinfo, or false. */
static bool field(const char *path, const char *key, char *to, size_t size)
{
	char line[256], *value;
	bool found = false;
	FILE *f = fopen(path, "re");

	while (f && !found && fgets(line, sizeof(line), f)) {
		value = strchr(line, ':');
		if (!value)
			continue;
		*value++ = '\0';
		found = !strcmp(line, key);
		value += strspn(value, " \t");
		value[strcspn(value, "\n")] = '\0';
		if (found)
			snprintf(to, size, "%s", value);
	}
	if (f)
		fclose(f);
	return found;
}

/* How many descriptors of the instance a process has; the first VM among them. */
static unsigned int count(const char *pid, const char *instance, char *vm, size_t size)
{
	char dir[300], path[600], name[KVM_CORE_NAME_LEN];
	unsigned int n = 0;
	struct dirent *de;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%s/fdinfo", pid);
	d = opendir(dir);
	while (d && (de = readdir(d))) {
		snprintf(path, sizeof(path), "%s/%s", dir, de->d_name);
		if (!isdigit((unsigned char)*de->d_name) ||
		    !field(path, "kvm-instance", name, sizeof(name)) || strcmp(name, instance))
			continue;
		n++;
		if (!*vm)
			field(path, "kvm-vm", vm, size);
	}
	if (d)
		closedir(d);
	return n;
}

/**
 * holders_tell - a line for each process that has an instance open
 * @instance: its name
 */
void holders_tell(const char *instance)
{
	char path[300], raw[32], comm[TEXT_LEN(sizeof(raw))], vm[16];
	unsigned int n, told = 0;
	struct dirent *de;
	DIR *proc = opendir("/proc");
	FILE *f;

	while (proc && (de = readdir(proc))) {
		if (!isdigit((unsigned char)*de->d_name))
			continue;
		*vm = '\0';
		n = count(de->d_name, instance, vm, sizeof(vm));
		if (!n || told++ >= MOST)
			continue;
		strcpy(raw, "?");
		snprintf(path, sizeof(path), "/proc/%s/comm", de->d_name);
		f = fopen(path, "re");
		if (f && fgets(raw, sizeof(raw), f))
			raw[strcspn(raw, "\n")] = '\0';
		if (f)
			fclose(f);
		text_escape(comm, sizeof(comm), raw, true);
		if (*vm)
			warnx("  pid %s (%s): VM %s, %u descriptors", de->d_name, comm, vm, n);
		else
			warnx("  pid %s (%s): /dev/kvm, %u descriptor%s", de->d_name, comm, n,
			      n == 1 ? "" : "s");
	}
	if (proc)
		closedir(proc);
	if (told > MOST)
		warnx("  and %u more processes", told - MOST);
}
