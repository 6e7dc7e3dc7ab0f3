// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-e1000e: a NIC that goes on receiving, with a vector for each kind of interrupt. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "e1000e.h"
#include "result.h"
#include "vfio.h"

static const char usage[] =
"usage: keepalive-e1000e BDF INTERFACE ADDRESS\n"
"\n"
"A VMM is killed while its e1000e receives. Another process goes on. INTERFACE of the host is\n"
"on the same wire, and broadcasts to ADDRESS. BDF is bound to vfio-pci, and the probes of\n"
"selftests/in-host/vfio-keepalive are set.\n";

/* Values of registers */
#define CTRL_EXT_IAME	0x08000000
/* Enabled, with broadcasts, without the CRC: QEMU may give that a descriptor of its own. */
#define RCTL_RUN	0x04008002
#define CAUSE_RX	0x00100000
#define CAUSE_TX	0x00400000
#define CAUSE_OTHER	0x01000000
#define CAUSES		(CAUSE_RX | CAUSE_TX | CAUSE_OTHER)

/* Vectors: what is received, sent, and all else */
enum { RX, TX, OTHER, VECTORS };
#define IVAR_VALID(vector, shift) ((8u | (vector)) << (shift))
#define IVAR_ALL	(IVAR_VALID(RX, 0) | IVAR_VALID(TX, 8) | IVAR_VALID(OTHER, 16))

#define ENTRIES		256
#define BUFFER		2048
/* Ethernet, IP and UDP are before it. */
#define PAYLOAD		42
#define BYTES		600
#define PORT		9

#define IOVA		0x1000000
#define LIMIT		60000
/* More than half of the ring, so that the claimer comes round its end. */
#define PACKETS		200
/* So many come before the VMM ends. */
#define BEFORE		20
/* Microseconds in which what is under way arrives */
#define SETTLE		100000

/* Guest memory; @ready: the NIC has buffers, so that no packet is lost */
struct memory {
	struct e1000e_receive ring[ENTRIES];
	__u8 buffer[ENTRIES][BUFFER];
	__u32 ready;
};

#define SIZE		((sizeof(struct memory) + 4095) & ~4095ul)

static const char *bdf, *interface, *address;

static __u8 byte(unsigned int packet, unsigned int i)
{
	return packet * 31 + i * 7 + i / 256;
}

static bool received(const struct memory *m, unsigned int packet)
{
	return __atomic_load_n(&m->ring[packet % ENTRIES].status, __ATOMIC_ACQUIRE) & E1000E_DONE;
}

static unsigned int count_received(const struct memory *m, unsigned int from)
{
	unsigned int n = from;

	while (n < from + PACKETS && received(m, n))
		n++;
	return n - from;
}

static bool right(const struct memory *m, unsigned int packet)
{
	const __u8 *at = m->buffer[packet % ENTRIES] + PAYLOAD;
	unsigned int i;

	for (i = 0; i < BYTES; i++)
		if (at[i] != byte(packet, i))
			return false;
	return true;
}

static unsigned int count_wrong(const struct memory *m, unsigned int from)
{
	unsigned int i, bad = 0;

	for (i = from; i < from + PACKETS; i++)
		bad += !right(m, i);
	return bad;
}

static long rx_irqs(void)
{
	char name[64];

	snprintf(name, sizeof(name), "vfio-msix[%d](%s)", RX, bdf);
	return host_irqs(name);
}

/* Waits until a packet is in memory and the kernel has taken an interrupt for it. */
static bool arrived(const struct memory *m, unsigned int packet, long irqs)
{
	unsigned int i;

	for (i = 0; i < 5000; i++) {
		if (received(m, packet) && rx_irqs() > irqs)
			return true;
		usleep(1000);
	}
	return false;
}

/* On the wire, one after the other. */
static bool send_packets(const struct memory *m, unsigned int from)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int s = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	__u8 data[BYTES];
	unsigned int n, i;
	bool ok = true;

	if (s < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    setsockopt(s, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)) ||
	    setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, interface, strlen(interface)))
		err(1, "%s, %s", interface, address);
	for (n = from; ok && n < from + PACKETS; n++) {
		long irqs = rx_irqs();

		for (i = 0; i < BYTES; i++)
			data[i] = byte(n, i);
		ok = sendto(s, data, BYTES, 0, (void *)&to, sizeof(to)) == BYTES &&
		     arrived(m, n, irqs);
		if (!ok)
			ksft_print_msg("packet %u did not come, or no interrupt\n", n);
	}
	close(s);
	return ok;
}

