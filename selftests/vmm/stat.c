// SPDX-License-Identifier: GPL-2.0-only
/* Binary statistics of a VM or a vCPU. */
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "vmm.h"

int stat_read(int fd, const char *name, __u64 *value)
{
	char text[sizeof(struct kvm_stats_desc) + 256];
	struct kvm_stats_desc *d = (struct kvm_stats_desc *)text;
	int stats = ioctl(fd, KVM_GET_STATS_FD, 0), ret = -1;
	struct kvm_stats_header head;
	__u32 i;

	if (stats < 0 || pread(stats, &head, sizeof(head), 0) != sizeof(head))
		goto out;
	for (i = 0; ret && i < head.num_desc; i++) {
		size_t size = sizeof(*d) + head.name_size;

		if (size > sizeof(text) ||
		    pread(stats, text, size, head.desc_offset + i * size) != (ssize_t)size)
			break;
		if (!strcmp(d->name, name) &&
		    pread(stats, value, 8, head.data_offset + d->offset) == 8)
			ret = 0;
	}
out:
	if (stats >= 0)
		close(stats);
	return ret ? vmm_error(0, "no statistics of %s", name) : 0;
}
