/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of vmm-faults know of each other.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <linux/kvm_core.h>
#include "vmm.h"

/* A running guest and who looks at it. */
struct trial {
	struct vm_shape	shape;
	struct vm_fds	fds;
	struct watch	w;
	struct vm_report *report;
	struct vm	*vm;
};

/* vmm-faults.c */

extern const char * const faults_stages[];
/* Instances: where the VMs are, and where they are to go. */
extern const char *faults_from, *faults_to;

/* By debugfs; @what is "error" or "stall_ms". */
void inject(unsigned int stage, const char *what, unsigned int value);

/* Booted, not running; these end the program on failure. */
struct trial *trial_begin_ring(const char *guest, unsigned int ring);
struct trial *trial_begin(const char *guest);
/* Running */
struct trial *trial_run(const char *guest);
void trial_drop(struct trial *t);
bool trial_end(struct trial *t);

/* 0 or an errno. */
int move_fd(int fd, const char *where, struct kvm_core_move *mv);
/* Is this what came of a move? Prints it if not. */
bool says(const struct kvm_core_move *mv, int got, int error,
	  unsigned int stage, const char *reason);
int vms_on(const char *name);
/* A thread that moves a trial's VM; returns the errno. */
void *mover(void *arg);
int ioctl_32(int fd, unsigned long cmd, long arg);

/* faults-refused.c */
void test_dry_run(void);
void test_bad_input(void);
void test_unmovable(void);
void test_unknown(void);
void test_closed_vcpu(void);

/* faults-memory.c */
void test_pages(void);
void test_stats(void);
void test_dirty(void);

/* faults-vmm.c */
void test_deadline(void);
void test_busy(void);
void test_away(void);
void test_late(void);
void test_fork_exec(void);
void test_killed(unsigned int stage);

/* faults-ring.c */
int take_ring(int to_fd, int from_fd);
int take_ring_compat(int to_fd, int from_fd);
void test_ring_taken(int (*take)(int to_fd, int from_fd), const char *who);
void test_ring_mapped(bool undone);

/* faults-config.c */
void test_closed_eventfds(void);
void test_changes(void);
void test_zones(void);
void test_always_changing(void);

/* faults-host.c */
void test_cpus(void);
void test_memory(void);

/* faults-signals.c */
void test_signals(void);

#endif
