// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test aid: an mdev that does nothing, but is one.
 *
 *   insmod mdev-null.ko
 *   echo UUID >/sys/devices/mdev-null/mdev_supported_types/-1/create
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/vfio.h>
#include <relay/compat.h>

static struct device *root;
static struct mdev_parent parent;
static struct mdev_type type = { .sysfs_name = "1", .pretty_name = "nothing" };
static struct mdev_type *types[] = { &type };

static int null_open(struct vfio_device *dev)
{
	return 0;
}

/* Nothing is pinned, so nothing is to be given back. */
static void null_unmap(struct vfio_device *dev, u64 iova, u64 length)
{
}

static const struct vfio_device_ops null_ops = {
	.name = "mdev-null",
	RELAY_VFIO_RELEASE
	.open_device = null_open,
	.dma_unmap = null_unmap,
};

static int null_probe(struct mdev_device *mdev)
{
	struct vfio_device *dev;
	int r;

	/* No container_of(): there is nothing around it. */
	dev = _vfio_alloc_device(sizeof(*dev), &mdev->dev, &null_ops);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	dev_set_drvdata(&mdev->dev, dev);
	r = vfio_register_emulated_iommu_dev(dev);
	if (r)
		vfio_put_device(dev);
	return r;
}

static void null_remove(struct mdev_device *mdev)
{
	struct vfio_device *dev = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(dev);
	vfio_put_device(dev);
}

static struct mdev_driver driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.max_instances = 4,
	.driver = {
		.name = "mdev_null",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
	.probe = null_probe,
	.remove = null_remove,
};

static int __init null_init(void)
{
	int r;

	r = mdev_register_driver(&driver);
	if (r)
		return r;
	root = root_device_register("mdev-null");
	if (IS_ERR(root)) {
		r = PTR_ERR(root);
		goto err_driver;
	}
	r = mdev_register_parent(&parent, root, &driver, types, ARRAY_SIZE(types));
	if (r)
		goto err_root;
	return 0;

err_root:
	root_device_unregister(root);
err_driver:
	mdev_unregister_driver(&driver);
	return r;
}

static void __exit null_exit(void)
{
	mdev_unregister_parent(&parent);
	root_device_unregister(root);
	mdev_unregister_driver(&driver);
}

module_init(null_init);
module_exit(null_exit);

MODULE_DESCRIPTION("An mdev that does nothing, for tests");
MODULE_LICENSE("GPL");
