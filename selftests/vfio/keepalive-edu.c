// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-edu: QEMU's device edu, whose VMM is killed while it does DMA. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <kselftest.h>
#include "result.h"
#include "vfio.h"

static const char usage[] =
"usage: keepalive-edu BDF [-p] kill | lone | refuse | expire | orphan MS [request] |\n"
"       mdev GROUP UUID | faults N | bench\n"
"\n"
"  kill    a VMM is killed while its device does DMA, another process goes on\n"
"  lone    a control: the same VMM without a session\n"
"  refuse  descriptors of VFIO that cannot be kept\n"
"  expire  nobody claims: the device is released, once\n"
"  orphan  leave an orphan for MS milliseconds, with an eventfd by which the device can be\n"
"          asked for, and print its number\n"
"  mdev    the mdev UUID, in the container of the device, or in one of its own\n"
"  faults  N sessions, when failslab is set up: what fails leaves the device as it was\n"
"  bench   nanoseconds of a DMA map, a DMA unmap and an interrupt, without a session and\n"
"          (kept_) with one\n"
"\n"
"BDF is bound to vfio-pci. With -p the probes of selftests/in-host/vfio-keepalive are set.\n";

/* Registers of edu */
#define EDU_ID		0x00
#define EDU_IRQ_STATUS	0x24
#define EDU_IRQ_RAISE	0x60
#define EDU_IRQ_ACK	0x64
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	0x01
#define EDU_DMA_TO_RAM	0x02
#define EDU_DMA_IRQ	0x04
#define EDU_IRQ_DMA	0x100
/* Its own memory, as its DMA addresses it */
#define EDU_BUFFER	0x40000
/* One DMA takes 100 ms. More bytes than this end QEMU. */
#define EDU_MAX		2048

#define PCI_COMMAND	4
#define PCI_MASTER	4

#define SIZE		0x100000
#define IOVA		0x100000
#define OUTSIDE		0x8000000
#define FAULT		"fault addr 0x8000000"
/* In guest memory: what goes to the device, and where it comes back */
#define OUT		0
#define BACK		0x10000
#define BACK2		0x20000
#define LIMIT		60000

static const char *bdf;
static bool probes;

static void fill(__u8 *at, unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < EDU_MAX; i++)
		at[i] = seed + i * 13 + i / 97;
}

static void dma_start(const struct device *d, __u32 src, __u32 dst, __u32 cmd)
{
	device_write32(d, EDU_DMA_SRC, src);
	device_write32(d, EDU_DMA_DST, dst);
	device_write32(d, EDU_DMA_COUNT, EDU_MAX);
	device_write32(d, EDU_DMA_CMD, cmd | EDU_DMA_RUN | EDU_DMA_IRQ);
}

static __u64 dma(const struct device *d, __u32 src, __u32 dst, __u32 cmd)
{
	__u64 n;

	dma_start(d, src, dst, cmd);
	n = device_interrupts(d);
	device_write32(d, EDU_IRQ_ACK, EDU_IRQ_DMA);
	return n;
}

/**
 * struct plan - what a VMM does before it dies
 * @memory:	guest memory
 * @limit_ms:	of the session
 * @session:	have one
 * @request:	with an eventfd that the device can be asked for by
 * @last_dst:	where the DMA goes that it dies of, or 0 for none: edu has no reset, and one
 *		that ends when its MSI is off already asserts an INTx that nobody handles
 */
struct plan {
	int memory;
	__u32 limit_ms;
	bool session;
	bool request;
	__u32 last_dst;
};

static void vmm(int out, const void *arg)
{
	const struct plan *plan = arg;
	struct ticket ticket = { 0 };
	struct device d;
	int dev, s;
	__u8 *mem = guest_map(plan->memory, SIZE);

	device_open(&d, bdf, plan->request);
	device_map_bar(&d);
	device_map_dma(&d, mem, IOVA, SIZE, SIZE);
	device_set_msi(&d, VFIO_PCI_MSI_IRQ_INDEX);
	if (plan->session) {
		dev = ka_open();
		s = ka_create(dev, "edu", plan->limit_ms, &ticket);
		if (s < 0)
			errx(1, "session: %s", strerror(-s));
		device_keep(&d, s, plan->memory);
		if (ka_set_state(s, VFIO_KEEPALIVE_SESSION, "edu 1", 6))
			errx(1, "state");
	}
	fill(mem + OUT, 1);
	if (dma(&d, IOVA + OUT, EDU_BUFFER, 0) != 1)
		errx(1, "DMA to the device");
	if (plan->last_dst)
		dma_start(&d, EDU_BUFFER, plan->last_dst, EDU_DMA_TO_RAM);
	vmm_die(out, &ticket);
}

