// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: what can come in the way of a handoff, and what is left then. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <kselftest.h>
#include "../vfio/result.h"
#include "faults.h"

static const char usage[] =
"usage: vmm-faults INSTANCE OTHER [signals | memory]\n"
"\n"
"VMs on INSTANCE are to be moved to OTHER, and something comes in the way: a slow\n"
"stage, a VMM that does not come back to KVM_RUN, that is killed, that changes the\n"
"VM meanwhile, or that did what cannot be moved, a CPU that goes offline, a cgroup\n"
"without memory. TAP output.\n"
"\n"
"signals: only the irqfds that are signalled meanwhile. memory: only the cgroup.\n";

const char * const faults_stages[] = {
	"record", "prepare", "stop", "quiesce", "move", "commit", "retire",
};

const char *faults_from, *faults_to;

void inject(unsigned int stage, const char *what, unsigned int value)
{
	if (!inject_set(faults_stages[stage], what, value))
		result_bail("debugfs injects no %s at %s: %s\n", what, faults_stages[stage],
			    strerror(errno));
}

/* @ring: entries of the vCPUs' dirty rings, 0 for none. */
struct trial *trial_begin_ring(const char *guest, unsigned int ring)
{
	struct trial *t = calloc(1, sizeof(*t));
	static char path[64];

	if (!t)
		result_bail("no memory\n");
	snprintf(path, sizeof(path), "/dev/%s", faults_from);
	t->shape = (struct vm_shape){ .cpus = 2, .mem = 32 << 20, .ring = ring };
	t->shape.guest = guest_by_name(guest);
	t->report = mmap(NULL, sizeof(*t->report), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->report == MAP_FAILED || vm_fds_make(&t->shape, &t->fds) ||
	    watch_open(&t->w, &t->shape, &t->fds, t->report))
		result_bail("no memory\n");
	t->w.patience = 60;
	t->vm = vm_create(path, &t->shape, &t->fds, t->report);
	if (!t->vm || vm_boot(t->vm))
		result_bail("the VM did not start\n");
	return t;
}

struct trial *trial_begin(const char *guest)
{
	return trial_begin_ring(guest, 0);
}

struct trial *trial_run(const char *guest)
{
	struct trial *t = trial_begin(guest);

	if (vm_resume(t->vm) || watch_steps(&t->w, 2) != WATCH_OK)
		result_bail("the VM does not run: %s\n", t->w.why);
	return t;
}

void trial_drop(struct trial *t)
{
	vm_destroy(t->vm);
	watch_close(&t->w);
	vm_fds_close(&t->fds);
	munmap(t->report, sizeof(*t->report));
	free(t);
}

/* True when the guest went on, and was content to the end. */
bool trial_end(struct trial *t)
{
	bool ok = watch_steps(&t->w, 3) == WATCH_OK &&
		  watch_finish(&t->w) == WATCH_OK;

	if (!ok)
		ksft_print_msg("%s\n", t->w.why);
	trial_drop(t);
	return ok;
}

int move_fd(int fd, const char *where, struct kvm_core_move *mv)
{
	snprintf(mv->instance, sizeof(mv->instance), "%s", where);
	/* An emulated host stops for long where the machine is busy. */
	mv->deadline_us = mv->deadline_us ?: 5000000;
	return ioctl(fd, KVM_CORE_VM_MOVE, mv) ? errno : 0;
}

bool says(const struct kvm_core_move *mv, int got, int error,
	  unsigned int stage, const char *reason)
{
	if (got == error && mv->stage == stage && strstr(mv->reason, reason))
		return true;
	ksft_print_msg("error %d, stage %u, %s\n", got, mv->stage, mv->reason);
	return false;
}

/* Number of VMs that sysfs says an instance has. */
int vms_on(const char *name)
{
	char path[96];
	int n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/kvm_core/instances/%s/vms", name);
	f = fopen(path, "r");
	if (f && fscanf(f, "%d", &n) != 1)
		n = -1;
	if (f)
		fclose(f);
	return n;
}

void *mover(void *arg)
{
	struct trial *t = arg;
	struct kvm_core_move mv = { .timeout_ms = 20000 };

	return (void *)(long)move_fd(t->vm->fd, faults_to, &mv);
}

/* As a 32-bit process does. */
int ioctl_32(int fd, unsigned long cmd, long arg)
{
	long r;

	asm volatile("int $0x80" : "=a" (r) :
		     "0" (54l), "b" ((long)fd), "c" (cmd), "d" (arg) :
		     "r8", "r9", "r10", "r11", "memory");
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc != 3 && (argc != 4 || (strcmp(argv[3], "signals") &&
					strcmp(argv[3], "memory")))) {
		fputs(usage, stderr);
		return 2;
	}
	faults_from = argv[1];
	faults_to = argv[2];
	ksft_print_header();
	if (argc == 4) {
		result_plan(1);
		if (strcmp(argv[3], "signals"))
			test_memory();
		else
			test_signals();
		result_finish();
	}
	result_plan(24 + KVM_CORE_STAGES);
	test_dry_run();
	test_bad_input();
	test_unmovable();
	test_unknown();
	test_closed_vcpu();
	test_pages();
	test_stats();
	test_dirty();
	test_deadline();
	test_busy();
	test_ring_taken(take_ring, "");
	test_ring_taken(take_ring_compat, " by a 32-bit process");
	test_ring_mapped(false);
	test_ring_mapped(true);
	test_closed_eventfds();
	test_away();
	test_late();
	test_changes();
	test_zones();
	test_always_changing();
	test_fork_exec();
	test_cpus();
	test_memory();
	test_signals();
	for (i = 0; i < KVM_CORE_STAGES; i++)
		test_killed(i);
	result_finish();
}
