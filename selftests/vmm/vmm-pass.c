// SPDX-License-Identifier: GPL-2.0-only
/* vmm-pass: running guests from one KVM to another and back. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "vmm.h"

#define APIC_ISR	0x100
#define APIC_IRR	0x200
#define APIC_LVTT	0x320
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390

static const char usage[] =
"usage: vmm-pass -a DEVICE -b DEVICE [-n PASSES] [-g GUEST[,GUEST...]] [-c CPUS] [-m MIB] [-x] [-S]\n"
"       vmm-pass -a DEVICE -b DEVICE --break=WHAT [-n PASSES] [-c CPUS] [-x]\n"
"\n"
"Passes running guests from DEVICE a to DEVICE b and back by KVM_GET_* and\n"
"KVM_SET_* alone. The guests verify themselves throughout. TAP output, a line\n"
"for each guest. Both devices may be the same: stock KVM is its own control.\n"
"\n"
"  -a, --from DEVICE    first KVM (/dev/kvm)\n"
"  -b, --to DEVICE      second KVM (the first)\n"
"  -n, --passes N       how many passes, to and fro (10)\n"
"  -g, --guest LIST     guests by name, with commas; all (the default) or list\n"
"  -c, --cpus CPUS      vCPUs, 1 to 8 (2)\n"
"  -m, --memory MIB     memory (32)\n"
"  -s, --steps N        steps of every vCPU between two passes (3)\n"
"  -x, --exec           each pass to another process, over a socket\n"
"  -S, --split          split irqchip: only the LAPICs are in the kernel\n"
"  -B, --break WHAT     lose that state in each pass: ok when the guests notice;\n"
"                       all, or REG MSR LAPIC EVENTS XSAVE CLOCK TSC DR MP IRQCHIP\n"
"                       PIT MEM IRQFD\n"
"  -w, --wait SECONDS   patience without any progress (120; 20 with --break)\n"
"  -h, --help\n";

struct options {
	const char	*dev[2];
	struct vm_shape	shape;
	unsigned int	passes;
	unsigned int	steps;
	unsigned int	patience;
	bool		other_process;
	enum damage	damage;
};

static void pump(void *arg)
{
	/* What arrives while the VM is stopped waits in the eventfd. */
	watch_pump(arg, 0);
}

/* Any phase of a guest's loop may meet the pass. */
static void random_nap(void)
{
	usleep(random() % 3000);
}

static enum watch_result broken(struct watch *w, const char *what)
{
	snprintf(w->why, sizeof(w->why), "%s", what);
	return WATCH_FAIL;
}

static void describe_chips(struct vm *vm)
{
	struct kvm_irqchip pic = { .chip_id = KVM_IRQCHIP_PIC_MASTER };
	struct kvm_pit_state2 pit;

	if (vm->shape.split || ioctl(vm->fd, KVM_GET_IRQCHIP, &pic) ||
	    ioctl(vm->fd, KVM_GET_PIT2, &pit))
		return;
	ksft_print_msg("PIC: IRR 0x%x, ISR 0x%x, IMR 0x%x, lines 0x%x\n", pic.chip.pic.irr,
		       pic.chip.pic.isr, pic.chip.pic.imr, pic.chip.pic.last_irr);
	ksft_print_msg("PIT: channel 0 counts %u, mode %u\n", pit.channels[0].count,
		       pit.channels[0].mode);
}