/* What changes an IOMMU's tables, an interrupt's way, or the device */
static const char * const watched[] = {
	"iommu_map", "iommu_unmap", "irte", "close", "reset", "disable",
};

#define WATCHED (sizeof(watched) / sizeof(*watched))

static void hits(long *n)
{
	unsigned int i;

	for (i = 0; i < WATCHED; i++)
		n[i] = host_hits(watched[i]);
}

static bool unchanged(const long *before)
{
	long now[WATCHED];
	unsigned int i;
	bool ok = true;

	hits(now);
	for (i = 0; i < WATCHED; i++) {
		if (now[i] == before[i] && now[i] >= 0)
			continue;
		ksft_print_msg("%s: %ld, before %ld\n", watched[i], now[i], before[i]);
		ok = false;
	}
	return ok;
}

/* Or it would not say much that nothing was counted later. */
static bool counted(const long *before)
{
	long now[WATCHED];

	hits(now);
	return now[0] > before[0] && now[2] > before[2];
}

/* The kernel says so in a handler of its own, some time after the device is done. */
static void check_blocked(int before, const char *what)
{
	unsigned int i;

	if (access("/sys/class/iommu/dmar0", F_OK)) {
		result_skip("%s: this IOMMU of QEMU tells no faults\n", what);
		return;
	}
	for (i = 0; i < 200 && host_log_has(FAULT) <= before; i++)
		usleep(10000);
	check(host_log_has(FAULT) > before, what);
}

static int msi_control(void)
{
	/* edu's MSI capability is its only one. */
	return host_config16(bdf, (host_config16(bdf, 0x34) & 0xff) + 2);
}

/* On a busy machine 100 ms can be too short for a process to end. */
static bool killed_in_time(const struct plan *plan, struct ticket *ticket, int dev, __u8 *back,
			   long *before)
{
	unsigned int i;

	for (i = 0; i < 20; i++) {
		memset(back, 0, EDU_MAX);
		hits(before);
		if (!vmm_killed(vmm, plan, ticket))
			return false;
		if (!back[1])
			return true;
		ksft_print_msg("the DMA was faster than the end of the VMM\n");
		ka_release(dev, ticket->id, 0);
	}
	return false;
}

