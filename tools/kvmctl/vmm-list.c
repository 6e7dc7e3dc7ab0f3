// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl vmm list: the programs of the VMs that run. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "kvmctl.h"
#include "qemu.h"

/* What the VMM chose is last in a line, and fit to be printed. */
static void print_row(const json_t *r)
{
	const char *name, *instance, *program;
	int vm, pid, replaced;

	/* The program of a process that one may not look at is none. */
	if (json_unpack((json_t *)r, "{s:i, s:i, s:s, s:s, s:b, s:s}", "vm", &vm, "pid", &pid,
			"name", &name, "instance", &instance, "replaced", &replaced,
			"program", &program))
		return;
	printf("%4d %8d %-14s %-8s %-30s %s\n", vm, pid, instance,
	       !*program ? "?" : replaced ? "yes" : "no", *program ? program : "?", name);
}

static json_t *row(const struct vm *vm)
{
	char program[TEXT_LEN(1024)] = "";
	struct qemu q = { .pid = vm->pid };
	json_t *r;
	bool open;

	open = !qemu_open(&q, vm->pid);
	if (open)
		text_escape(program, sizeof(program), q.exe, true);
	r = json_pack("{s:i, s:i, s:s, s:s, s:b, s:s}", "vm", vm->id, "pid", vm->pid,
		      "name", open && *q.name ? q.name : vm->comm, "instance", vm->instance,
		      "replaced", open && q.deleted, "program", program);
	if (open)
		qemu_close(&q);
	return r;
}

/**
 * vmm_list - kvmctl vmm list
 * @replaced: only VMs whose program's file is another one now
 *
 * Return: exit status.
 */
int vmm_list(bool replaced)
{
	json_t *all = json_array(), *r;
	struct vm *vms;
	size_t i, n;

	n = host_vms(&vms);
	for (i = 0; i < n; i++)
		if (vms[i].pid && (!replaced || qemu_replaced(vms[i].pid)))
			json_array_append_new(all, row(&vms[i]));
	free(vms);
	if (json_wanted) {
		all = json_pack("{s:o}", "vms", all);
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		printf("%4s %8s %-14s %-8s %-30s %s\n", "VM", "PID", "INSTANCE", "REPLACED",
		       "PROGRAM", "NAME");
		json_array_foreach(all, i, r)
			print_row(r);
	}
	json_decref(all);
	return 0;
}