/* What the vCPUs of a guest that failed wait for, as KVM sees it. */
static void describe(struct vm *vm)
{
	struct kvm_vcpu_events ev;
	struct kvm_lapic_state l;
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	__u32 reg[APIC_TMCCT / 16 + 1];
	unsigned int i, k;

	vm_pause(vm);
	describe_chips(vm);
	for (i = 0; i < vm->shape.cpus; i++) {
		int fd = vm->vcpu[i].fd;

		if (ioctl(fd, KVM_GET_MP_STATE, &mp) || ioctl(fd, KVM_GET_REGS, &regs) ||
		    ioctl(fd, KVM_GET_LAPIC, &l) || ioctl(fd, KVM_GET_VCPU_EVENTS, &ev))
			continue;
		for (k = 0; k < ARRAY_SIZE(reg); k++)
			memcpy(&reg[k], l.regs + k * 16, 4);
		ksft_print_msg("vCPU %u: MP state %u, RIP 0x%llx, RFLAGS 0x%llx, injected %u\n",
			       i, mp.mp_state, regs.rip, regs.rflags,
			       ev.interrupt.injected ? ev.interrupt.nr : 0);
		ksft_print_msg("vCPU %u: LVTT 0x%x, TMICT %u, TMCCT %u\n", i,
			       reg[APIC_LVTT / 16], reg[APIC_TMICT / 16],
			       reg[APIC_TMCCT / 16]);
		for (k = 0; k < 8; k++)
			if (reg[APIC_IRR / 16 + k] | reg[APIC_ISR / 16 + k])
				ksft_print_msg("vCPU %u: from vector 0x%x: IRR 0x%x, ISR 0x%x\n",
					       i, k * 32, reg[APIC_IRR / 16 + k],
					       reg[APIC_ISR / 16 + k]);
	}
}

static enum watch_result pass_here(const struct options *o, struct watch *w)
{
	enum watch_result r = WATCH_OK;
	struct vm *vm, *next;
	unsigned int i;

	vm = vm_create(o->dev[0], &w->shape, &w->fds, w->report);
	if (!vm || vm_boot(vm) || vm_resume(vm)) {
		vm_destroy(vm);
		return broken(w, "the VM did not start");
	}
	for (i = 0; r == WATCH_OK && i < o->passes; i++) {
		r = watch_steps(w, o->steps);
		if (r != WATCH_OK)
			break;
		/* Everything but the state, while the source still runs. */
		next = vm_create(o->dev[(i + 1) % 2], &w->shape, &w->fds, w->report);
		if (!next) {
			r = broken(w, "the target VM was not made");
			break;
		}
		random_nap();
		if (vm_pass(vm, next, o->damage, pump, w)) {
			vm_destroy(next);
			r = broken(w, "the pass failed");
			break;
		}
		vm_destroy(vm);
		vm = next;
	}
	if (r == WATCH_OK)
		r = watch_steps(w, o->steps);
	if (r == WATCH_OK)
		r = watch_finish(w);
	if (r == WATCH_FAIL && !o->damage && vm)
		describe(vm);
	vm_destroy(vm);
	return r;
}

/*
 * A process that runs the VM until it is told where to send it. It tells the
 * coordinator with a byte that the VM runs; the end of the stream ends it.
 */
static void __noreturn
worker(const struct options *o, struct watch *w, int turn, int ctl, int in)
{
	struct vm_state st = { 0 };
	struct vm_shape shape;
	struct vm_fds fds;
	struct vm *vm;
	int out;

	if (in < 0) {
		vm = vm_create(o->dev[0], &w->shape, &w->fds, w->report);
		if (!vm || vm_boot(vm) || vm_resume(vm))
			_exit(1);
	} else {
		/* Only what came over the socket, nothing inherited. */
		if (wire_recv_shape(in, &shape, &fds))
			_exit(1);
		vm = vm_create(o->dev[turn % 2], &shape, &fds, w->report);
		if (!vm || wire_recv_state(in, vm, &st) ||
		    vm_restore_and_run(vm, &st, o->damage))
			_exit(1);
		close(in);
		state_free(&st);
	}
	if (write(ctl, "R", 1) != 1)
		_exit(1);
	out = wire_recv_fd(ctl);
	if (out >= 0) {
		if (wire_send_shape(out, &vm->shape, &vm->fds) ||
		    vm_stop_and_save(vm, &st) || wire_send_state(out, vm, &st))
			_exit(1);
		close(out);
	} else {
		vm_pause(vm);
	}
	vm_destroy(vm);
	_exit(0);
}

/* The worker's byte, or failure when it ends or says nothing for too long. */
static bool worker_ready(struct watch *w, int ctl)
{
	struct pollfd p = { .fd = ctl, .events = POLLIN };
	__u64 start = now_ns();
	char byte;

	while (now_ns() - start < w->patience * 1000000000ull) {
		if (poll(&p, 1, 0) > 0)
			return read(ctl, &byte, 1) == 1;
		watch_pump(w, 1);
	}
	return false;
}

