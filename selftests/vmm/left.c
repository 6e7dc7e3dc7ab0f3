// SPDX-License-Identifier: GPL-2.0-only
/* What a host has, to see whether something is left of a test. */
#include <dirent.h>
#include <stdio.h>
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
