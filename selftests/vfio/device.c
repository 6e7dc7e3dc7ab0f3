// SPDX-License-Identifier: GPL-2.0-only
/* VFIO as a VMM uses it, for one device. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vfio.h"

/* What is kept, and under which name */
struct part {
	const char *name;
	__u32 kind;
	__u32 flags;
	size_t fd;
};

#define PART(member, kind, flags) \
	{ #member, VFIO_KEEPALIVE_##kind, flags, offsetof(struct device, member) }

static const struct part parts[] = {
	PART(container, CONTAINER, 0),
	PART(group, GROUP, 0),
	PART(fd, DEVICE, 0),
	PART(msi, EVENTFD, 0),
	PART(request, EVENTFD, VFIO_KEEPALIVE_ADD_REQUEST),
};

#define PARTS (sizeof(parts) / sizeof(*parts))

static int *part_fd(const struct device *d, const struct part *p)
{
	return (int *)((char *)d + p->fd);
}

static int group_of(const char *bdf)
{
	char path[PATH_MAX], link[PATH_MAX] = "", node[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	if (readlink(path, link, sizeof(link) - 1) < 0)
		err(1, "%s", path);
	snprintf(node, sizeof(node), "/dev/vfio/%s", basename(link));
	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", node);
	return fd;
}

/* The first @n of an index, an eventfd each */
void device_set_irqs(const struct device *d, unsigned int index, const int *fds, unsigned int n)
{
	struct {
		struct vfio_irq_set set;
		__s32 fd[DEVICE_IRQS];
	} a = {
		.set = {
			.argsz = sizeof(a.set) + n * sizeof(*fds), .index = index, .count = n,
			.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
		},
	};

	if (n > DEVICE_IRQS)
		errx(1, "too many interrupts");
	memcpy(a.fd, fds, n * sizeof(*fds));
	if (ioctl(d->fd, VFIO_DEVICE_SET_IRQS, &a))
		err(1, "VFIO_DEVICE_SET_IRQS");
}

static struct vfio_region_info region(const struct device *d, unsigned int index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	if (ioctl(d->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		err(1, "VFIO_DEVICE_GET_REGION_INFO");
	return info;
}

/* @request: have an eventfd by which VFIO asks for the device */
void device_open(struct device *d, const char *bdf, bool request)
{
	d->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (d->container < 0)
		err(1, "/dev/vfio/vfio");
	d->group = group_of(bdf);
	if (ioctl(d->group, VFIO_GROUP_SET_CONTAINER, &d->container))
		err(1, "VFIO_GROUP_SET_CONTAINER");
	if (ioctl(d->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		err(1, "VFIO_SET_IOMMU");
	d->fd = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (d->fd < 0)
		err(1, "VFIO_GROUP_GET_DEVICE_FD");
	d->msi = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->request = -1;
	if (request) {
		d->request = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		device_set_irqs(d, VFIO_PCI_REQ_IRQ_INDEX, &d->request, 1);
	}
	/* Memory and bus master */
	device_set_config16(d, 4, device_config16(d, 4) | 6);
}

void device_map_bar(struct device *d)
{
	struct vfio_region_info info = region(d, VFIO_PCI_BAR0_REGION_INDEX);

	d->bar_size = info.size;
	d->bar = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, info.offset);
	if (d->bar == MAP_FAILED)
		err(1, "mmap of BAR 0");
}

__u32 device_read32(const struct device *d, size_t at)
{
	return __atomic_load_n((__u32 *)((char *)d->bar + at), __ATOMIC_ACQUIRE);
}

void device_write32(const struct device *d, size_t at, __u32 value)
{
	__atomic_store_n((__u32 *)((char *)d->bar + at), value, __ATOMIC_RELEASE);
}

static void map_each(const struct device *d, void *memory, __u64 iova, size_t size, size_t each,
		     __u32 flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = flags, .size = each,
	};
	size_t at;

	for (at = 0; at < size; at += each) {
		map.vaddr = (uintptr_t)memory + at;
		map.iova = iova + at;
		if (ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map))
			err(1, "VFIO_IOMMU_MAP_DMA");
	}
}

/* As mappings of @each bytes */
void device_map_dma(const struct device *d, void *memory, __u64 iova, size_t size, size_t each)
{
	map_each(d, memory, iova, size, each, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
}

/*
 * The mappings that are there get another address space and address. First all lose
 * theirs, then each gets its new one: the memory stays pinned and mapped all the time.
 */
void device_move_dma(const struct device *d, void *memory, __u64 iova, size_t size, size_t each)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL,
	};

	if (ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		err(1, "VFIO_IOMMU_UNMAP_DMA of addresses");
	map_each(d, memory, iova, size, each, VFIO_DMA_MAP_FLAG_VADDR);
}

void device_set_msi(const struct device *d, unsigned int index)
{
	device_set_irqs(d, index, &d->msi, 1);
}

/* Interrupts that came, once there is one or a second has passed. */
__u64 device_interrupts(const struct device *d)
{
	struct pollfd p = { .fd = d->msi, .events = POLLIN };
	__u64 n = 0;

	if (poll(&p, 1, 1000) == 1 && read(d->msi, &n, sizeof(n)) != sizeof(n))
		n = 0;
	return n;
}

__u16 device_config16(const struct device *d, unsigned int at)
{
	struct vfio_region_info info = region(d, VFIO_PCI_CONFIG_REGION_INDEX);
	__u16 value;

	if (pread(d->fd, &value, sizeof(value), info.offset + at) != sizeof(value))
		err(1, "configuration space");
	return value;
}

void device_set_config16(const struct device *d, unsigned int at, __u16 value)
{
	struct vfio_region_info info = region(d, VFIO_PCI_CONFIG_REGION_INDEX);

	if (pwrite(d->fd, &value, sizeof(value), info.offset + at) != sizeof(value))
		err(1, "configuration space");
}

/* All of it, the memory first for no reason but that it may be. 0 or -errno. */
int device_try_keep(const struct device *d, int session, int memory)
{
	const struct part *p;
	int r;

	r = ka_add(session, memory, VFIO_KEEPALIVE_MEMORY, "memory", 0, NULL, 0);
	for (p = parts; r >= 0 && p < parts + PARTS; p++)
		if (*part_fd(d, p) >= 0)
			r = ka_add(session, *part_fd(d, p), p->kind, p->name, p->flags, NULL, 0);
	return r < 0 ? r : 0;
}

void device_keep(const struct device *d, int session, int memory)
{
	int r = device_try_keep(d, session, memory);

	if (r < 0)
		errx(1, "a descriptor is not kept: %s", strerror(-r));
}

/* 0 or -errno, and then nothing is taken. */
int device_try_take(struct device *d, int session, int *memory)
{
	const struct part *p;
	int fd = ka_get_fd_by_name(session, "memory");

	*d = (struct device){ -1, -1, -1, -1, -1, NULL, 0 };
	*memory = fd;
	for (p = parts; fd >= 0 && p < parts + PARTS; p++) {
		fd = ka_get_fd_by_name(session, p->name);
		*part_fd(d, p) = fd < 0 ? -1 : fd;
		/* Not every device has every eventfd. */
		if (fd == -ENOENT && p->kind == VFIO_KEEPALIVE_EVENTFD)
			fd = 0;
	}
	if (fd >= 0)
		return 0;
	device_close(d);
	if (*memory >= 0)
		close(*memory);
	return fd;
}

void device_take(struct device *d, int session, int *memory)
{
	int r = device_try_take(d, session, memory);

	if (r < 0)
		errx(1, "a descriptor is not there: %s", strerror(-r));
}

void device_close(struct device *d)
{
	const struct part *p;

	if (d->bar)
		munmap(d->bar, d->bar_size);
	d->bar = NULL;
	for (p = parts; p < parts + PARTS; p++) {
		if (*part_fd(d, p) >= 0)
			close(*part_fd(d, p));
		*part_fd(d, p) = -1;
	}
}