static int test_kill(void)
{
	struct plan plan = {
		.memory = guest_memory(SIZE), .limit_ms = LIMIT, .session = true, .request = true,
		.last_dst = IOVA + BACK,
	};
	__u8 *mem = guest_map(plan.memory, SIZE), *again, want[EDU_MAX];
	long before[WATCHED];
	struct ticket ticket;
	int dev = ka_open(), s, memory, faults, config_msi[4], i, msi_at;
	char state[6];
	__u32 size = sizeof(state);
	struct device d;
	bool same = true;

	fill(want, 1);
	check(killed_in_time(&plan, &ticket, dev, mem + BACK, before),
	      "the VMM is killed while the device does DMA");
	check(mem[BACK + 1] == 0, "its memory is not written when it is gone");
	if (probes)
		check(counted(before), "its mappings and the way of its interrupt were counted");
	is(ka_state(dev, ticket.id), VFIO_KEEPALIVE_ORPHANED, "its session is an orphan");
	hits(before);
	msi_at = host_config16(bdf, 0x34) & 0xff;
	for (i = 0; i < 4; i++)
		config_msi[i] = host_config16(bdf, msi_at + 4 + 2 * i);
	usleep(400000);
	check(!memcmp(mem + BACK, want, EDU_MAX),
	      "DMA goes on without a VMM: its bytes are there");
	check(host_config16(bdf, PCI_COMMAND) & PCI_MASTER, "the device is bus master");
	check(msi_control() & 1, "its MSI is on");
	for (i = 0; i < 4; i++)
		same &= config_msi[i] == host_config16(bdf, msi_at + 4 + 2 * i);
	check(same, "address and data of its MSI are the same");

	s = ka_claim(dev, &ticket);
	check(s >= 0, "another process claims it");
	device_take(&d, s, &memory);
	check(!ka_get_state(s, VFIO_KEEPALIVE_SESSION, state, &size) && !strcmp(state, "edu 1"),
	      "it has the state that the VMM left");
	is(device_interrupts(&d), 1, "the interrupt of that time is in the eventfd");
	device_map_bar(&d);
	is(device_read32(&d, EDU_IRQ_STATUS), EDU_IRQ_DMA, "and is pending in the device");
	device_write32(&d, EDU_IRQ_ACK, EDU_IRQ_DMA);
	again = guest_map(memory, SIZE);
	is(host_locked_kib(), 0, "KiB of locked memory, before");
	device_move_dma(&d, again, IOVA, SIZE, SIZE);
	is(host_locked_kib(), SIZE >> 10, "KiB of locked memory, moved here");
	if (probes)
		check(unchanged(before),
		      "no mapping, no remapping of interrupts, no reset, no close until here");
	is(dma(&d, EDU_BUFFER, IOVA + BACK2, EDU_DMA_TO_RAM), 1,
	   "a DMA of the claimer, interrupts");
	check(!memcmp(again + BACK2, want, EDU_MAX), "the device still has its buffer");
	fill(again + OUT, 77);
	is(dma(&d, IOVA + OUT, EDU_BUFFER, 0), 1, "one to the device");
	is(dma(&d, EDU_BUFFER, IOVA + BACK, EDU_DMA_TO_RAM), 1, "and back");
	check(!memcmp(again + BACK, again + OUT, EDU_MAX), "the bytes are right");
	faults = host_log_has(FAULT);
	dma(&d, EDU_BUFFER, OUTSIDE, EDU_DMA_TO_RAM);
	check_blocked(faults, "a DMA outside the mapping is blocked");

	ka_release(dev, ticket.id, VFIO_KEEPALIVE_RELEASE_FORCE);
	check(host_config16(bdf, PCI_COMMAND) & PCI_MASTER,
	      "released by force: the claimer has it");
	device_close(&d);
	check(!(host_config16(bdf, PCI_COMMAND) & PCI_MASTER) && !(msi_control() & 1),
	      "closed: neither bus master nor MSI");
	is(host_locked_kib(), 0, "KiB of locked memory, closed");
	close(s);

	/* The same once more, and the last DMA of the VMM goes astray. */
	plan.last_dst = OUTSIDE;
	faults = host_log_has(FAULT);
	check(vmm_killed(vmm, &plan, &ticket), "a VMM is killed, and its last DMA is outside");
	usleep(400000);
	check_blocked(faults, "it is blocked without a VMM too");
	is(ka_release(dev, ticket.id, 0), 0, "release");
	check(!(host_config16(bdf, PCI_COMMAND) & PCI_MASTER), "released: no bus master");
	return 0;
}

static int test_lone(void)
{
	struct plan plan = { .memory = guest_memory(SIZE), .last_dst = IOVA + BACK };
	__u8 *mem = guest_map(plan.memory, SIZE);
	struct ticket ticket;

	check(vmm_killed(vmm, &plan, &ticket), "a VMM without a session is killed");
	check(!(host_config16(bdf, PCI_COMMAND) & PCI_MASTER) && !(msi_control() & 1),
	      "neither bus master nor MSI");
	usleep(400000);
	check(mem[BACK + 1] == 0, "no DMA");
	return 0;
}

