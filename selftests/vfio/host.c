// SPDX-License-Identifier: GPL-2.0-only
/* What can be seen of a device and of a process from outside. */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "vfio.h"

/* The configuration space as the device has it, whoever has the device. */
__u16 host_config16(const char *bdf, unsigned int at)
{
	char path[128];
	__u16 value;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, O_RDONLY);
	if (fd < 0 || pread(fd, &value, sizeof(value), at) != sizeof(value))
		err(1, "%s", path);
	close(fd);
	return value;
}

/* Memory that this process is charged for as locked. */
long host_locked_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %ld", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

/* How often the kernel came by the probes of kprobe_events that begin so; -1 if none does. */
long host_hits(const char *prefix)
{
	FILE *f = fopen("/sys/kernel/tracing/kprobe_profile", "r");
	long hits, missed, n = -1;
	char name[64];

	while (f && fscanf(f, "%63s %ld %ld", name, &hits, &missed) == 3)
		if (!strncmp(name, prefix, strlen(prefix)))
			n = (n < 0 ? 0 : n) + hits;
	if (f)
		fclose(f);
	return n;
}

/* How often the kernel took the interrupt of that name; -1 if there is none. */
long host_irqs(const char *name)
{
	FILE *f = fopen("/proc/interrupts", "r");
	char line[1024], *at, *end;
	long n = -1;

	while (f && fgets(line, sizeof(line), f)) {
		at = strchr(line, ':');
		if (!at || !strstr(at, name))
			continue;
		n = 0;
		/* A number for each CPU, then words */
		for (at++; ; at = end) {
			long count = strtol(at, &end, 10);

			if (end == at || (*end && *end != ' '))
				break;
			n += count;
		}
		break;
	}
	if (f)
		fclose(f);
	return n;
}

/* What the IOMMU's tables have for the device; "" without selftests/iommu-digest. */
void host_digest(char *line, size_t size)
{
	FILE *f = fopen("/sys/kernel/debug/iommu_digest", "r");

	if (!f || !fgets(line, size, f))
		*line = 0;
	if (f)
		fclose(f);
}

/* How often @text is in the kernel's log. */
int host_log_has(const char *text)
{
	enum { READ_ALL = 3, SIZE = 10 };
	int size = klogctl(SIZE, NULL, 0), n, count = 0;
	char *log, *at;

	log = size > 0 ? malloc(size + 1) : NULL;
	if (!log)
		return 0;
	n = klogctl(READ_ALL, log, size);
	log[n > 0 ? n : 0] = 0;
	for (at = log; (at = strstr(at, text)); at++)
		count++;
	free(log);
	return count;
}