/* Child's ends: ctl[1] and, unless it is the first, vm[1]. */
static pid_t start_worker(const struct options *o, struct watch *w, int turn,
			  int *ctl_end, int *vm_end)
{
	int ctl[2], link[2] = { -1, -1 };
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ctl))
		return vmm_error(errno, "socketpair");
	if (vm_end && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link)) {
		close(ctl[0]);
		close(ctl[1]);
		return vmm_error(errno, "socketpair");
	}
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(ctl[0]);
		if (link[0] >= 0)
			close(link[0]);
		/* Held open here, it would hide the end of the old worker. */
		if (*ctl_end >= 0)
			close(*ctl_end);
		worker(o, w, turn, ctl[1], link[1]);
	}
	close(ctl[1]);
	if (link[1] >= 0)
		close(link[1]);
	if (pid < 0) {
		close(ctl[0]);
		if (link[0] >= 0)
			close(link[0]);
		return vmm_error(errno, "fork");
	}
	*ctl_end = ctl[0];
	if (vm_end)
		*vm_end = link[0];
	return pid;
}

static bool ended_well(pid_t pid)
{
	int status = 1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

static enum watch_result pass_over(const struct options *o, struct watch *w)
{
	enum watch_result r = WATCH_OK;
	int ctl = -1, next_ctl, link;
	pid_t pid, next;
	unsigned int i;

	pid = start_worker(o, w, 0, &ctl, NULL);
	if (pid < 0)
		return broken(w, "no first process");
	if (!worker_ready(w, ctl))
		r = broken(w, "the VM did not start");
	for (i = 0; r == WATCH_OK && i < o->passes; i++) {
		r = watch_steps(w, o->steps);
		if (r != WATCH_OK)
			break;
		next_ctl = ctl;
		next = start_worker(o, w, i + 1, &next_ctl, &link);
		if (next < 0) {
			r = broken(w, "no process to pass the VM to");
			break;
		}
		random_nap();
		if (wire_send_fd(ctl, link))
			r = broken(w, "the process with the VM is gone");
		close(link);
		if (!worker_ready(w, next_ctl))
			r = broken(w, "the VM did not arrive");
		close(ctl);
		if (!ended_well(pid) && r == WATCH_OK)
			r = broken(w, "the process that gave the VM away failed");
		ctl = next_ctl;
		pid = next;
	}
	if (r == WATCH_OK)
		r = watch_steps(w, o->steps);
	if (r == WATCH_OK)
		r = watch_finish(w);
	close(ctl);
	if (!ended_well(pid) && r == WATCH_OK)
		r = broken(w, "the last process failed");
	return r;
}

/* Runs one guest and prints its TAP line. */
static void test_guest(const struct options *o, unsigned int guest)
{
	struct watch w = { 0 };
	struct vm_shape shape = o->shape;
	enum watch_result r = WATCH_FAIL;
	struct vm_report *report;
	struct vm_fds fds;
	char name[64];
	__u64 start = now_ns(), twice;
	unsigned int i;

	if (o->damage)
		snprintf(name, sizeof(name), "%s notices the loss of %s",
			 guest_name(guest), damage_name(o->damage));
	else
		snprintf(name, sizeof(name), "%s", guest_name(guest));
	fprintf(stderr, "vmm-pass: %s\n", name);
	shape.guest = guest;
	if (shape.split && guest_needs(guest) & GN_FULL) {
		ksft_test_result_skip("%s: needs the full irqchip\n", name);
		return;
	}
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED || vm_fds_make(&shape, &fds)) {
		ksft_test_result_fail("%s: no memory\n", name);
		return;
	}
	if (!watch_open(&w, &shape, &fds, report)) {
		w.patience = o->patience;
		r = o->other_process ? pass_over(o, &w) : pass_here(o, &w);
	}
	if (r == WATCH_SKIP)
		ksft_test_result_skip("%s: %s\n", name, w.why);
	else if (o->damage && r == WATCH_FAIL && w.mem &&
		 vm_shared(w.mem)->passes)
		ksft_test_result_pass("%s: %s\n", name, w.why);
	else if (o->damage)
		ksft_test_result_fail("%s: %s\n", name,
				      r == WATCH_OK ? "it did not" : w.why);
	else if (r == WATCH_OK)
		ksft_test_result_pass("%s: %u passes in %llu ms, vCPU 0 made %llu steps\n",
				      name, vm_shared(w.mem)->passes,
				      (now_ns() - start) / 1000000,
				      vm_cpu_page(w.mem, 0)->progress);
	else
		ksft_test_result_fail("%s: after %u passes: %s\n", name,
				      w.mem ? vm_shared(w.mem)->passes : 0, w.why);
	for (i = 0, twice = 0; w.mem && i < shape.cpus; i++)
		twice += vm_cpu_page(w.mem, i)->twice;
	if (twice)
		ksft_print_msg("%s: the emulator had %llu interrupts injected twice\n",
			       name, twice);
	fflush(stdout);
	watch_close(&w);
	vm_fds_close(&fds);
	munmap(report, sizeof(*report));
}