static int test_expire(void)
{
	struct plan plan = {
		.memory = guest_memory(SIZE), .limit_ms = 1500, .session = true,
		.last_dst = IOVA + BACK,
	};
	long close_before, reset_before;
	struct ticket ticket;
	int dev = ka_open();

	close_before = host_hits("close");
	reset_before = host_hits("disable");
	check(vmm_killed(vmm, &plan, &ticket), "a VMM is killed");
	usleep(500000);
	check(host_config16(bdf, PCI_COMMAND) & PCI_MASTER, "its device is bus master");
	if (probes)
		is(host_hits("close") - close_before, 0, "closed");
	check(ka_wait_gone(dev, ticket.id, 5000), "nobody claims: the session goes");
	check(!(host_config16(bdf, PCI_COMMAND) & PCI_MASTER) && !(msi_control() & 1),
	      "neither bus master nor MSI");
	if (probes) {
		is(host_hits("close") - close_before, 1, "closed");
		is(host_hits("disable") - reset_before, 1, "disabled");
	}
	is(ka_claim(dev, &ticket), -ENOENT, "claim: too late");
	return 0;
}

static int test_refuse(void)
{
	struct ticket t;
	int dev = ka_open(), s = ka_create(dev, "refuse", LIMIT, &t), s2, container;
	struct device d;

	container = open("/dev/vfio/vfio", O_RDWR);
	is(ka_add(s, container, VFIO_KEEPALIVE_CONTAINER, "c", 0, NULL, 0), -EOPNOTSUPP,
	   "a container without an IOMMU");
	close(container);
	device_open(&d, bdf, false);
	is(ka_add(s, d.group, VFIO_KEEPALIVE_GROUP, "g", 0, NULL, 0), -ENODEV,
	   "a group before its container");
	is(ka_add(s, d.fd, VFIO_KEEPALIVE_DEVICE, "d", 0, NULL, 0), -ENODEV,
	   "a device before its container");
	is(ka_add(s, d.fd, VFIO_KEEPALIVE_GROUP, "g", 0, NULL, 0), -EINVAL, "a device as group");
	is(ka_add(s, d.group, VFIO_KEEPALIVE_DEVICE, "d", 0, NULL, 0), -EINVAL,
	   "a group as device");
	is(ka_add(s, d.group, VFIO_KEEPALIVE_CONTAINER, "d", 0, NULL, 0), -EINVAL,
	   "a group as container");
	is(ka_add(s, d.container, VFIO_KEEPALIVE_GROUP, "d", 0, NULL, 0), -EINVAL,
	   "a container as group");
	is(ka_add(s, d.container, VFIO_KEEPALIVE_MEMORY, "d", 0, NULL, 0), -EINVAL,
	   "a container as memory");
	is(ka_add(s, d.container, VFIO_KEEPALIVE_CONTAINER, "c", 0, NULL, 0), 0, "a container");
	is(ka_add(s, d.container, VFIO_KEEPALIVE_CONTAINER, "c2", 0, NULL, 0), -EEXIST, "twice");
	is(ka_add(s, d.group, VFIO_KEEPALIVE_GROUP, "g", 0, NULL, 0), 1, "its group");
	s2 = ka_create(dev, "other", LIMIT, NULL);
	is(ka_add(s2, d.container, VFIO_KEEPALIVE_CONTAINER, "c", 0, NULL, 0), -EBUSY,
	   "a container that another session has");
	is(ka_add(s, d.fd, VFIO_KEEPALIVE_DEVICE, "d", 0, NULL, 0), 2, "its device");
	is(ka_remove(s, 2), 0, "removed");
	device_close(&d);
	close(s2);
	close(s);
	is(ka_release(dev, t.id, 0), 0, "release");
	return 0;
}

static int join(const char *node, int container)
{
	int group = open(node, O_RDWR | O_CLOEXEC);

	if (group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container))
		err(1, "%s", node);
	return group;
}

static int add(int session, int fd, __u32 kind)
{
	return ka_add(session, fd, kind, "refused", 0, NULL, 0);
}

