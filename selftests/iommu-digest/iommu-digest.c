// SPDX-License-Identifier: GPL-2.0-only
/*
 * Test aid: what VT-d does with a device's addresses and interrupts, as one line.
 *
 *   insmod iommu-digest.ko device=0000:00:04.0 top=0x10000000
 *   cat /sys/kernel/debug/iommu_digest
 *   pages 65536 0123456789abcdef irtes 27 0123456789abcdef
 *
 * All pages below @top that the device reaches, with where they are; and all
 * interrupt-remapping entries that are present, from the tables that the IOMMU's own
 * registers name.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/acpi.h>
#include <linux/debugfs.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/xxhash.h>

/* Of VT-d: address of the table of IRTEs, its size in the low bits. */
#define IRTA		0xb8
#define IRTA_ENTRIES(r)	(2u << ((r) & 0xf))
#define IRTA_TABLE(r)	((r) & ~0xfffull)
#define IRTE_PRESENT	BIT_ULL(0)

static char *device = "";
module_param(device, charp, 0444);
MODULE_PARM_DESC(device, "PCI address of the device");

static ulong top = 256ul << 20;
module_param(top, ulong, 0444);
MODULE_PARM_DESC(top, "I/O virtual address to stop at");

static struct pci_dev *pdev;
static struct dentry *file;

static void digest_pages(struct seq_file *m)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);
	struct xxh64_state hash;
	unsigned long n = 0;
	dma_addr_t iova;

	xxh64_reset(&hash, 0);
	for (iova = 0; domain && iova < top; iova += PAGE_SIZE) {
		u64 pair[2] = { iova, iommu_iova_to_phys(domain, iova) };

		if (pair[1]) {
			xxh64_update(&hash, pair, sizeof(pair));
			n++;
		}
		cond_resched();
	}
	seq_printf(m, "pages %lu %016llx ", n, xxh64_digest(&hash));
}

/* Of one IOMMU, whose registers are at @base. */
static int digest_table(u64 base, struct xxh64_state *hash)
{
	void __iomem *regs = ioremap(base, PAGE_SIZE);
	unsigned int i, n = 0;
	u64 *table, irta;

	if (!regs)
		return -ENOMEM;
	irta = readq(regs + IRTA);
	iounmap(regs);
	if (!IRTA_TABLE(irta))
		return 0;
	table = memremap(IRTA_TABLE(irta), IRTA_ENTRIES(irta) * 16, MEMREMAP_WB);
	if (!table)
		return -ENOMEM;
	for (i = 0; i < IRTA_ENTRIES(irta); i++) {
		if (!(READ_ONCE(table[2 * i]) & IRTE_PRESENT))
			continue;
		xxh64_update(hash, &i, sizeof(i));
		xxh64_update(hash, &table[2 * i], 16);
		n++;
	}
	memunmap(table);
	return n;
}

static int digest_irtes(struct seq_file *m)
{
	struct acpi_table_header *dmar;
	struct acpi_dmar_header *h;
	struct xxh64_state hash;
	int n = 0, r = 0;

	if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_DMAR, 0, &dmar)))
		return -ENODEV;
	xxh64_reset(&hash, 0);
	for (h = (void *)dmar + sizeof(struct acpi_table_dmar);
	     r >= 0 && (void *)h < (void *)dmar + dmar->length && h->length;
	     h = (void *)h + h->length) {
		if (h->type != ACPI_DMAR_TYPE_HARDWARE_UNIT)
			continue;
		r = digest_table(((struct acpi_dmar_hardware_unit *)h)->address, &hash);
		n += r;
	}
	acpi_put_table(dmar);
	if (r < 0)
		return r;
	seq_printf(m, "irtes %d %016llx\n", n, xxh64_digest(&hash));
	return 0;
}

static int iommu_digest_show(struct seq_file *m, void *unused)
{
	digest_pages(m);
	return digest_irtes(m);
}
DEFINE_SHOW_ATTRIBUTE(iommu_digest);

static int __init iommu_digest_init(void)
{
	unsigned int domain, bus, slot, fn;

	if (sscanf(device, "%x:%x:%x.%x", &domain, &bus, &slot, &fn) != 4)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, fn));
	if (!pdev) {
		pr_err("no device %s\n", device);
		return -ENODEV;
	}
	file = debugfs_create_file("iommu_digest", 0400, NULL, NULL, &iommu_digest_fops);
	return 0;
}
module_init(iommu_digest_init);

static void __exit iommu_digest_exit(void)
{
	debugfs_remove(file);
	pci_dev_put(pdev);
}
module_exit(iommu_digest_exit);

MODULE_DESCRIPTION("Test aid: digest of a device's IOMMU tables");
MODULE_LICENSE("GPL");
