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
#include "result.h"
#include "vfio.h"

static const char usage[] =
"usage: keepalive-nvme BDF\n"
"\n"
"A VMM is killed when it has given an NVMe controller a queue of commands, which the host\n"
"makes slow. Another process goes on. Each sector of the disk is its number in decimal,\n"
"blanks, and a newline. BDF is bound to vfio-pci, and the probes of\n"
"selftests/in-host/vfio-keepalive are set.\n";

/* Registers */
#define CC		0x14
#define CSTS		0x1c
#define AQA		0x24
#define ASQ		0x28
#define ACQ		0x30
#define DOORBELLS	0x1000
/* Enabled, entries of 64 and 16 bytes */
#define CC_ENABLE	0x00460001

#define OP_CREATE_SQ	0x01
#define OP_CREATE_CQ	0x05
#define OP_WRITE	0x01
#define OP_READ		0x02

#define ENTRIES		64
#define COMMANDS	(ENTRIES - 1)
#define SECTOR		512
#define BLOCK		4096

#define IOVA		0x1000000
#define SIZE		0x100000
#define LIMIT		60000

/**
 * struct command - an entry of a submission queue
 * @op:		with the command's number in the upper half
 * @nsid:	namespace
 * @unused:	0
 * @prp:	where the data is
 * @dw:		the command's own
 */
struct command {
	__u32 op;
	__u32 nsid;
	__u64 unused[2];
	__u64 prp[2];
	__u32 dw[6];
};

/**
 * struct completion - an entry of a completion queue
 * @result:	the command's own
 * @unused:	0
 * @sq:		head and number of the submission queue
 * @id:		number of the command
 * @status:	its result, and in bit 0 the phase
 */
struct completion {
	__u32 result;
	__u32 unused;
	__u32 sq;
	__u16 id;
	__u16 status;
};

/* Guest memory; admin queues are number 0 */
struct memory {
	struct command sq[2][ENTRIES];
	struct completion cq[2][BLOCK / sizeof(struct completion)];
	char data[COMMANDS][BLOCK];
};

/**
 * struct queues - what a VMM has to know of its controller: the session's state
 * @tail:	of the submission queues
 * @head:	of the completion queues
 * @phase:	that a completion has which is new
 */
struct queues {
	__u32 tail[2];
	__u32 head[2];
	__u32 phase[2];
};

static __u64 iova(size_t offset)
{
	return IOVA + offset;
}

static void write64(const struct device *d, size_t at, __u64 value)
{
	device_write32(d, at, value);
	device_write32(d, at + 4, value >> 32);
}

static void wait_ready(const struct device *d, __u32 want)
{
	unsigned int i;

	for (i = 0; i < 5000; i++) {
		if ((device_read32(d, CSTS) & 1) == want)
			return;
		usleep(1000);
	}
	errx(1, "the controller does not get ready");
}

/* The doorbell is not rung. */
static void put(struct memory *m, struct queues *q, unsigned int queue, struct command c)
{
	c.op |= q->tail[queue] << 16;
	m->sq[queue][q->tail[queue]] = c;
	q->tail[queue] = (q->tail[queue] + 1) % ENTRIES;
}

static void ring(const struct device *d, const struct queues *q, unsigned int queue)
{
	device_write32(d, DOORBELLS + 8 * queue, q->tail[queue]);
}

/* Completions that are new, all of which must be of success. */
static unsigned int completed(const struct memory *m, const struct queues *q, unsigned int queue)
{
	unsigned int head = q->head[queue], phase = q->phase[queue], n = 0;

	for (;;) {
		__u16 status = __atomic_load_n(&m->cq[queue][head].status, __ATOMIC_ACQUIRE);

		if ((status & 1) != phase)
			return n;
		if (status >> 1)
			errx(1, "command %u: status %#x", m->cq[queue][head].id, status >> 1);
		n++;
		head = (head + 1) % ENTRIES;
		phase ^= !head;
	}
}