static void nic_start(const struct device *d, struct memory *m)
{
	unsigned int i;

	e1000e_reset(d);
	for (i = 0; i < ENTRIES; i++)
		m->ring[i] = (struct e1000e_receive){
			.address = IOVA + offsetof(struct memory, buffer[i]),
		};
	for (i = 0; i < E1000E_MTA_WORDS; i++)
		device_write32(d, E1000E_MTA + 4 * i, 0);
	device_write32(d, E1000E_IVAR, IVAR_ALL);
	/* A cause that was told is cleared and not masked. */
	device_write32(d, E1000E_CTRL_EXT, device_read32(d, E1000E_CTRL_EXT) | CTRL_EXT_IAME);
	device_write32(d, E1000E_EIAC, CAUSES);
	device_write32(d, E1000E_IMS, CAUSES);
	device_write32(d, E1000E_RDBAL, IOVA);
	device_write32(d, E1000E_RDBAH, 0);
	device_write32(d, E1000E_RDLEN, sizeof(m->ring));
	device_write32(d, E1000E_RDH, 0);
	device_write32(d, E1000E_RDT, ENTRIES - 1);
	device_write32(d, E1000E_RCTL, RCTL_RUN);
	__atomic_store_n(&m->ready, 1, __ATOMIC_RELEASE);
}

/* The eventfd of each vector; the first is the device's own. */
static void vectors_make(const struct device *d, int session)
{
	int fds[VECTORS] = { d->msi }, i, r;
	char name[16];

	for (i = 1; i < VECTORS; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		snprintf(name, sizeof(name), "vector %d", i);
		r = ka_add(session, fds[i], VFIO_KEEPALIVE_EVENTFD, name, 0, NULL, 0);
		if (r < 0)
			errx(1, "%s: %s", name, strerror(-r));
	}
	device_set_irqs(d, VFIO_PCI_MSIX_IRQ_INDEX, fds, VECTORS);
}

static void vectors_take(struct device *v, const struct device *d, int session)
{
	char name[16];
	int i;

	v[0] = *d;
	for (i = 1; i < VECTORS; i++) {
		snprintf(name, sizeof(name), "vector %d", i);
		v[i].msi = ka_get_fd_by_name(session, name);
		if (v[i].msi < 0)
			errx(1, "%s: %s", name, strerror(-v[i].msi));
	}
}

/**
 * struct plan - what a VMM is given
 * @memory:	guest memory
 * @m:		where that is mapped
 */
struct plan {
	int memory;
	struct memory *m;
};

static void vmm(int out, const void *arg)
{
	const struct plan *plan = arg;
	struct ticket ticket;
	struct device d;
	unsigned int i;
	int s;

	device_open(&d, bdf, true);
	device_map_bar(&d);
	device_map_dma(&d, plan->m, IOVA, SIZE, SIZE);
	s = ka_create(ka_open(), "e1000e", LIMIT, &ticket);
	if (s < 0)
		errx(1, "session: %s", strerror(-s));
	device_keep(&d, s, plan->memory);
	vectors_make(&d, s);
	nic_start(&d, plan->m);
	/* Somebody sends from here on. */
	for (i = 0; !received(plan->m, BEFORE - 1); i++) {
		if (i == 300000)
			errx(1, "RDH %u, RDT %u, STATUS %#x, ICR %#x: nothing comes",
			     device_read32(&d, E1000E_RDH), device_read32(&d, E1000E_RDT),
			     device_read32(&d, E1000E_STATUS), device_read32(&d, E1000E_ICR));
		usleep(100);
	}
	vmm_die(out, &ticket);
}

/* Sends as soon as the VMM's NIC receives. */
static pid_t sender(const struct memory *m)
{
	pid_t pid = fork();
	unsigned int i;

	if (pid)
		return pid;
	for (i = 0; !__atomic_load_n(&m->ready, __ATOMIC_ACQUIRE) && i < 30000; i++)
		usleep(1000);
	_exit(!send_packets(m, 0));
}

