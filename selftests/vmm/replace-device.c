// SPDX-License-Identifier: GPL-2.0-only
/* vmm-replace: the devices, and their mappings. */
#include <err.h>
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "../vfio/nvme.h"
#include "../vfio/e1000e.h"
#include "replace.h"

static void nvme_begin(struct device *d, char *mem)
{
	struct nvme_queues q;

	nvme_start(d, (void *)(mem + GUEST_NVME), GUEST_NVME, &q);
}

static void edu_begin(struct device *d, char *mem)
{
	(void)mem;
	device_set_msi(d, VFIO_PCI_MSI_IRQ_INDEX);
}

/* The guest does the rest. */
static void e1000e_begin(struct device *d, char *mem)
{
	(void)mem;
	device_set_msi(d, VFIO_PCI_MSI_IRQ_INDEX);
	e1000e_reset(d);
}

const struct replace_device replace_devices[] = {
	{ "nvme", GUEST_work_nvme, "vfio-msix[0]", GUEST_NVME_BAR, 0, false,
	  nvme_begin },
	{ "nvme-rings", GUEST_work_rings, "vfio-msix[0]", GUEST_NVME_BAR, 512,
	  false, nvme_begin },
	{ "edu", GUEST_work_edu, "vfio-msi[0]", GUEST_EDU_BAR, 0, false, edu_begin },
	{ "e1000e", GUEST_work_e1000e, "vfio-msi[0]", GUEST_E1000E_BAR, 0, true,
	  e1000e_begin },
	{ 0 }
};

const struct replace_device *replace_device(const char *name)
{
	const struct replace_device *k;

	for (k = replace_devices; k->name; k++)
		if (!strcmp(k->name, name))
			return k;
	return NULL;
}

/* 0 or -errno. A VMM that was killed may have done it, and no more. */
int replace_mappings_drop(const struct device *d)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_DMA_UNMAP_FLAG_VADDR | VFIO_DMA_UNMAP_FLAG_ALL,
	};

	if (!ioctl(d->container, VFIO_IOMMU_UNMAP_DMA, &unmap) || errno == EINVAL)
		return 0;
	return -errno;
}

int replace_mappings_move(const struct device *d, const char *mem, __u64 size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map), .flags = VFIO_DMA_MAP_FLAG_VADDR, .size = size,
		.vaddr = (unsigned long)mem,
	};

	return ioctl(d->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}