/* An mdev reaches memory by address, which no address space has while nobody claims. */
static int test_mdev(const char *node, const char *uuid)
{
	int container = open("/dev/vfio/vfio", O_RDWR), group = join(node, container), fd, s;
	struct ticket t;
	struct device d;

	s = ka_create(ka_open(), "mdev", LIMIT, &t);
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		err(1, "VFIO_SET_IOMMU");
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid);
	check(fd >= 0, "an mdev in a container of its own");
	is(add(s, container, VFIO_KEEPALIVE_CONTAINER), -EOPNOTSUPP, "the container");
	is(add(s, group, VFIO_KEEPALIVE_GROUP), -ENODEV, "its group");
	is(add(s, fd, VFIO_KEEPALIVE_DEVICE), -ENODEV, "the mdev");
	close(fd);
	close(group);
	close(container);

	device_open(&d, bdf, false);
	is(ka_add(s, d.container, VFIO_KEEPALIVE_CONTAINER, "c", 0, NULL, 0), 0,
	   "a container with a device");
	group = join(node, d.container);
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid);
	check(fd >= 0, "the mdev comes into it");
	is(add(s, d.group, VFIO_KEEPALIVE_GROUP), -EOPNOTSUPP, "the device's group");
	is(add(s, d.fd, VFIO_KEEPALIVE_DEVICE), -EOPNOTSUPP, "the device");
	is(add(s, group, VFIO_KEEPALIVE_GROUP), -EOPNOTSUPP, "the mdev's group");
	is(add(s, fd, VFIO_KEEPALIVE_DEVICE), -EOPNOTSUPP, "the mdev");
	close(fd);
	close(group);
	is(ka_add(s, d.group, VFIO_KEEPALIVE_GROUP, "g", 0, NULL, 0), 1,
	   "the device's group, when it has gone");
	device_close(&d);
	close(s);
	is(ka_release(ka_open(), t.id, 0), 0, "release");
	return 0;
}

/* Allocations of this process fail from here on, or do not. */
static void make_fail(bool on)
{
	static int fd;

	if (!fd)
		fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	if (pwrite(fd, on ? "1" : "0", 1, 0) != 1)
		err(1, "make-it-fail");
}

/* A VMM dies here, and the next one claims. False if the session did not come about. */
static bool pass_on(struct device *d, int memory, int dev, struct ticket *t, unsigned int *failed)
{
	int s, r, again;

	make_fail(true);
	s = ka_create(dev, "faults", LIMIT, t);
	r = s < 0 ? s : device_try_keep(d, s, memory);
	/* munmap() may fail. */
	make_fail(false);
	if (r < 0) {
		if (s >= 0)
			close(s);
		(*failed)++;
		return false;
	}
	device_close(d);
	close(s);
	make_fail(true);
	while ((s = ka_claim(dev, t)) == -ENOMEM)
		(*failed)++;
	while (s >= 0 && (r = device_try_take(d, s, &again)) == -ENOMEM)
		(*failed)++;
	make_fail(false);
	if (s < 0 || r < 0)
		errx(1, "claim: %s", strerror(s < 0 ? -s : -r));
	close(again);
	close(s);
	return true;
}

static int test_faults(unsigned int n)
{
	int memory = guest_memory(SIZE), dev = ka_open();
	unsigned int i, failed = 0, whole = 0, wrong = 0, left = 0;
	__u8 *mem = guest_map(memory, SIZE);
	struct ticket t;
	struct device d;
	int r;

	for (i = 0; i < n; i++) {
		device_open(&d, bdf, true);
		device_map_bar(&d);
		device_map_dma(&d, mem, IOVA, SIZE, SIZE);
		device_set_msi(&d, VFIO_PCI_MSI_IRQ_INDEX);
		t.id = 0;
		whole += pass_on(&d, memory, dev, &t, &failed);
		if (!d.bar)
			device_map_bar(&d);
		fill(mem + OUT, i);
		memset(mem + BACK, ~i, EDU_MAX);
		if (dma(&d, IOVA + OUT, EDU_BUFFER, 0) != 1 ||
		    dma(&d, EDU_BUFFER, IOVA + BACK, EDU_DMA_TO_RAM) != 1 ||
		    memcmp(mem + OUT, mem + BACK, EDU_MAX))
			wrong++;
		device_close(&d);
		/* One that keeps nothing is gone already. */
		r = t.id ? ka_release(dev, t.id, 0) : 0;
		if (r && r != -ENOENT)
			errx(1, "release: %s", strerror(-r));
		left += host_config16(bdf, PCI_COMMAND) & PCI_MASTER;
	}
	ksft_print_msg("%u calls failed, %u of %u sessions were claimed\n", failed, whole, n);
	check(failed && whole && whole < n, "allocations fail, of some sessions");
	is(wrong, 0, "devices that did not work then");
	is(left, 0, "devices that were not closed");
	is(host_locked_kib(), 0, "KiB of locked memory");
	return 0;
}