/* Waits for @n, and takes them. */
static bool take(const struct device *d, const struct memory *m, struct queues *q,
		 unsigned int queue, unsigned int n)
{
	unsigned int i;

	for (i = 0; completed(m, q, queue) < n; i++) {
		if (i == 10000)
			return false;
		usleep(1000);
	}
	while (n--) {
		q->head[queue] = (q->head[queue] + 1) % ENTRIES;
		q->phase[queue] ^= !q->head[queue];
	}
	device_write32(d, DOORBELLS + 8 * queue + 4, q->head[queue]);
	return true;
}

static struct command transfer(unsigned int op, unsigned int i, unsigned int block)
{
	return (struct command){
		.op = op, .nsid = 1,
		.prp = { iova(offsetof(struct memory, data[i])) },
		.dw = { block * (BLOCK / SECTOR), 0, BLOCK / SECTOR - 1 },
	};
}

static void controller_start(const struct device *d, struct memory *m, struct queues *q)
{
	struct command cq = {
		.op = OP_CREATE_CQ, .prp = { iova(offsetof(struct memory, cq[1])) },
		/* Queue 1; interrupts on, vector 0, contiguous */
		.dw = { (ENTRIES - 1) << 16 | 1, 3 },
	};
	struct command sq = {
		.op = OP_CREATE_SQ, .prp = { iova(offsetof(struct memory, sq[1])) },
		.dw = { (ENTRIES - 1) << 16 | 1, 1 << 16 | 1 },
	};

	*q = (struct queues){ .phase = { 1, 1 } };
	device_write32(d, CC, 0);
	wait_ready(d, 0);
	device_set_msi(d, VFIO_PCI_MSIX_IRQ_INDEX);
	device_write32(d, AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	write64(d, ASQ, iova(offsetof(struct memory, sq[0])));
	write64(d, ACQ, iova(offsetof(struct memory, cq[0])));
	device_write32(d, CC, CC_ENABLE);
	wait_ready(d, 1);
	put(m, q, 0, cq);
	put(m, q, 0, sq);
	ring(d, q, 0);
	if (!take(d, m, q, 0, 2))
		errx(1, "queues are not created");
}

/* Sectors as they were on the disk at first. */
static bool right(const char *data, unsigned int block)
{
	unsigned int i;
	char want[SECTOR + 1];

	for (i = 0; i < BLOCK / SECTOR; i++) {
		snprintf(want, sizeof(want), "%-511u\n", block * (BLOCK / SECTOR) + i);
		if (memcmp(data + i * SECTOR, want, SECTOR))
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
	struct memory *m;
};

static void vmm(int out, const void *arg)
{
	const struct plan *plan = arg;
	struct memory *m = plan->m;
	struct ticket ticket;
	struct queues q;
	struct device d;
	unsigned int i;
	int s;

	device_open(&d, plan->bdf, true);
	device_map_bar(&d);
	device_map_dma(&d, m, IOVA, SIZE, BLOCK);
	controller_start(&d, m, &q);
	device_interrupts(&d);
	s = ka_create(ka_open(), "nvme", LIMIT, &ticket);
	if (s < 0)
		errx(1, "session: %s", strerror(-s));
	device_keep(&d, s, plan->memory);
	for (i = 0; i < COMMANDS; i++)
		put(m, &q, 1, transfer(OP_READ, i, i));
	if (ka_set_state(s, VFIO_KEEPALIVE_SESSION, &q, sizeof(q)))
		errx(1, "state");
	ring(&d, &q, 1);
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
static void hot_reset(int dev, struct ticket *ticket, struct device *d, struct memory *m)
{
	long maps = host_hits("iommu_map"), unmaps = host_hits("iommu_unmap");
	long resets = host_hits("reset");
	struct queues q;
	int s, memory;

	is(try_hot_reset(d, d->msi), -EINVAL, "hot reset of an orphan's device: no group");
	is(try_hot_reset(d, -1), -EBADF, "no descriptor");
	is(host_hits("reset") - resets, 0, "resets");
	is(device_read32(d, CC), CC_ENABLE, "the controller is as it was");
	is(try_hot_reset(d, d->group), 0, "hot reset with its group");
	check(host_hits("reset") > resets, "it is reset");
	is(ka_state(dev, ticket->id), VFIO_KEEPALIVE_ORPHANED, "an orphan still");
	device_close(d);

	s = ka_claim(dev, ticket);
	check(s >= 0, "the orphan is claimed");
	device_take(d, s, &memory);
	close(memory);
	device_map_bar(d);
	is(device_read32(d, CC), 0, "its controller is off");
	is(host_hits("iommu_map") - maps, 0, "mappings made");
	is(host_hits("iommu_unmap") - unmaps, 0, "mappings taken away");
	memset(m->cq, 0, sizeof(m->cq));
	device_set_config16(d, 4, device_config16(d, 4) | 6);
	controller_start(d, m, &q);
	put(m, &q, 1, transfer(OP_READ, 0, 99));
	ring(d, &q, 1);
	check(take(d, m, &q, 1, 1) && right(m->data[0], 99),
	      "started again, it reads by the mappings that are there");
	device_close(d);
	close(s);
}

static void claim(int dev, struct ticket *ticket, struct memory *m)
{
	long maps = host_hits("iommu_map"), unmaps = host_hits("iommu_unmap");
	long irte = host_hits("irte"), resets = host_hits("reset");
	unsigned int i, gone, now, later, bad = 0;
	struct queues fresh = { .phase = { 1, 1 } }, q;
	__u32 size = sizeof(q);
	int s, memory;
	struct device d;
	__u64 n;

	gone = completed(m, &fresh, 1);
	usleep(300000);
	now = completed(m, &fresh, 1);
	usleep(300000);
	later = completed(m, &fresh, 1);
	ksft_print_msg("commands completed: %u at the VMM's end, then %u, %u\n", gone, now, later);
	check(gone < now && now < later && later < COMMANDS,
	      "DMA goes on, in a loop, without a VMM");

	s = ka_claim(dev, ticket);
	check(s >= 0, "another process claims the session");
	device_take(&d, s, &memory);
	check(!ka_get_state(s, VFIO_KEEPALIVE_SESSION, &q, &size) && size == sizeof(q),
	      "it has the state that the VMM left");
	m = guest_map(memory, SIZE);
	device_move_dma(&d, m, IOVA, SIZE, BLOCK);
	device_map_bar(&d);
	is(device_read32(&d, CC), CC_ENABLE, "the controller is as it was: CC");
	is(device_read32(&d, CSTS), 1, "and CSTS");
	n = device_interrupts(&d);
	check(n >= 2, "interrupts of that time are in the eventfd");
	ksft_print_msg("interrupts: %llu\n", (unsigned long long)n);
	check(take(&d, m, &q, 1, COMMANDS), "all commands of the VMM complete");
	for (i = 0; i < COMMANDS; i++)
		bad += !right(m->data[i], i);
	is(bad, 0, "blocks that are wrong");
	device_interrupts(&d);

	for (i = 0; i < 4; i++) {
		memset(m->data[i], 'a' + i, BLOCK);
		put(m, &q, 1, transfer(OP_WRITE, i, 100 + i));
	}
	ring(&d, &q, 1);
	check(take(&d, m, &q, 1, 4), "the claimer writes");
	check(device_interrupts(&d) > 0, "and is interrupted");
	for (i = 0; i < 4; i++)
		put(m, &q, 1, transfer(OP_READ, 10 + i, 100 + i));
	put(m, &q, 1, transfer(OP_READ, 14, 99));
	ring(&d, &q, 1);
	check(take(&d, m, &q, 1, 5), "and reads, across the queue's end");
	for (i = 0; i < 4; i++)
		bad += memcmp(m->data[i], m->data[10 + i], BLOCK) != 0;
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
	ksft_set_plan(ksft_test_num());
	ksft_finished();
}
