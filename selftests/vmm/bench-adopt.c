// SPDX-License-Identifier: GPL-2.0-only
/* VMs that another process takes over. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

/* Forth, back, and the second time forth is the one shown. */
#define VMMS	3

/* Before there is a VM, so that none of them is another's copy. */
struct vmms {
	const char		*dev[2];
	struct vm_shape		shape;
	struct vm_fds		fds;
	struct vm_report	*report;
	char			name[40];
	int			sock[VMMS];
	pid_t			pid[VMMS];
};

/* Every vCPU has looked at its TSC again. */
static int wait_seen(struct vm *vm)
{
	__u64 before[GUEST_MAX_CPUS], since = now_ns();
	unsigned int i;

	for (i = 0; i < vm->shape.cpus; i++)
		before[i] = VMM_LOAD(vm_cpu_page(vm->mem, i)->progress);
	for (i = 0; i < vm->shape.cpus; i++)
		while (VMM_LOAD(vm_cpu_page(vm->mem, i)->progress) == before[i]) {
			if (now_ns() - since > 300000000000ull)
				return vmm_error(ETIMEDOUT, "vCPU %u does not go on", i);
			usleep(1000);
		}
	return 0;
}

/* The VM is the next one's: its thread has nothing to say. */
static void on_gone(struct vcpu *v)
{
	(void)v;
}

static int take_over(const struct vmms *s, struct vm *vm, unsigned int nth)
{
	struct kvm_core_move mv = { .deadline_us = 10000000, .timeout_ms = 600000 };
	struct kvmrelay_error why;
	int ret;

	snprintf(mv.instance, sizeof(mv.instance), "%s", strrchr(vm->path, '/') + 1);
	/* What is not mapped here is not mapped ahead for the guest. */
	if (madvise(vm->mem, vm->shape.mem, MADV_POPULATE_WRITE))
		return vmm_error(errno, "MADV_POPULATE_WRITE");
	ret = vm_adopt_and_run(vm, &mv, &why);
	if (ret)
		return vmm_error(-ret, "adoption on %s: %.128s", vm->path, why.reason);
	if (wait_seen(vm))
		return 1;
	return nth == VMMS - 1 ? bench_show_move(vm, &mv, s->name) : 0;
}

/* The nth VMM, in its own process. */
static int vmm(const struct vmms *s, unsigned int nth, int sock)
{
	struct meter m = { .next = BENCH_IDLE };
	struct vm_parts h;
	unsigned int i;
	struct vm *vm;
	char byte = 0;
	int ret;

	vm_parts_begin(&h, &s->shape, &s->fds);
	h.vm.vm = wire_recv_fd(sock);
	for (i = 0; i < s->shape.cpus; i++)
		h.vcpu[i] = wire_recv_fd(sock);
	/* Who measures has failed. */
	if (h.vm.vm < 0 || h.vcpu[s->shape.cpus - 1] < 0)
		return 1;
	vm = vm_make_room(s->dev[~nth & 1], &s->shape, &s->fds, s->report, &h.vm);
	if (!vm)
		return 1;
	m.vm = vm;
	vm->priv = &m;
	vm->on_pio = bench_on_pio;
	vm->on_gone = on_gone;
	ret = take_over(s, vm, nth);
	fflush(stdout);
	/* Until the next one has it. */
	if (!ret && write(sock, &byte, 1) == 1 && read(sock, &byte, 1) < 0)
		ret = 1;
	vm_destroy(vm);
	return ret ? 1 : 0;
}

static int start_vmms(struct vmms *s)
{
	unsigned int i, k;
	int pair[2];

	fflush(stdout);
	for (i = 0; i < VMMS; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
			return vmm_error(errno, "socketpair");
		s->pid[i] = fork();
		if (s->pid[i] < 0)
			return vmm_error(errno, "fork");
		if (!s->pid[i]) {
			close(pair[0]);
			for (k = 0; k < i; k++)
				close(s->sock[k]);
			_exit(vmm(s, i, pair[1]));
		}
		close(pair[1]);
		s->sock[i] = pair[0];
	}
	return 0;
}

static int give(const struct vmms *s, unsigned int nth, struct vm *vm)
{
	unsigned int i;
	char byte;

	usleep(20000);
	if (wire_send_fd(s->sock[nth], vm->fd))
		return 1;
	for (i = 0; i < s->shape.cpus; i++)
		if (wire_send_fd(s->sock[nth], vm->vcpu[i].fd))
			return 1;
	if (read(s->sock[nth], &byte, 1) != 1)
		return vmm_error(0, "VMM %u did not take the VM", nth);
	/* The one before has no VM any more. */
	if (nth)
		shutdown(s->sock[nth - 1], SHUT_RDWR);
	return 0;
}

static int bench_adopt(const char *dev, const char *to, unsigned int cpus, unsigned int mib)
{
	struct vmms s = {
		.dev = { dev, to },
		.shape = { .guest = GUEST_bench, .cpus = cpus, .mem = (__u64)mib << 20 },
	};
	struct vm *vm = NULL;
	struct meter m;
	unsigned int i;
	int ret, status;

	fprintf(stderr, "vmm-bench: adopt, %u vCPUs, %u MiB\n", cpus, mib);
	snprintf(s.name, sizeof(s.name), "adopt_%u_%u", cpus, mib);
	s.report = mmap(NULL, sizeof(*s.report), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.report == MAP_FAILED || vm_fds_make(&s.shape, &s.fds))
		return vmm_error(errno, "VM");
	ret = start_vmms(&s);
	if (!ret)
		vm = bench_start(dev, &s.shape, &s.fds, s.report, &m);
	if (vm)
		vm->on_gone = on_gone;
	ret = !vm || bench_wait_ready(&m);
	for (i = 0; !ret && i < VMMS; i++)
		ret = give(&s, i, vm);
	vm_destroy(vm);
	for (i = 0; i < VMMS; i++) {
		if (s.pid[i] <= 0)
			continue;
		close(s.sock[i]);
		ret |= waitpid(s.pid[i], &status, 0) != s.pid[i] || status;
	}
	vm_fds_close(&s.fds);
	munmap(s.report, sizeof(*s.report));
	return ret;
}

int bench_adopts(const char *dev, const char *to, unsigned int cpus, unsigned int large)
{
	unsigned int i;
	int ret = 0;

	for (i = 1; !ret && i <= cpus; i++)
		ret = bench_adopt(dev, to, i, 64);
	if (!ret && large)
		ret = bench_adopt(dev, to, 1, large);
	return ret;
}
