// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-nvme: a queue of an NVMe controller that goes on being worked off. */
#include <err.h>
#include <errno.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <kselftest.h>
#include "nvme.h"
#include "result.h"
#include "vfio.h"

static const char usage[] =
"usage: keepalive-nvme BDF\n"
"\n"
"A VMM is killed when it has given an NVMe controller a queue of commands, which the host\n"
"makes slow. Another process goes on. Each sector of the disk is its number in decimal,\n"
"blanks, and a newline. BDF is bound to vfio-pci, and the probes of\n"
"selftests/in-host/vfio-keepalive are set.\n";

#define COMMANDS	(NVME_ENTRIES - 1)
#define IOVA		0x1000000
#define SIZE		0x100000
#define LIMIT		60000

/* Where the controller finds block @i of the guest's memory */
static __u64 data(unsigned int i)
{
	return IOVA + offsetof(struct nvme_memory, data[i]);
}

/* Sectors as they were on the disk at first. */
static bool right(const char *at, unsigned int block)
{
	unsigned int i;
	char want[NVME_SECTOR + 1];

	for (i = 0; i < NVME_BLOCK / NVME_SECTOR; i++) {
		snprintf(want, sizeof(want), "%-511u\n", block * (NVME_BLOCK / NVME_SECTOR) + i);
		if (memcmp(at + i * NVME_SECTOR, want, NVME_SECTOR))
			return false;
	}
	return true;
}

/**
 * struct plan - what a VMM is given
 * @bdf:	its device
 * @memory:	guest memory
 * @m:		where that is mapped
 */
struct plan {
	const char *bdf;
	int memory;
	struct nvme_memory *m;
};

static void vmm(int out, const void *arg)
{
	const struct plan *plan = arg;
	struct nvme_memory *m = plan->m;
	struct ticket ticket;
	struct nvme_queues q;
	struct device d;
	unsigned int i;
	int s;

	device_open(&d, plan->bdf, true);
	device_map_bar(&d);
	device_map_dma(&d, m, IOVA, SIZE, NVME_BLOCK);
	nvme_start(&d, m, IOVA, &q);
	device_interrupts(&d);
	s = ka_create(ka_open(), "nvme", LIMIT, &ticket);
	if (s < 0)
		errx(1, "session: %s", strerror(-s));
	device_keep(&d, s, plan->memory);
	for (i = 0; i < COMMANDS; i++)
		nvme_put(m, &q, 1, nvme_transfer(NVME_READ, data(i), i));
	if (ka_set_state(s, VFIO_KEEPALIVE_SESSION, &q, sizeof(q)))
		errx(1, "state");
	nvme_ring(&d, &q, 1);
	vmm_die(out, &ticket);
}

/* A reset of the bus below its port, which takes the groups of all devices there. */
static int try_hot_reset(const struct device *d, int group)
{
	struct {
		struct vfio_pci_hot_reset reset;
		__s32 group;
	} a = { .reset = { .argsz = sizeof(a), .count = 1 }, .group = group };

	return ioctl(d->fd, VFIO_DEVICE_PCI_HOT_RESET, &a) ? -errno : 0;
}

/*
 * Who has device and group may reset an orphan's device, as he may a VMM's. It is the
 * claimer's matter to find that: all else of the session is as it was.
 */
static void hot_reset(int dev, struct ticket *ticket, struct device *d, struct nvme_memory *m)
{
	long maps = host_hits("iommu_map"), unmaps = host_hits("iommu_unmap");
	long resets = host_hits("reset");
	struct nvme_queues q;
	int s, memory;

	is(try_hot_reset(d, d->msi), -EINVAL, "hot reset of an orphan's device: no group");
	is(try_hot_reset(d, -1), -EBADF, "no descriptor");
	is(host_hits("reset") - resets, 0, "resets");
	is(device_read32(d, NVME_CC), NVME_CC_ENABLE, "the controller is as it was");
	is(try_hot_reset(d, d->group), 0, "hot reset with its group");
	check(host_hits("reset") > resets, "it is reset");
	is(ka_state(dev, ticket->id), VFIO_KEEPALIVE_ORPHANED, "an orphan still");
	device_close(d);

	s = ka_claim(dev, ticket);
	check(s >= 0, "the orphan is claimed");
	device_take(d, s, &memory);
	close(memory);
	device_map_bar(d);
	is(device_read32(d, NVME_CC), 0, "its controller is off");
	is(host_hits("iommu_map") - maps, 0, "mappings made");
	is(host_hits("iommu_unmap") - unmaps, 0, "mappings taken away");
	memset(m->cq, 0, sizeof(m->cq));
	device_set_config16(d, 4, device_config16(d, 4) | 6);
	nvme_start(d, m, IOVA, &q);
	nvme_put(m, &q, 1, nvme_transfer(NVME_READ, data(0), 99));
	nvme_ring(d, &q, 1);
	check(nvme_take(d, m, &q, 1, 1) && right(m->data[0], 99),
	      "started again, it reads by the mappings that are there");
	device_close(d);
	close(s);
}

