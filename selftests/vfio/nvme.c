// SPDX-License-Identifier: GPL-2.0-only
/* An NVMe controller by its registers, which BAR 0 maps. */
#include <err.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <unistd.h>

#include "nvme.h"
#include "vfio.h"

static void write64(const struct device *d, size_t at, __u64 value)
{
	device_write32(d, at, value);
	device_write32(d, at + 4, value >> 32);
}

static void wait_ready(const struct device *d, __u32 want)
{
	unsigned int i;

	for (i = 0; i < 5000; i++) {
		if ((device_read32(d, NVME_CSTS) & 1) == want)
			return;
		usleep(1000);
	}
	errx(1, "the controller does not get ready");
}

void nvme_put(struct nvme_memory *m, struct nvme_queues *q, unsigned int queue,
	      struct nvme_command c)
{
	c.op |= q->tail[queue] << 16;
	m->sq[queue][q->tail[queue]] = c;
	q->tail[queue] = (q->tail[queue] + 1) % NVME_ENTRIES;
}

void nvme_ring(const struct device *d, const struct nvme_queues *q, unsigned int queue)
{
	device_write32(d, NVME_DOORBELLS + 8 * queue, q->tail[queue]);
}

unsigned int nvme_completed(const struct nvme_memory *m, const struct nvme_queues *q,
			    unsigned int queue)
{
	unsigned int head = q->head[queue], phase = q->phase[queue], n = 0;

	for (;;) {
		__u16 status = __atomic_load_n(&m->cq[queue][head].status, __ATOMIC_ACQUIRE);

		if ((status & 1) != phase)
			return n;
		if (status >> 1)
			errx(1, "command %u: status %#x", m->cq[queue][head].id, status >> 1);
		n++;
		head = (head + 1) % NVME_ENTRIES;
		phase ^= !head;
	}
}

bool nvme_take(const struct device *d, const struct nvme_memory *m, struct nvme_queues *q,
	       unsigned int queue, unsigned int n)
{
	unsigned int i;

	for (i = 0; nvme_completed(m, q, queue) < n; i++) {
		if (i == 10000)
			return false;
		usleep(1000);
	}
	while (n--) {
		q->head[queue] = (q->head[queue] + 1) % NVME_ENTRIES;
		q->phase[queue] ^= !q->head[queue];
	}
	device_write32(d, NVME_DOORBELLS + 8 * queue + 4, q->head[queue]);
	return true;
}

/* @iova: where the controller finds @m */
void nvme_start(const struct device *d, struct nvme_memory *m, __u64 iova, struct nvme_queues *q)
{
	struct nvme_command cq = {
		.op = NVME_CREATE_CQ, .prp = { iova + offsetof(struct nvme_memory, cq[1]) },
		/* Queue 1; interrupts on, vector 0, contiguous */
		.dw = { (NVME_ENTRIES - 1) << 16 | 1, 3 },
	};
	struct nvme_command sq = {
		.op = NVME_CREATE_SQ, .prp = { iova + offsetof(struct nvme_memory, sq[1]) },
		.dw = { (NVME_ENTRIES - 1) << 16 | 1, 1 << 16 | 1 },
	};

	*q = (struct nvme_queues){ .phase = { 1, 1 } };
	device_write32(d, NVME_CC, 0);
	wait_ready(d, 0);
	device_set_msi(d, VFIO_PCI_MSIX_IRQ_INDEX);
	device_write32(d, NVME_AQA, (NVME_ENTRIES - 1) << 16 | (NVME_ENTRIES - 1));
	write64(d, NVME_ASQ, iova + offsetof(struct nvme_memory, sq[0]));
	write64(d, NVME_ACQ, iova + offsetof(struct nvme_memory, cq[0]));
	device_write32(d, NVME_CC, NVME_CC_ENABLE);
	wait_ready(d, 1);
	nvme_put(m, q, 0, cq);
	nvme_put(m, q, 0, sq);
	nvme_ring(d, q, 0);
	if (!nvme_take(d, m, q, 0, 2))
		errx(1, "queues are not created");
}
