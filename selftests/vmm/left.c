// SPDX-License-Identifier: GPL-2.0-only
/* What a host has, to see whether something is left of a test. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "vmm.h"

long left_files(void)
{
	FILE *f = fopen("/proc/sys/fs/file-nr", "re");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

unsigned int left_vms(void)
{
	DIR *d = opendir("/sys/kernel/kvm_core/vms");
	struct dirent *e;
	unsigned int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

/* References on an instance's module; 0 also where there is none. */
static unsigned int users_of(const char *instance)
{
	char path[96], *c;
	unsigned int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", instance);
	for (c = strchr(path + strlen("/sys/module/"), '-'); c; c = strchr(c, '-'))
		*c = '_';
	f = fopen(path, "re");
	if (f && fscanf(f, "%u", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

bool left_nothing(const char * const instance[2], unsigned int seconds)
{
	__u64 since = now_ns();

	/* What an adoption leaves behind goes by itself. */
	while (left_vms() || users_of(instance[0]) || users_of(instance[1])) {
		if (now_ns() - since > seconds * 1000000000ull)
			return false;
		usleep(1000);
	}
	return true;
}