static int orphan(__u32 limit_ms, bool request)
{
	struct plan plan = {
		.memory = guest_memory(SIZE), .limit_ms = limit_ms, .session = true,
		.request = request,
	};
	struct ticket ticket;

	if (!vmm_killed(vmm, &plan, &ticket))
		return 1;
	printf("%u\n", ticket.id);
	return 0;
}

static __u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static __u64 least(__u64 best, __u64 since, unsigned int n)
{
	__u64 now = (now_ns() - since) / n;

	return now < best ? now : best;
}

/* Until it can be read from the eventfd */
static void interrupt(const struct device *d)
{
	__u64 n;

	device_write32(d, EDU_IRQ_RAISE, 1);
	while (read(d->msi, &n, sizeof(n)) < 0)
		;
	device_write32(d, EDU_IRQ_ACK, 1);
}

/* The least of many: nothing else came in between. */
static void bench_device(const struct device *d, void *memory, const char *prefix)
{
	struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof(unmap), .size = 4096 };
	__u64 best[3] = { ~0ull, ~0ull, ~0ull }, t;
	unsigned int i, k;

	for (i = 0; i < 50; i++) {
		t = now_ns();
		device_map_dma(d, memory, IOVA, SIZE, 4096);
		best[0] = least(best[0], t, SIZE / 4096);
		t = now_ns();
		for (k = 0; k < SIZE / 4096; k++) {
			unmap.iova = IOVA + k * 4096;
			if (ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &unmap))
				err(1, "VFIO_IOMMU_UNMAP_DMA");
		}
		best[1] = least(best[1], t, SIZE / 4096);
		t = now_ns();
		for (k = 0; k < 100; k++)
			interrupt(d);
		best[2] = least(best[2], t, 100);
	}
	printf("%sdma_map %llu\n%sdma_unmap %llu\n%sinterrupt %llu\n",
	       prefix, (unsigned long long)best[0], prefix, (unsigned long long)best[1],
	       prefix, (unsigned long long)best[2]);
}

static int bench(void)
{
	int memory = guest_memory(SIZE), s;
	__u8 *mem = guest_map(memory, SIZE);
	struct ticket ticket;
	struct device d;

	memset(mem, 1, SIZE);
	device_open(&d, bdf, true);
	device_map_bar(&d);
	device_set_msi(&d, VFIO_PCI_MSI_IRQ_INDEX);
	bench_device(&d, mem, "");
	s = ka_create(ka_open(), "bench", LIMIT, &ticket);
	if (s < 0)
		errx(1, "session: %s", strerror(-s));
	device_keep(&d, s, memory);
	bench_device(&d, mem, "kept_");
	return 0;
}

static const struct test {
	const char *name;
	int (*run)(void);
} tests[] = {
	{ "kill", test_kill },
	{ "lone", test_lone },
	{ "refuse", test_refuse },
	{ "expire", test_expire },
};

int main(int argc, char **argv)
{
	unsigned int i;

	if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc > 2 && !strcmp(argv[2], "-p")) {
		probes = true;
		argv[2] = argv[1];
		argc--;
		argv++;
	}
	if (argc > 2)
		bdf = argv[1];
	if (argc > 3 && !strcmp(argv[2], "orphan"))
		return orphan(atoi(argv[3]), argc > 4);
	if (argc > 2 && !strcmp(argv[2], "bench"))
		return bench();
	if (argc == 5 && !strcmp(argv[2], "mdev")) {
		ksft_print_header();
		test_mdev(argv[3], argv[4]);
		result_end();
	}
	if (argc == 4 && !strcmp(argv[2], "faults")) {
		ksft_print_header();
		test_faults(atoi(argv[3]));
		result_end();
	}
	for (i = 0; bdf && i < sizeof(tests) / sizeof(*tests); i++) {
		if (strcmp(argv[2], tests[i].name))
			continue;
		ksft_print_header();
		tests[i].run();
		result_end();
	}
	fputs(usage, stderr);
	return 2;
}
