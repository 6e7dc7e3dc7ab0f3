/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VMs whose guest is a few bytes of 16-bit code and that are moved from one instance to
 * another. A function that fails keeps the first reason, and those after it do nothing.
 */
#ifndef MINI_H
#define MINI_H

#include <linux/kvm.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define MINI_MEM	0x100000
#define MINI_CODE	0x1000		/* where vCPUs begin */

/* Instances; VMs are made on the first. */
extern const char *mini_names[2];

/* A VM whose guest is a few bytes of 16-bit code. */
struct mini {
	int		kvm;
	int		fd;
	int		vcpu[2];
	struct kvm_run	*run[2];
	size_t		run_size;
	char		*mem;
	bool		ok;
	char		why[200];
};

void mini_fail(struct mini *m, const char *what);
void mini_begin(struct mini *m);
void mini_end(struct mini *m);
void mini_ioctl(struct mini *m, int fd, unsigned long cmd, void *arg, const char *what);
void mini_cap(struct mini *m, int fd, __u32 cap, __u64 arg);
void mini_slot(struct mini *m, __u32 slot, __u32 flags, __u64 gpa, __u64 size, void *at);
/* A vCPU, to begin at MINI_CODE. */
void mini_vcpu(struct mini *m, int n);
/* Its LAPIC is on. */
void mini_lapic(struct mini *m, int n);
/* To begin there once more. IF is set: Bochs takes no interrupt of the host without. */
void mini_entry(struct mini *m, int n);
/* With OSVW, which KVM takes from CPUID alone, and perhaps a Hyper-V interface. */
void mini_cpuid(struct mini *m, int n, bool hyperv);
/* Memory, and one vCPU with its code. */
void mini_boot(struct mini *m, const void *code, size_t len);
void mini_move(struct mini *m, int to);
/* Completes an exit; a handoff waits for that. */
void mini_complete(struct mini *m, int n);
/* Until an exit that is no signal's, and that has to be for this reason. */
void mini_run(struct mini *m, int n, __u32 reason, const char *what);
/* Of vCPU 0. */
bool mini_msr_get(struct mini *m, __u32 msr, __u64 *value);
bool mini_msr_set(struct mini *m, __u32 msr, __u64 value);

#endif
