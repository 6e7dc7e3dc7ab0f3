// SPDX-License-Identifier: GPL-2.0-only
/* What kvm-core's debugfs does to a handoff at a stage. */
#include <stdio.h>
#include <unistd.h>
#include "vmm.h"

static FILE *inject_open(const char *stage, const char *what, const char *mode)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm_core/inject/%s/%s", stage, what);
	return fopen(path, mode);
}

bool inject_set(const char *stage, const char *what, unsigned int value)
{
	FILE *f = inject_open(stage, what, "w");

	if (!f)
		return false;
	fprintf(f, "%u", value);
	return !fclose(f);
}

bool inject_held(const char *stage)
{
	FILE *f = inject_open(stage, "held", "r");
	unsigned int n = 0;

	if (!f)
		return false;
	if (fscanf(f, "%u", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

bool inject_wait_held(const char *stage, unsigned int seconds)
{
	__u64 since = now_ns();

	while (!inject_held(stage)) {
		if (now_ns() - since > seconds * 1000000000ull)
			return false;
		usleep(1000);
	}
	return true;
}
