/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of kvmctl. */
#ifndef __KVMCTL_H
#define __KVMCTL_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/kvm_core.h>
#include <linux/vfio_keepalive.h>

/* Exit statuses; kvmctl(8) tells them. */
#define EXIT_NONE	1
#define EXIT_USAGE	2
#define EXIT_SOME	3
#define EXIT_EMPTY	4
#define EXIT_BACK	5
#define EXIT_MIXED	6

#define __printf(a, b)	__attribute__((format(printf, a, b)))
#define __noreturn	__attribute__((noreturn))

/* Room for text_escape() of a name of so many bytes, each with its 0. */
#define TEXT_LEN(n)	(4 * ((n) - 1) + 1)

/**
 * struct vm - a VM as sysfs shows it
 * @id:		number of its directory
 * @pid:	process that created it, 0 if it cannot be seen from here
 * @uid:	its user
 * @vcpus:	number of vCPUs
 * @moves:	how often it was handed over
 * @comm:	command name of the process, fit to be printed
 * @instance:	where it is
 */
struct vm {
	unsigned int id;
	int pid;
	unsigned int uid;
	unsigned int vcpus;
	unsigned long moves;
	char comm[TEXT_LEN(16)];
	char instance[KVM_CORE_NAME_LEN];
};

/* kvmctl.c */
extern bool json_wanted;
extern bool json_lines;
extern const struct argp_child common_options[];

/* say.c */
void die(const char *format, ...) __printf(1, 2) __noreturn;
void die_errno(const char *format, ...) __printf(1, 2) __noreturn;
const char *say_errno(unsigned int error);
void say_json(json_t *o);
void say_line(json_t *o);
unsigned int say_number(struct argp_state *state, const char *arg, const char *what,
			unsigned int min, unsigned int max);

/* host.c */
int host_control(void);
bool host_has_instance(const char *name);
bool host_has_module(const char *name);
bool host_vm(unsigned int id, struct vm *vm);
size_t host_vms(struct vm **vms);
size_t host_instances(int control, struct kvm_core_instance_info **list);
unsigned long long host_epoch(void);

/* signals.c */
void signals_hold(void);
bool signals_pending(void);
void signals_release(void);

/* text.c */
char *text_escape(char *to, size_t size, const char *from, bool backslash);

/* module.c */
char *module_path(const char *what);
bool module_load_file(const char *path, const char *params);
char *module_property(const char *path, const char *key);
bool module_is_loaded_from(const char *path, const char *name);
char *module_params(const char *name);
bool module_unload_instance(const char *name, unsigned int wait_s);

/* holders.c */
void holders_tell(const char *instance);

/* instance.c, show.c, module.c, move.c, ...: a subcommand each; argv[0] is for messages */
int show_list(int argc, char **argv);
int show_status(int argc, char **argv);
int module_load(int argc, char **argv);
int module_unload(int argc, char **argv);
int instance_default(int argc, char **argv);
int instance_drain(int argc, char **argv);
int move_vms(int argc, char **argv);
int upgrade_main(int argc, char **argv);
int upgrade_rollback(int argc, char **argv);
int check_host(int argc, char **argv);
int history_show(int argc, char **argv);
int metrics_main(int argc, char **argv);
int event_main(int argc, char **argv);
int vmm_main(int argc, char **argv);
int devices_sessions(int argc, char **argv);

/* vmm-list.c */
int vmm_list(bool replaced);

/* history.c */
size_t history_all(int control, struct kvm_core_handoff **list);
const struct kvm_core_handoff *history_stuck(const struct kvm_core_handoff *all, size_t n,
					     const struct vm *vm);

/* devices.c */
size_t devices_list(struct vfio_keepalive_info **list);
const char *devices_state(unsigned int state);

#endif