static void claim(int dev, struct ticket *ticket, struct nvme_memory *m)
{
	long maps = host_hits("iommu_map"), unmaps = host_hits("iommu_unmap");
	long irte = host_hits("irte"), resets = host_hits("reset");
	unsigned int i, gone, now, later, bad = 0;
	struct nvme_queues fresh = { .phase = { 1, 1 } }, q;
	__u32 size = sizeof(q);
	int s, memory;
	struct device d;
	__u64 n;

	gone = nvme_completed(m, &fresh, 1);
	usleep(300000);
	now = nvme_completed(m, &fresh, 1);
	usleep(300000);
	later = nvme_completed(m, &fresh, 1);
	ksft_print_msg("commands completed: %u at the VMM's end, then %u, %u\n", gone, now, later);
	check(gone < now && now < later && later < COMMANDS,
	      "DMA goes on, in a loop, without a VMM");

	s = ka_claim(dev, ticket);
	check(s >= 0, "another process claims the session");
	device_take(&d, s, &memory);
	check(!ka_get_state(s, VFIO_KEEPALIVE_SESSION, &q, &size) && size == sizeof(q),
	      "it has the state that the VMM left");
	m = guest_map(memory, SIZE);
	device_move_dma(&d, m, IOVA, SIZE, NVME_BLOCK);
	device_map_bar(&d);
	is(device_read32(&d, NVME_CC), NVME_CC_ENABLE, "the controller is as it was: NVME_CC");
	is(device_read32(&d, NVME_CSTS), 1, "and NVME_CSTS");
	n = device_interrupts(&d);
	check(n >= 2, "interrupts of that time are in the eventfd");
	ksft_print_msg("interrupts: %llu\n", (unsigned long long)n);
	check(nvme_take(&d, m, &q, 1, COMMANDS), "all commands of the VMM complete");
	for (i = 0; i < COMMANDS; i++)
		bad += !right(m->data[i], i);
	is(bad, 0, "blocks that are wrong");
	device_interrupts(&d);

	for (i = 0; i < 4; i++) {
		memset(m->data[i], 'a' + i, NVME_BLOCK);
		nvme_put(m, &q, 1, nvme_transfer(NVME_WRITE, data(i), 100 + i));
	}
	nvme_ring(&d, &q, 1);
	check(nvme_take(&d, m, &q, 1, 4), "the claimer writes");
	check(device_interrupts(&d) > 0, "and is interrupted");
	for (i = 0; i < 4; i++)
		nvme_put(m, &q, 1, nvme_transfer(NVME_READ, data(10 + i), 100 + i));
	nvme_put(m, &q, 1, nvme_transfer(NVME_READ, data(14), 99));
	nvme_ring(&d, &q, 1);
	check(nvme_take(&d, m, &q, 1, 5), "and reads, across the queue's end");
	for (i = 0; i < 4; i++)
		bad += memcmp(m->data[i], m->data[10 + i], NVME_BLOCK) != 0;
	bad += !right(m->data[14], 99);
	is(bad, 0, "blocks that are wrong then");
	is(host_hits("iommu_map") - maps, 0, "mappings made since the VMM's end");
	is(host_hits("iommu_unmap") - unmaps, 0, "mappings taken away");
	is(host_hits("irte") - irte, 0, "interrupts sent elsewhere");
	is(host_hits("reset") - resets, 0, "resets");

	/* The claimer lets the session go and goes on using the device. */
	close(s);
	is(ka_state(dev, ticket->id), VFIO_KEEPALIVE_ORPHANED, "closed: an orphan again");
	is(host_hits("reset") - resets, 0, "resets");
	hot_reset(dev, ticket, &d, m);
	resets = host_hits("reset");
	is(ka_release(dev, ticket->id, 0), 0, "release");
	is(host_hits("reset") - resets, 1, "resets");
	check(host_hits("iommu_unmap") > unmaps, "the mappings are gone");
}

int main(int argc, char **argv)
{
	struct plan plan;
	struct ticket ticket;
	int dev;

	if (argc != 2 || argv[1][0] == '-') {
		fputs(usage, argc == 2 ? stdout : stderr);
		return argc == 2 ? 0 : 2;
	}
	plan.bdf = argv[1];
	plan.memory = guest_memory(SIZE);
	plan.m = guest_map(plan.memory, SIZE);
	dev = ka_open();
	ksft_print_header();
	check(vmm_killed(vmm, &plan, &ticket), "a VMM is killed");
	claim(dev, &ticket, plan.m);
	result_end();
}
