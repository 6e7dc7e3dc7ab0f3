// SPDX-License-Identifier: GPL-2.0-only
/* What kvm-core tells: its control device and /sys/kernel/kvm_core. */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvmctl.h"

#define SYSFS "/sys/kernel/kvm_core"

/**
 * host_control - open the control device
 *
 * Ends the program with a message if that fails.
 *
 * Return: the descriptor.
 */
int host_control(void)
{
	int fd = open("/dev/kvm-core", O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && !host_has_module("kvm_core"))
		die("kvm-core is not loaded");
	if (fd < 0)
		die_errno("/dev/kvm-core");
	return fd;
}

/**
 * host_has_instance - is there an instance of this name?
 * @name: such as kvm-amd-1
 */
bool host_has_instance(const char *name)
{
	char path[128];

	if (!*name || *name == '.' || strchr(name, '/'))
		return false;
	snprintf(path, sizeof(path), SYSFS "/instances/%s", name);
	return !access(path, F_OK);
}

/**
 * host_has_module - is a kernel module loaded, or built into the kernel?
 * @name: with underscores
 */
bool host_has_module(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	return !access(path, F_OK);
}

/* One line, or false: the VM has gone. */
static bool attribute(unsigned int id, const char *name, char *buf, size_t len)
{
	char path[64];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), SYSFS "/vms/%u/%s", id, name);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fgets(buf, len, f);
	fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

static unsigned long number(unsigned int id, const char *name, bool *ok)
{
	char buf[32] = "";

	*ok &= attribute(id, name, buf, sizeof(buf));
	return strtoul(buf, NULL, 10);
}

/**
 * host_vm - what sysfs tells of a VM
 * @id: its number
 * @vm: filled in
 *
 * Return: false if there is none, or no more.
 */
bool host_vm(unsigned int id, struct vm *vm)
{
	char raw[sizeof(vm->comm)] = "";
	bool ok = true;

	memset(vm, 0, sizeof(*vm));
	vm->id = id;
	ok &= attribute(id, "comm", raw, sizeof(raw));
	/* The kernel has escaped line ends and backslashes. */
	text_escape(vm->comm, sizeof(vm->comm), raw, false);
	ok &= attribute(id, "instance", vm->instance, sizeof(vm->instance));
	vm->pid = number(id, "pid", &ok);
	vm->uid = number(id, "uid", &ok);
	vm->vcpus = number(id, "vcpus", &ok);
	vm->moves = number(id, "moves", &ok);
	return ok;
}

static int by_id(const void *a, const void *b)
{
	const struct vm *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/**
 * host_vms - all VMs
 * @vms: set to an array in the order of the numbers, to be freed
 *
 * Ends the program with a message if kvm-core is not loaded or memory is out.
 *
 * Return: how many.
 */
size_t host_vms(struct vm **vms)
{
	struct vm *list = NULL;
	struct dirent *de;
	size_t n = 0;
	DIR *dir;

	dir = opendir(SYSFS "/vms");
	if (!dir && errno == ENOENT)
		die("kvm-core is not loaded");
	if (!dir)
		die_errno(SYSFS "/vms");
	while ((de = readdir(dir))) {
		if (*de->d_name == '.')
			continue;
		list = reallocarray(list, n + 1, sizeof(*list));
		if (!list)
			die_errno(NULL);
		n += host_vm(strtoul(de->d_name, NULL, 10), &list[n]);
	}
	closedir(dir);
	if (n)
		qsort(list, n, sizeof(*list), by_id);
	*vms = list;
	return n;
}

/**
 * host_instances - all instances, in the order in which they were loaded
 * @control: descriptor of the control device
 * @list: set to an array, to be freed
 *
 * Ends the program with a message if that fails.
 *
 * Return: how many.
 */
size_t host_instances(int control, struct kvm_core_instance_info **list)
{
	struct kvm_core_instance_info *all = NULL;
	size_t n = 0;

	for (;;) {
		all = reallocarray(all, n + 1, sizeof(*all));
		if (!all)
			die_errno(NULL);
		all[n] = (struct kvm_core_instance_info){ .index = n };
		if (ioctl(control, KVM_CORE_LIST, &all[n]))
			break;
		n++;
	}
	if (errno != ENOENT)
		die_errno("KVM_CORE_LIST");
	*list = all;
	return n;
}

/**
 * host_epoch - another number each time that kvm-core is loaded
 *
 * As long as it is the same, the numbers of VMs are those of the same VMs.
 */
unsigned long long host_epoch(void)
{
	struct stat st;

	return stat(SYSFS, &st) ? 0 : st.st_ino;
}
