// SPDX-License-Identifier: GPL-2.0-only
/*
 * crash-load [VMCS]...: what a panic of this host jumps to, in place of a crash
 * kernel. It prints the launch state of VMCSs, given by their physical addresses.
 */
#include <errno.h>
#include <linux/kexec.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* crash_vmcs is in the image: addresses, the first 0 ends them. */
extern const char crash_image[], crash_image_end[], crash_vmcs[], crash_vmcs_end[];

/* A copy of the image that knows the VMCSs, or NULL. */
static void *make_image(int n, char **vmcs)
{
	__u64 *to;
	char *image;
	int i;

	if (n > (crash_vmcs_end - crash_vmcs) / 8 - 1) {
		fprintf(stderr, "crash-load: too many VMCSs\n");
		return NULL;
	}
	image = malloc(crash_image_end - crash_image);
	if (!image) {
		fprintf(stderr, "crash-load: no memory\n");
		return NULL;
	}
	memcpy(image, crash_image, crash_image_end - crash_image);
	to = (__u64 *)(image + (crash_vmcs - crash_image));
	for (i = 0; i < n; i++)
		to[i] = strtoull(vmcs[i], NULL, 0);
	return image;
}

/* Start of the memory that crashkernel= reserved, or 0. */
static unsigned long crash_memory(void)
{
	unsigned long start = 0, s;
	char line[256];
	FILE *f = fopen("/proc/iomem", "r");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "Crash kernel") && sscanf(line, "%lx-", &s) == 1)
			start = s;
	fclose(f);
	return start;
}

int main(int argc, char **argv)
{
	unsigned long start = crash_memory();
	struct kexec_segment segment = {
		.buf = make_image(argc - 1, argv + 1),
		.bufsz = crash_image_end - crash_image,
		.mem = (void *)start,
		.memsz = crash_image_end - crash_image,
	};

	if (!segment.buf)
		return 1;
	if (!start) {
		fprintf(stderr, "crash-load: no memory of crashkernel=\n");
		return 1;
	}
	if (syscall(SYS_kexec_load, start, 1, &segment,
		    KEXEC_ON_CRASH | KEXEC_ARCH_X86_64)) {
		fprintf(stderr, "crash-load: kexec_load: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
