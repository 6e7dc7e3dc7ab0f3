// SPDX-License-Identifier: GPL-2.0-only
/* vmm-hostile's operator: moves whatever VM there is, drains, looks. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "vmm.h"
#include "hostile.h"

#define SYSFS "/sys/kernel/kvm_core/"

/* The n-th VM that there is, or 0. */
static unsigned int some_vm(struct rng *r)
{
	DIR *d = opendir(SYSFS "vms");
	unsigned int vm[64], n = 0;
	struct dirent *e;

	while (d && (e = readdir(d)) && n < 64)
		if (e->d_name[0] != '.')
			vm[n++] = strtoul(e->d_name, NULL, 10);
	if (d)
		closedir(d);
	return n ? vm[rnd(r, n)] : 0;
}

/* The first line of what sysfs says of the VM. */
static void look(unsigned int vm, const char *what, char line[64])
{
	char path[96];
	FILE *f;

	line[0] = 0;
	snprintf(path, sizeof(path), SYSFS "vms/%u/%s", vm, what);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(line, 64, f))
		line[strcspn(line, "\n")] = 0;
	fclose(f);
}

/* An instance, more often than not one that the VM is not on. */
static const char *some_instance(const struct worker *like, struct rng *r, unsigned int vm)
{
	const unsigned int n = rnd(r, like->node_count), other = rnd(r, 8);
	const char *name = strrchr(like->nodes[n], '/') + 1;
	char on[64];

	look(vm, "instance", on);
	if (other && !strcmp(on, name))
		name = strrchr(like->nodes[(n + 1) % like->node_count], '/') + 1;
	return name;
}

static void drain(int fd, const char *name, __u32 flags)
{
	struct kvm_core_drain d = { .flags = flags };

	snprintf(d.name, sizeof(d.name), "%s", name);
	if (ioctl(fd, KVM_CORE_DRAIN, &d))
		errno = 0;
}

static void failed(struct board *b, const struct kvm_core_move *m, bool tell)
{
	if (m->stage < KVM_CORE_STAGES)
		b->failed[m->stage]++;
	if (tell)
		printf("# VM %u to %s: %s\n", m->vm, m->instance, m->reason);
}

void operator_run(const struct worker *like, __u64 seed)
{
	struct rng r = { seed };
	struct board *b = like->board;
	int fd = open("/dev/kvm-core", O_RDWR | O_CLOEXEC);
	const char *drained = NULL;
	char line[64];

	while (!VMM_LOAD(b->end)) {
		const unsigned int vm = some_vm(&r);
		const char *name = some_instance(like, &r, vm);
		struct kvm_core_move_all all;
		struct kvm_core_move *m = &all.move;

		memset(&all, 0, sizeof(all));
		snprintf(m->instance, sizeof(m->instance), "%s", name);
		m->deadline_us = 1000u << rnd(&r, 13);
		m->timeout_ms = 20u << rnd(&r, 7);
		m->flags = rnd(&r, 4);
		switch (rnd(&r, 16)) {
		case 0:
			if (drained)
				drain(fd, drained, KVM_CORE_DRAIN_UNDO);
			drained = NULL;
			if (one_in(&r, 4)) {
				drain(fd, name, 0);
				drained = name;
				b->drained++;
			}
			break;
		case 1:
			ioctl(fd, KVM_CORE_MOVE_ALL, &all);
			break;
		case 2:
		case 3:
			look(some_vm(&r), "moves", line);
			look(some_vm(&r), "pid", line);
			break;
		default:
			m->vm = vm;
			if (!vm)
				break;
			if (!ioctl(fd, KVM_CORE_MOVE, m))
				b->operated++;
			else
				failed(b, m, like->verbose);
			break;
		}
		usleep(1000 * rnd(&r, 20));
	}
	if (drained)
		drain(fd, drained, KVM_CORE_DRAIN_UNDO);
	_exit(0);
}
