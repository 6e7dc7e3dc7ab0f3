/* SPDX-License-Identifier: GPL-2.0-only */
/* What the programs that use vfio-keepalive have in common. */
#ifndef __SELFTESTS_VFIO_H
#define __SELFTESTS_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <linux/vfio_keepalive.h>

/**
 * struct ticket - all that another process needs to claim a session
 * @id:		number of the session
 * @token:	its token
 */
struct ticket {
	__u32 id;
	__u8 token[VFIO_KEEPALIVE_TOKEN_LEN];
};

/* session.c: a negative result is -errno */
int ka_open(void);
int ka_create(int dev, const char *name, __u32 limit_ms, struct ticket *ticket);
int ka_claim(int dev, struct ticket *ticket);
int ka_confirm(int session);
int ka_watch(int dev, const struct ticket *ticket);
int ka_release(int dev, __u32 id, __u32 flags);
int ka_add(int session, int fd, __u32 kind, const char *name, __u32 flags, const void *state,
	   __u32 size);
int ka_remove(int session, __u32 index);
int ka_get_fd(int session, __u32 index);
int ka_get_fd_by_name(int session, const char *name);
int ka_set_state(int session, __u32 index, const void *state, __u32 size);
int ka_get_state(int session, __u32 index, void *state, __u32 *size);
int ka_info(int fd, __u32 id, __u32 flags, struct vfio_keepalive_info *info);
int ka_state(int dev, __u32 id);
bool ka_wait_gone(int dev, __u32 id, unsigned int ms);

/* vmm.c: these end the program when something fails */
int guest_memory(size_t size);
void *guest_map(int memory, size_t size);
void vmm_die(int out, const struct ticket *ticket);
bool vmm_killed(void (*vmm)(int out, const void *arg), const void *arg, struct ticket *ticket);

/**
 * struct device - a PCI device in a group of its own, with what belongs to it
 * @container:	type 1 IOMMU
 * @group:	its only group
 * @fd:		the device
 * @msi:	eventfd of its first MSI or MSI-X
 * @request:	eventfd by which VFIO wants it back, or -1
 * @bar:	its BAR 0
 * @bar_size:	size of that
 */
struct device {
	int container;
	int group;
	int fd;
	int msi;
	int request;
	void *bar;
	size_t bar_size;
};

/* At most, in one device_set_irqs() */
#define DEVICE_IRQS	8

/* device.c: these end the program when something fails */
void device_open(struct device *d, const char *bdf, bool request);
void device_map_bar(struct device *d);
__u32 device_read32(const struct device *d, size_t at);
void device_write32(const struct device *d, size_t at, __u32 value);
void device_map_dma(const struct device *d, void *memory, __u64 iova, size_t size, size_t each);
void device_set_msi(const struct device *d, unsigned int index);
void device_set_irqs(const struct device *d, unsigned int index, const int *fds, unsigned int n);
__u64 device_interrupts(const struct device *d);
__u16 device_config16(const struct device *d, unsigned int at);
void device_set_config16(const struct device *d, unsigned int at, __u16 value);
void device_keep(const struct device *d, int session, int memory);
void device_take(struct device *d, int session, int *memory);
void device_move_dma(const struct device *d, void *memory, __u64 iova, size_t size, size_t each);

void device_close(struct device *d);

/* These do not. */
int device_try_keep(const struct device *d, int session, int memory);
int device_try_take(struct device *d, int session, int *memory);

/* host.c: what the host's kernel shows */
__u16 host_config16(const char *bdf, unsigned int at);
long host_locked_kib(void);
long host_hits(const char *prefix);
long host_irqs(const char *name);
void host_digest(char *line, size_t size);
int host_log_has(const char *text);

#endif
