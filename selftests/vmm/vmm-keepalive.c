// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-keepalive: the VMM is replaced, and the KVM with it, under a guest that works with a
 * device that is passed through to it.
 *
 * Each VMM is a process that ends by SIGKILL. What the next one has of it is a
 * session of vfio-keepalive: the descriptors, and the state of the VM as the session's
 * opaque bytes.
 */
#include <err.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/nvme.h"
#include "../vfio/result.h"
#include "../vfio/vfio.h"
#include "vmm.h"

static const char usage[] =
"usage: vmm-keepalive BDF INSTANCE OTHER CHANGES\n"
"\n"
"A guest on INSTANCE works with the NVMe controller BDF, which is bound to vfio-pci. Its VMM\n"
"is killed and another one goes on, on OTHER and back, CHANGES times. The probes of\n"
"selftests/in-host/vfio-keepalive are set. TAP output.\n";

#define LIMIT		60000
/* Steps of the guest, of two commands each, between two changes */
#define STEPS		3
#define BAR_SLOT	1

/**
 * struct replacement - what all VMMs know
 * @bdf:	the device
 * @path:	/dev/kvm-*, by turns
 * @shape:	of the VM
 * @fds:	its memory and eventfds; of the first VMM alone
 * @report:	of the vCPUs
 * @turn:	how many VMMs there were
 * @ticket:	of the session, which the last one left
 * @stop:	pipe: a byte ends the VMM
 * @up:		pipe: a long says that the VM runs, and how many interrupts of the device
 *		the host had taken before
 */
struct replacement {
	const char *bdf;
	char path[2][64];
	struct vm_shape shape;
	struct vm_fds fds;
	struct vm_report *report;
	unsigned int turn;
	struct ticket ticket;
	int stop[2];
	int up[2];
};

/* Interrupts of the device that the host took */
static long raised(const struct replacement *r)
{
	char name[64];

	snprintf(name, sizeof(name), "vfio-msix[0](%s)", r->bdf);
	return host_irqs(name);
}

/* The device's registers in the guest's memory */
static int add_bar(struct vm *vm, const struct device *d)
{
	struct kvm_userspace_memory_region slot = {
		.slot = BAR_SLOT, .guest_phys_addr = GUEST_NVME_BAR,
		.memory_size = d->bar_size, .userspace_addr = (unsigned long)d->bar,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) ? -errno : 0;
}

static struct vm *make_vm(const struct replacement *r, const struct vm_fds *fds,
			  const struct device *d)
{
	struct vm *vm = vm_create(r->path[r->turn % 2], &r->shape, fds, r->report);

	if (!vm || add_bar(vm, d))
		errx(1, "VMM %u: no VM", r->turn);
	return vm;
}

/* A VM that is ready to run, and a session with all that it needs */
static struct vm *first(struct replacement *r, struct device *d, int *session)
{
	struct nvme_queues q;
	struct vm *vm;
	int s;

	device_open(d, r->bdf, true);
	device_map_bar(d);
	close(r->fds.irq[0]);
	r->fds.irq[0] = d->msi;
	vm = make_vm(r, &r->fds, d);
	device_map_dma(d, vm->mem, 0, r->shape.mem, r->shape.mem);
	if (vm_boot(vm))
		errx(1, "the guest is not there");
	nvme_start(d, (void *)(vm->mem + GUEST_NVME), GUEST_NVME, &q);
	/* Its own two, for the queues */
	usleep(100000);
	device_interrupts(d);
	s = ka_create(ka_open(), "vmm", LIMIT, &r->ticket);
	if (s < 0)
		errx(1, "session: %s", strerror(-s));
	device_keep(d, s, r->fds.mem);
	if (ka_add(s, r->fds.ack[0], VFIO_KEEPALIVE_EVENTFD, "ack", 0, NULL, 0) < 0)
		errx(1, "ack");
	*session = s;
	return vm;
}

/* The same, of what the last VMM left */
static struct vm *next(struct replacement *r, struct device *d, int *session)
{
	static char state[VFIO_KEEPALIVE_STATE_MAX];
	struct vm_state st = { .buf = state };
	__u32 size = sizeof(state);
	struct vm_fds fds;
	struct vm *vm;
	int s;

	s = ka_claim(ka_open(), &r->ticket);
	if (s < 0)
		errx(1, "claim: %s", strerror(-s));
	fds = (struct vm_fds){ .mem = -1 };
	device_take(d, s, &fds.mem);
	fds.irq[0] = d->msi;
	fds.ack[0] = ka_get_fd_by_name(s, "ack");
	if (ka_get_state(s, VFIO_KEEPALIVE_SESSION, state, &size) || fds.ack[0] < 0)
		errx(1, "the session has no state");
	/* The ticket is in memory that outlives this process. */
	if (ka_confirm(s))
		errx(1, "confirm");
	device_map_bar(d);
	vm = make_vm(r, &fds, d);
	device_move_dma(d, vm->mem, 0, r->shape.mem, r->shape.mem);
	st.len = size;
	st.room = size;
	if (vm_restore(vm, &st))
		errx(1, "the guest's state is not taken");
	*session = s;
	return vm;
}