static void run_guests(struct options *o, const bool set[GUEST_COUNT], unsigned int n)
{
	unsigned int i;

	ksft_print_header();
	ksft_set_plan(n);
	for (i = 0; i < GUEST_COUNT; i++)
		if (set[i])
			test_guest(o, i);
}

static void run_damages(struct options *o, int only)
{
	unsigned int n = 0;
	const int *g;
	int d;

	for (d = 1; d < DAMAGE_COUNT; d++)
		for (g = damage_guests(d); (!only || d == only) && *g >= 0; g++)
			n++;
	ksft_print_header();
	ksft_set_plan(n);
	for (d = 1; d < DAMAGE_COUNT; d++) {
		o->damage = d;
		for (g = damage_guests(d); (!only || d == only) && *g >= 0; g++)
			test_guest(o, *g);
	}
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "from", 1, NULL, 'a' }, { "to", 1, NULL, 'b' },
		{ "passes", 1, NULL, 'n' }, { "guest", 1, NULL, 'g' },
		{ "cpus", 1, NULL, 'c' }, { "memory", 1, NULL, 'm' },
		{ "steps", 1, NULL, 's' }, { "exec", 0, NULL, 'x' },
		{ "split", 0, NULL, 'S' }, { "break", 1, NULL, 'B' },
		{ "wait", 1, NULL, 'w' }, { "help", 0, NULL, 'h' }, { 0 }
	};
	struct options o = {
		.dev = { "/dev/kvm", NULL },
		.shape = { .cpus = 2, .mem = 32 << 20 },
		.passes = 10,
		.steps = 3,
	};
	bool set[GUEST_COUNT] = { 0 };
	char all[] = "all", *guests = all;
	int c, n, damage = -1;

	while ((c = getopt_long(argc, argv, "a:b:n:g:c:m:s:B:w:xSh", longs,
				NULL)) != -1) {
		switch (c) {
		case 'a':
			o.dev[0] = optarg;
			break;
		case 'b':
			o.dev[1] = optarg;
			break;
		case 'n':
			o.passes = strtoul(optarg, NULL, 0);
			break;
		case 'g':
			guests = optarg;
			break;
		case 'c':
		case 'm':
		case 'S':
			shape_option(&o.shape, c, optarg);
			break;
		case 's':
			o.steps = strtoul(optarg, NULL, 0);
			break;
		case 'w':
			o.patience = strtoul(optarg, NULL, 0);
			break;
		case 'x':
			o.other_process = true;
			break;
		case 'B':
			damage = strcmp(optarg, "all") ? damage_by_name(optarg) : 0;
			if (damage < 0) {
				vmm_error(0, "nothing to lose is called %s", optarg);
				return 2;
			}
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	if (!strcmp(guests, "list")) {
		guests_list();
		return 0;
	}
	if (!o.dev[1])
		o.dev[1] = o.dev[0];
	if (!o.patience)
		o.patience = damage >= 0 ? 20 : 120;
	n = guests_parse(guests, set);
	if (n < 0)
		return 2;
	if (damage >= 0)
		run_damages(&o, damage);
	else
		run_guests(&o, set, n);
	ksft_finished();
}
