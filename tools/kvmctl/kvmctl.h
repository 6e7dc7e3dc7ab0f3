/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of kvmctl. */
#ifndef __KVMCTL_H
#define __KVMCTL_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/kvm_core.h>

/* Exit statuses; kvmctl(8) tells them. */
#define EXIT_NONE	1
#define EXIT_USAGE	2
#define EXIT_SOME	3

#define __printf(a, b)	__attribute__((format(printf, a, b)))

/* Room for text_escape() of a name of so many bytes, each with its 0. */
#define TEXT_LEN(n)	(4 * ((n) - 1) + 1)

/**
 * struct vm - a VM as sysfs shows it
 * @id:		number of its directory
 * @pid:	process that created it, 0 if it cannot be seen from here
 * @vcpus:	number of vCPUs
 * @moves:	how often it was handed over
 * @comm:	command name of the process, fit to be printed
 * @instance:	where it is
 */
struct vm {
	unsigned int id;
	int pid;
	unsigned int vcpus;
	unsigned long moves;
	char comm[TEXT_LEN(16)];
	char instance[KVM_CORE_NAME_LEN];
};

/* kvmctl.c */
extern bool json_wanted;
extern const struct argp_child common_options[];

/* host.c */
int host_control(void);
bool host_has_instance(const char *name);
bool host_has_module(const char *name);
bool host_vm(unsigned int id, struct vm *vm);
size_t host_vms(struct vm **vms);

/* text.c */
char *text_escape(char *to, size_t size, const char *from, bool backslash);

/* show.c, module.c, move.c, vmm.c, devices.c: a subcommand each; argv[0] is for messages */
int show_list(int argc, char **argv);
int show_status(int argc, char **argv);
int module_load(int argc, char **argv);
int module_unload(int argc, char **argv);
int move_default(int argc, char **argv);
int move_drain(int argc, char **argv);
int move_vms(int argc, char **argv);
int vmm_main(int argc, char **argv);
int devices_sessions(int argc, char **argv);

/* vmm-list.c */
int vmm_list(bool replaced);

#endif
