/* SPDX-License-Identifier: GPL-2.0-only */
/* An NVMe controller with one pair of queues, for programs and for guests. */
#ifndef __SELFTESTS_NVME_H
#define __SELFTESTS_NVME_H

#include <stdbool.h>
#include <linux/types.h>

/* Registers */
#define NVME_CC		0x14
#define NVME_CSTS		0x1c
#define NVME_AQA		0x24
#define NVME_ASQ		0x28
#define NVME_ACQ		0x30
#define NVME_DOORBELLS	0x1000
/* Enabled, entries of 64 and 16 bytes */
#define NVME_CC_ENABLE	0x00460001

#define NVME_CREATE_SQ	0x01
#define NVME_CREATE_CQ	0x05
#define NVME_WRITE	0x01
#define NVME_READ		0x02

#define NVME_ENTRIES		64
#define NVME_SECTOR		512
#define NVME_BLOCK		4096
/* As many as fill a block */
#define NVME_COMPLETIONS	256

/**
 * struct nvme_command - an entry of a submission queue
 * @op:		with the command's number in the upper half
 * @nsid:	namespace
 * @unused:	0
 * @prp:	where the data is
 * @dw:		the command's own
 */
struct nvme_command {
	__u32 op;
	__u32 nsid;
	__u64 unused[2];
	__u64 prp[2];
	__u32 dw[6];
};

/**
 * struct nvme_completion - an entry of a completion queue
 * @result:	the command's own
 * @unused:	0
 * @sq:		head and number of the submission queue
 * @id:		number of the command
 * @status:	its result, and in bit 0 the phase
 */
struct nvme_completion {
	__u32 result;
	__u32 unused;
	__u32 sq;
	__u16 id;
	__u16 status;
};

/**
 * struct nvme_memory - what the controller reaches of a guest's memory
 * @sq:		submission queues, number 0 of the administrator
 * @cq:		completion queues, likewise
 * @data:	blocks
 */
struct nvme_memory {
	struct nvme_command sq[2][NVME_ENTRIES];
	struct nvme_completion cq[2][NVME_COMPLETIONS];
	char data[NVME_ENTRIES][NVME_BLOCK];
};

/**
 * struct nvme_queues - what a driver has to know of its controller
 * @tail:	of the submission queues
 * @head:	of the completion queues
 * @phase:	that a completion has which is new
 */
struct nvme_queues {
	__u32 tail[2];
	__u32 head[2];
	__u32 phase[2];
};

/* @prp: where the data is, a block; @block: on the disk */
static inline struct nvme_command nvme_transfer(__u32 op, __u64 prp, __u32 block)
{
	return (struct nvme_command){
		.op = op, .nsid = 1, .prp = { prp },
		.dw = { block * (NVME_BLOCK / NVME_SECTOR), 0, NVME_BLOCK / NVME_SECTOR - 1 },
	};
}

/* nvme.c: these end the program when something fails */
struct device;

void nvme_start(const struct device *d, struct nvme_memory *m, __u64 iova, struct nvme_queues *q);
/* The doorbell is not rung. */
void nvme_put(struct nvme_memory *m, struct nvme_queues *q, unsigned int queue,
	      struct nvme_command c);
void nvme_ring(const struct device *d, const struct nvme_queues *q, unsigned int queue);
/* Completions that are new, all of which must be of success. */
unsigned int nvme_completed(const struct nvme_memory *m, const struct nvme_queues *q,
			    unsigned int queue);
/* Waits for @n, and takes them; false after 10 s without. */
bool nvme_take(const struct device *d, const struct nvme_memory *m, struct nvme_queues *q,
	       unsigned int queue, unsigned int n);

#endif