static void vmm(int out, const void *arg)
{
	struct replacement r = *(const struct replacement *)arg;
	struct vm_state st = { 0 };
	struct device d;
	struct vm *vm;
	int session;
	long before;
	char byte;

	vm = r.turn ? next(&r, &d, &session) : first(&r, &d, &session);
	before = raised(&r);
	if (vm_go_on(vm))
		errx(1, "the guest does not run");
	if (write(r.up[1], &before, sizeof(before)) != sizeof(before) ||
	    read(r.stop[0], &byte, 1) != 1)
		errx(1, "nobody is there");
	if (vm_stop_and_save(vm, &st))
		errx(1, "the guest does not stop");
	if (!r.turn)
		ksft_print_msg("the state of a VM has %zu bytes\n", st.len);
	fflush(stdout);
	if (ka_set_state(session, VFIO_KEEPALIVE_SESSION, st.buf, st.len))
		errx(1, "state of %zu bytes", st.len);
	vmm_die(out, &r.ticket);
}

/* A VMM in a process of its own, that is watched meanwhile. */
struct worker {
	pid_t pid;
	int told;
};

static struct worker start(const struct replacement *r)
{
	struct worker w = { 0 };
	int p[2];

	if (pipe(p))
		err(1, "pipe");
	fflush(stdout);
	w.pid = fork();
	if (!w.pid) {
		close(p[0]);
		vmm(p[1], r);
		_exit(1);
	}
	close(p[1]);
	w.told = p[0];
	return w;
}

static bool runs(const struct replacement *r, long *irqs)
{
	return read(r->up[0], irqs, sizeof(*irqs)) == sizeof(*irqs);
}

/* Ends it; true if it left a session, and was killed. */
static bool end(struct replacement *r, struct worker *w)
{
	int status;
	bool told;

	told = write(r->stop[1], "", 1) == 1 &&
	       read(w->told, &r->ticket, sizeof(r->ticket)) == sizeof(r->ticket);
	close(w->told);
	waitpid(w->pid, &status, 0);
	r->turn++;
	return told && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool change(struct replacement *r, struct watch *w, unsigned int changes)
{
	struct worker worker = start(r);
	long irqs, maps, unmaps, irte, resets;
	struct guest_cpu *c = vm_cpu_page(w->mem, 0);
	char tables[160], now[160];
	unsigned int i, same = 0;
	__u64 under_way = 0;
	bool ok = runs(r, &irqs);
	long unused;

	if (!ok)
		return false;
	maps = host_hits("iommu_map");
	unmaps = host_hits("iommu_unmap");
	irte = host_hits("irte");
	resets = host_hits("reset");
	host_digest(tables, sizeof(tables));
	for (i = 0; ok && i < changes; i++) {
		ok = watch_steps(w, STEPS) == WATCH_OK && end(r, &worker);
		if (!ok)
			break;
		/* Nobody reads it now but the device, which goes on. */
		under_way += VMM_LOAD(c->count[1]) > VMM_LOAD(c->count[0]);
		usleep(random() % 50000);
		host_digest(now, sizeof(now));
		same += !strcmp(tables, now);
		worker = start(r);
		ok = runs(r, &unused);
	}
	ok = ok && watch_steps(w, STEPS) == WATCH_OK && watch_finish(w) == WATCH_OK;
	if (!ok)
		ksft_print_msg("after %u changes: %s\n", i, w->why);
	check(ok, "the guest verified all blocks, through all changes");
	ksft_print_msg("%u changes, %llu commands, in %llu changes one under way\n", i,
		       VMM_LOAD(c->count[1]), under_way);
	check(under_way > 0, "the device worked without a VMM");
	if (*tables) {
		host_digest(now, sizeof(now));
		same += !strcmp(tables, now);
		is(same, i + 1, "times the IOMMU's tables were the same");
		ksft_print_msg("%s", tables);
	}
	is(VMM_LOAD(c->count[0]), VMM_LOAD(c->count[1]), "interrupts, as many as commands");
	is(raised(r) - irqs, VMM_LOAD(c->count[0]), "and as the host took");
	is(host_hits("iommu_map") - maps, 0, "mappings made");
	is(host_hits("iommu_unmap") - unmaps, 0, "mappings taken away");
	is(host_hits("irte") - irte, 0, "interrupts sent elsewhere");
	is(host_hits("reset") - resets, 0, "resets");
	return end(r, &worker);
}

int main(int argc, char **argv)
{
	struct replacement r = {
		.shape = { .cpus = 1, .mem = GUEST_MIN_MEM },
	};
	struct watch w = { 0 };
	int dev, i;

	if (argc != 5) {
		fputs(usage, argc == 2 && !strcmp(argv[1], "--help") ? stdout : stderr);
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	r.bdf = argv[1];
	for (i = 0; i < 2; i++)
		snprintf(r.path[i], sizeof(r.path[i]), "/dev/%s", argv[2 + i]);
	r.shape.guest = guest_by_name("nvme");
	r.report = mmap(NULL, sizeof(*r.report), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r.report == MAP_FAILED || vm_fds_make(&r.shape, &r.fds) || pipe(r.stop) ||
	    pipe(r.up) || watch_open(&w, &r.shape, &r.fds, r.report))
		err(1, "no memory");
	w.patience = 60;
	ksft_print_header();
	check(change(&r, &w, strtoul(argv[4], NULL, 0)), "each VMM was killed");
	dev = ka_open();
	is(ka_release(dev, r.ticket.id, 0), 0, "release");
	is(raised(&r), -1, "interrupts of the device that the host has");
	result_end();
}
