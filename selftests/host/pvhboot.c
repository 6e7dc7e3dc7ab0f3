// SPDX-License-Identifier: GPL-2.0-only
/*
 * Multiboot to PVH: lets a boot loader that knows Multiboot start an uncompressed
 * Linux kernel. Unpacking a compressed one takes Bochs half a minute.
 *
 * Linked with pvhentry.S and the kernel's segments at their physical addresses. Runs in 32-bit
 * protected mode without paging, as both protocols have it.
 */

typedef unsigned int u32;
typedef unsigned long long u64;

#define MULTIBOOT_MAGIC		0x1badb002u
#define MULTIBOOT_FLAGS		3u	/* modules page aligned, memory map wanted */
#define PVH_MAGIC		0x336ec578u

struct multiboot_header {
	u32 magic;
	u32 flags;
	u32 checksum;
};

struct multiboot_info {
	u32 flags;
	u32 mem_lower;
	u32 mem_upper;
	u32 boot_device;
	u32 cmdline;
	u32 mods_count;
	u32 mods_addr;
	u32 syms[4];
	u32 mmap_length;
	u32 mmap_addr;
};

struct multiboot_module {
	u32 start;
	u32 end;
	u32 string;
	u32 reserved;
};

struct multiboot_mmap {
	u32 size;
	u64 addr;
	u64 len;
	u32 type;
} __packed;

struct pvh_module {
	u64 paddr;
	u64 size;
	u64 cmdline;
	u64 reserved;
};

struct pvh_memmap {
	u64 addr;
	u64 size;
	u32 type;
	u32 reserved;
};

struct pvh_start_info {
	u32 magic;
	u32 version;
	u32 flags;
	u32 nr_modules;
	u64 modlist;
	u64 cmdline;
	u64 rsdp;
	u64 memmap;
	u32 memmap_entries;
	u32 reserved;
};

#define MAX_MEMMAP	64

static const struct multiboot_header header
__section(".multiboot") __used __aligned(4) = {
	.magic = MULTIBOOT_MAGIC,
	.flags = MULTIBOOT_FLAGS,
	.checksum = -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS),
};

static struct pvh_start_info info;
static struct pvh_module module;
static struct pvh_memmap memmap[MAX_MEMMAP];

/*
 * translate() - the boot loader's information in the kernel's form
 * @mbi: what Multiboot hands over
 *
 * The first module is the initramfs. The words of the kernel's command line follow
 * its file name in Multiboot, which the kernel ignores.
 *
 * Return: what the PVH entry takes.
 */
struct pvh_start_info *translate(const struct multiboot_info *mbi)
{
	const struct multiboot_module *mod = (const void *)mbi->mods_addr;
	u32 at = mbi->mmap_addr, end = mbi->mmap_addr + mbi->mmap_length;
	u32 n = 0;

	while (at < end && n < MAX_MEMMAP) {
		const struct multiboot_mmap *m = (const void *)at;

		memmap[n].addr = m->addr;
		memmap[n].size = m->len;
		memmap[n].type = m->type;
		n++;
		at += m->size + sizeof(m->size);
	}
	info.magic = PVH_MAGIC;
	info.version = 1;
	info.cmdline = mbi->cmdline;
	info.memmap = (u32)memmap;
	info.memmap_entries = n;
	if (mbi->mods_count) {
		module.paddr = mod->start;
		module.size = mod->end - mod->start;
		info.nr_modules = 1;
		info.modlist = (u32)&module;
	}
	return &info;
}
