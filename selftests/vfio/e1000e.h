/* SPDX-License-Identifier: GPL-2.0-only */
/* An e1000e, for programs and for guests: registers, and descriptors as they were in the 8254x. */
#ifndef __SELFTESTS_E1000E_H
#define __SELFTESTS_E1000E_H

#include <linux/types.h>

/* Registers */
#define E1000E_CTRL	0x0000
#define E1000E_STATUS	0x0008
#define E1000E_CTRL_EXT	0x0018
#define E1000E_ICR	0x00c0
#define E1000E_ICS	0x00c8
#define E1000E_IMS	0x00d0
#define E1000E_IMC	0x00d8
#define E1000E_EIAC	0x00dc
#define E1000E_IVAR	0x00e4
#define E1000E_RCTL	0x0100
#define E1000E_TCTL	0x0400
#define E1000E_RDBAL	0x2800
#define E1000E_RDBAH	0x2804
#define E1000E_RDLEN	0x2808
#define E1000E_RDH	0x2810
#define E1000E_RDT	0x2818
#define E1000E_TDBAL	0x3800
#define E1000E_TDBAH	0x3804
#define E1000E_TDLEN	0x3808
#define E1000E_TDH	0x3810
#define E1000E_TDT	0x3818
#define E1000E_MTA	0x5200
#define E1000E_MTA_WORDS 128

/* Of a descriptor's status */
#define E1000E_DONE	1

/**
 * struct e1000e_receive - a descriptor of the ring of what is received
 * @address:	of the buffer
 * @length:	that was received
 * @checksum:	of it
 * @status:	E1000E_DONE once it was
 * @errors:	0
 * @special:	of a VLAN
 */
struct e1000e_receive {
	__u64 address;
	__u16 length;
	__u16 checksum;
	__u8 status;
	__u8 errors;
	__u16 special;
};

struct device;

/* Reset, with all interrupts masked, and the link is up; ends the program if it does not come. */
void e1000e_reset(const struct device *d);

#endif