static bool ended_well(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Of each vector: it goes to its eventfd, and to no other one. */
static bool vectors_right(const struct device *d, const struct device *v)
{
	static const __u32 cause[VECTORS] = { CAUSE_RX, CAUSE_TX, CAUSE_OTHER };
	__u64 stray;
	int i, k;

	for (i = 0; i < VECTORS; i++) {
		device_write32(d, E1000E_ICS, cause[i]);
		/* Or twice: this NIC's throttling has a timer that interrupts too. */
		usleep(SETTLE);
		if (!device_interrupts(&v[i]))
			return false;
		for (k = 0; k < VECTORS; k++)
			if (read(v[k].msi, &stray, sizeof(stray)) >= 0)
				return false;
	}
	return true;
}

static void claim(int dev, struct ticket *ticket, struct memory *m, unsigned int gone, pid_t sends)
{
	long maps = host_hits("iommu_map"), unmaps = host_hits("iommu_unmap");
	long irte = host_hits("irte"), resets = host_hits("reset");
	struct device d, v[VECTORS];
	int s, memory;
	unsigned int i;
	long irqs;

	check(ended_well(sends), "every packet arrives and interrupts");
	ksft_print_msg("packets received: %u at the VMM's end, then %u\n", gone,
		       count_received(m, 0));
	check(gone >= BEFORE && gone < PACKETS && count_received(m, 0) == PACKETS,
	      "DMA goes on without a VMM");
	is(count_wrong(m, 0), 0, "packets that are wrong");

	s = ka_claim(dev, ticket);
	check(s >= 0, "another process claims the session");
	device_take(&d, s, &memory);
	vectors_take(v, &d, s);
	usleep(SETTLE);
	is(device_interrupts(&d), rx_irqs(), "interrupts in the eventfd, as the host took them");
	for (i = 1; i < VECTORS; i++)
		is(eventfd_read(v[i].msi, &(eventfd_t){ 0 }), -1, "in another vector's");
	m = guest_map(memory, SIZE);
	device_move_dma(&d, m, IOVA, SIZE, SIZE);
	device_map_bar(&d);
	is(device_read32(&d, E1000E_RCTL), RCTL_RUN, "the NIC is as it was: RCTL");
	is(device_read32(&d, E1000E_IVAR), IVAR_ALL, "IVAR");
	is(device_read32(&d, E1000E_RDH), PACKETS, "RDH");
	check(vectors_right(&d, v), "each of its vectors goes to its eventfd");

	for (i = 0; i < PACKETS; i++)
		m->ring[i].status = 0;
	device_write32(&d, E1000E_RDT, PACKETS - 1);
	irqs = rx_irqs();
	check(send_packets(m, PACKETS), "the claimer receives, across the ring's end");
	is(count_wrong(m, PACKETS), 0, "packets that are wrong then");
	usleep(SETTLE);
	is(device_interrupts(&d), rx_irqs() - irqs, "interrupts");
	is(host_hits("iommu_map") - maps, 0, "mappings made since the VMM's end");
	is(host_hits("iommu_unmap") - unmaps, 0, "mappings taken away");
	is(host_hits("irte") - irte, 0, "interrupts sent elsewhere");
	is(host_hits("reset") - resets, 0, "resets");

	device_close(&d);
	for (i = 1; i < VECTORS; i++)
		close(v[i].msi);
	close(s);
	is(ka_release(dev, ticket->id, 0), 0, "release");
	is(host_hits("reset") - resets, 1, "resets");
	is(rx_irqs(), -1, "interrupts of the device that the host has");
}

int main(int argc, char **argv)
{
	struct ticket ticket;
	struct plan plan;
	unsigned int gone;
	bool killed;
	pid_t sends;
	int dev;

	if (argc != 4) {
		fputs(usage, argc == 2 && !strcmp(argv[1], "--help") ? stdout : stderr);
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	bdf = argv[1];
	interface = argv[2];
	address = argv[3];
	plan.memory = guest_memory(SIZE);
	plan.m = guest_map(plan.memory, SIZE);
	dev = ka_open();
	ksft_print_header();
	sends = sender(plan.m);
	killed = vmm_killed(vmm, &plan, &ticket);
	gone = count_received(plan.m, 0);
	check(killed, "a VMM is killed while its NIC receives");
	if (killed)
		claim(dev, &ticket, plan.m, gone, sends);
	result_end();
}
