// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of a ring, and the descriptor to read them in KVM's binary format:
 * header, name, one struct kvm_stats_desc each with its name behind it, values.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "private.h"

#define STATS_NAME 48

struct stats_file {
	struct kvm_stats_header header;
	char id[STATS_NAME];
	struct {
		u8 desc[offsetof(struct kvm_stats_desc, name)];
		char name[STATS_NAME];
	} stat[RING_STATS];
	u64 value[RING_STATS];
};

static const char * const stats_names[RING_STATS] = {
	[RING_STAT_PUSHED] = "pushed",
	[RING_STAT_FULL] = "full_exits",
	[RING_STAT_RESETS] = "resets",
	[RING_STAT_RESET] = "entries_reset",
	[RING_STAT_THROTTLED] = "throttled",
	[RING_STAT_THROTTLED_NS] = "throttled_ns",
	[RING_STAT_NOTIFIED] = "notified",
	[RING_STAT_MOVED] = "moved",
	[RING_STAT_DROPPED] = "dropped",
};

static void stats_free(struct kref *kref)
{
	kfree(container_of(kref, struct ring_stats, kref));
}

/**
 * ring_stats_create - counters for a new ring
 * @ring: the ring
 *
 * Return: they, to be given back by ring_stats_put(), or NULL.
 */
struct ring_stats *ring_stats_create(struct ring *ring)
{
	struct ring_stats *stats = kzalloc(sizeof(*stats), GFP_KERNEL_ACCOUNT);

	if (!stats)
		return NULL;
	kref_init(&stats->kref);
	spin_lock_init(&stats->lock);
	stats->live = ring;
	stats->id = ring->owner.id;
	return stats;
}

/**
 * ring_stats_put - drop a reference
 * @stats: the counters
 */
void ring_stats_put(struct ring_stats *stats)
{
	kref_put(&stats->kref, stats_free);
}

/* What the ring counts itself, if it is there; stats->lock is held. */
static void stats_live(const struct ring_stats *stats, u64 value[RING_STATS])
{
	if (!stats->live)
		return;
	value[RING_STAT_PUSHED] = READ_ONCE(stats->live->hot.pushed);
	value[RING_STAT_FULL] = READ_ONCE(stats->live->hot.full_exits);
}

/**
 * ring_stats_attach - the ring is another one now
 * @stats: the counters
 * @ring: whose they are from here on; NULL: they stay as they are
 */
void ring_stats_attach(struct ring_stats *stats, struct ring *ring)
{
	spin_lock(&stats->lock);
	if (!ring)
		stats_live(stats, stats->value);
	stats->live = ring;
	spin_unlock(&stats->lock);
}

static ssize_t stats_read(struct file *file, char __user *buf, size_t count,
			  loff_t *pos)
{
	struct ring_stats *stats = file->private_data;
	struct stats_file *f;
	unsigned int i;
	ssize_t r;

	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->header.name_size = STATS_NAME;
	f->header.num_desc = RING_STATS;
	f->header.id_offset = offsetof(struct stats_file, id);
	f->header.desc_offset = offsetof(struct stats_file, stat);
	f->header.data_offset = offsetof(struct stats_file, value);
	snprintf(f->id, sizeof(f->id), "dirty-ring-%d", stats->id);
	spin_lock(&stats->lock);
	memcpy(f->value, stats->value, sizeof(f->value));
	stats_live(stats, f->value);
	spin_unlock(&stats->lock);
	for (i = 0; i < RING_STATS; i++) {
		struct kvm_stats_desc *desc = (void *)f->stat[i].desc;

		desc->flags = KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_BASE_POW10 |
			(i == RING_STAT_THROTTLED_NS ? KVM_STATS_UNIT_SECONDS :
						       KVM_STATS_UNIT_NONE);
		desc->exponent = i == RING_STAT_THROTTLED_NS ? -9 : 0;
		desc->size = 1;
		desc->offset = i * sizeof(u64);
		strscpy(f->stat[i].name, stats_names[i], STATS_NAME);
	}
	r = simple_read_from_buffer(buf, count, pos, f, sizeof(*f));
	kfree(f);
	return r;
}

static int stats_release(struct inode *inode, struct file *file)
{
	ring_stats_put(file->private_data);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.release = stats_release,
	.llseek = noop_llseek,
};

/**
 * ring_stats_fd - a descriptor to read the counters
 * @ring: the ring
 *
 * Context: process; sleeps.
 * Return: the descriptor or an error.
 */
int ring_stats_fd(struct ring *ring)
{
	struct ring_stats *stats;
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	/* The ring may go to another vCPU meanwhile. */
	spin_lock(&ring->lock);
	stats = ring->stats;
	kref_get(&stats->kref);
	spin_unlock(&ring->lock);
	file = anon_inode_getfile("dirty-ring-stats", &stats_fops, stats, O_RDONLY);
	if (IS_ERR(file)) {
		ring_stats_put(stats);
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return fd;
}
