// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-members: a VM that stands still between two instances, at the end of stage
 * "move", is in both. Reads both from the kernel's memory and compares them member by
 * member, as kvm-n/members.tsv has them.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <kselftest.h>

static const char usage[] =
"usage: vmm-members FROM TO\n"
"\n"
"FROM and TO are instances (kvm-amd-1) with one VM each, which is the same one.\n"
"/relay/layout/INSTANCE has their layouts (scripts/members -L). Prints a line for each\n"
"member that differs and that its row does not excuse, and for those that are\n"
"known to be lost. Exit status 1 if there are any of the first.\n";

#define MAX_ROWS	4000
#define MAX_SAID	400
#define MAX_VCPUS	64
/* Of a member that is compared. */
#define MAX_SIZE	4096
#define MAX_DEPTH	16
#define APIC_PPR	0xa0
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_TMCCT	0x390
#define TIMER_TSCDEADLINE 0x40000
#define X86_EFLAGS_TF	0x00100
#define X86_EFLAGS_RF	0x10000
/* What may pass between two ioctls, in ns. */
#define MAX_TIME	60000000000ll

/**
 * struct row - a member, or without a name the size of a structure
 * @of:		its structure
 * @name:	its name, or "-"
 * @offset:	in bytes
 * @size:	in bytes, of all of an array
 * @bit:	first bit, of a bit-field
 * @bits:	how many, or 0
 * @pointer:	1, or 2 for a list and other things of this copy
 * @fate:	of members.tsv
 * @to:		structure that it is, or points to, or "-"
 */
struct row {
	char of[40], name[64];
	unsigned int offset, size, bit, bits, pointer;
	char fate[12], to[40];
};

struct layout {
	const char	*name;
	struct row	*rows;
	unsigned int	count, hint;
};

/* What is said of a member, once. */
struct said {
	char		member[120];
	char		fate[12];
	char		first[120];
	unsigned int	times;
};

static struct said said[MAX_SAID];
static unsigned int said_count, compared;
static char place[64];
static bool pit_ticked, nmi_singlestep;

static int kcore;
static Elf64_Phdr segments[256];
static unsigned int segment_count;

static void die(const char *what, const char *of)
{
	fprintf(stderr, "vmm-members: %s: %s%s%s\n", of, what,
		errno ? ": " : "", errno ? strerror(errno) : "");
	exit(2);
}

static void kcore_open(void)
{
	Elf64_Ehdr head;

	kcore = open("/proc/kcore", O_RDONLY);
	if (kcore < 0 || pread(kcore, &head, sizeof(head), 0) != sizeof(head))
		die("cannot be read", "/proc/kcore");
	segment_count = head.e_phnum;
	if (segment_count > ARRAY_SIZE(segments) ||
	    pread(kcore, segments, segment_count * sizeof(segments[0]),
		  head.e_phoff) != (ssize_t)(segment_count * sizeof(segments[0])))
		die("too many segments", "/proc/kcore");
}

static void peek(__u64 at, void *to, size_t size)
{
	unsigned int i;

	for (i = 0; i < segment_count; i++) {
		const Elf64_Phdr *p = &segments[i];

		if (p->p_type == PT_LOAD && at >= p->p_vaddr &&
		    at + size <= p->p_vaddr + p->p_memsz &&
		    pread(kcore, to, size, p->p_offset + (at - p->p_vaddr)) ==
		    (ssize_t)size)
			return;
	}
	fprintf(stderr, "vmm-members: %s: nothing at %#llx\n", place,
		(unsigned long long)at);
	exit(2);
}

static __u64 peek_pointer(__u64 at)
{
	__u64 p;

	peek(at, &p, sizeof(p));
	return p;
}

static void layout_read(struct layout *l, const char *instance)
{
	char path[128], line[400];
	FILE *f;

	l->name = instance;
	l->rows = calloc(MAX_ROWS, sizeof(*l->rows));
	snprintf(path, sizeof(path), "/relay/layout/%s", instance);
	f = fopen(path, "r");
	if (!f || !l->rows)
		die("cannot be read", path);
	while (fgets(line, sizeof(line), f)) {
		struct row *r = &l->rows[l->count];

		if (l->count == MAX_ROWS - 1 ||
		    sscanf(line, "%39[^\t]\t%63[^\t]\t%i\t%u\t%u\t%u\t%u\t%11[^\t]\t%39[^\n]",
			   r->of, r->name, &r->offset, &r->size, &r->bit,
			   &r->bits, &r->pointer, r->fate, r->to) != 9)
			die("is no layout", path);
		l->count++;
	}
	fclose(f);
}

/* Mostly the one behind the last. */
static const struct row *find(struct layout *l, const char *of, const char *name)
{
	unsigned int i;

	for (i = 0; i < l->count; i++) {
		const struct row *r = &l->rows[(l->hint + i) % l->count];

		if (strcmp(r->of, of) || strcmp(r->name, name))
			continue;
		l->hint += i + 1;
		return r;
	}
	return NULL;
}

static const struct row *need(struct layout *l, const char *of,
			      const char *name)
{
	const struct row *r = find(l, of, name);

	errno = 0;
	if (!r)
		die("not in the layout", name);
	return r;
}

/* Where a section of the instance was loaded. */
static __u64 section(const char *instance, const char *name)
{
	unsigned long long at = 0;
	char path[128], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s/sections/%s", instance, name);
	for (p = path; *p; p++)
		if (*p == '-')
			*p = '_';
	f = fopen(path, "r");
	if (!f || fscanf(f, "%llx", &at) != 1)
		die("cannot be read", path);
	fclose(f);
	return at;
}

/* The only VM of an instance. */
static __u64 find_vm(struct layout *l)
{
	const struct row *symbol = need(l, "symbol", "vm_list");
	__u64 list = section(l->name, symbol->to) + symbol->offset;
	__u64 first = peek_pointer(list);

	errno = 0;
	if (first == list)
		die("has no VM", l->name);
	if (peek_pointer(first) != list)
		die("has more than one VM", l->name);
	return first - need(l, "kvm", "vm_list")->offset;
}

/* An xarray by its nodes, as the running kernel has them. */
static void walk_xarray(__u64 entry, __u64 *vcpus, unsigned int *n)
{
	const unsigned int slots = 40;
	unsigned int i;

	if ((entry & 3) != 2) {
		if (entry && *n < MAX_VCPUS)
			vcpus[(*n)++] = entry;
		return;
	}
	for (i = 0; i < 64; i++) {
		__u64 next = peek_pointer(entry - 2 + slots + 8 * i);

		if (next)
			walk_xarray(next, vcpus, n);
	}
}

static unsigned int find_vcpus(struct layout *l, __u64 vm, __u64 *vcpus)
{
	unsigned int n = 0;

	walk_xarray(peek_pointer(vm + need(l, "kvm", "vcpu_array")->offset +
				 need(l, "xarray", "xa_head")->offset), vcpus, &n);
	return n;
}

static void hex(char *to, size_t room, const __u8 *p, unsigned int size)
{
	int i;

	if (size > 8)
		size = 8;
	for (i = size - 1; i >= 0 && room > 2; i--, to += 2, room -= 2)
		snprintf(to, room, "%02x", p[i]);
}

static void say(const struct row *r, const __u8 *a, const __u8 *b,
		unsigned int size)
{
	char member[120], x[20] = "", y[20] = "";
	unsigned int i, at = 0;

	snprintf(member, sizeof(member), "%s.%s", r->of, r->name);
	for (i = 0; i < said_count; i++) {
		if (!strcmp(said[i].member, member)) {
			said[i].times++;
			return;
		}
	}
	if (said_count == MAX_SAID)
		return;
	while (at < size && a[at] == b[at])
		at++;
	at &= ~7u;
	hex(x, sizeof(x), a + at, size - at);
	hex(y, sizeof(y), b + at, size - at);
	strcpy(said[i].member, member);
	strcpy(said[i].fate, r->fate);
	said[i].times = 1;
	snprintf(said[i].first, sizeof(said[i].first), "%s+%u: %s -> %s", place, at,
		 x, y);
	said_count++;
}

/* What a row promises to be equal. */
static bool equal_by(const struct row *r)
{
	return !strcmp(r->fate, "ioctl") || !strcmp(r->fate, "time") ||
	       !strcmp(r->fate, "record") ||
	       !strcmp(r->fate, "extra") || !strcmp(r->fate, "counts") ||
	       !strcmp(r->fate, "derived") ||
	       !strcmp(r->fate, "lost");
}

static bool is(const struct row *r, const char *of, const char *name)
{
	return !strcmp(r->of, of) && !strcmp(r->name, name);
}

static __u64 value(struct layout *l, __u64 at, const char *of,
		   const char *name)
{
	const struct row *r = need(l, of, name);
	__u64 v = 0;

	peek(at + r->offset, &v, r->size < 8 ? r->size : 8);
	return v;
}

/*
 * What may differ and means nothing. The target's timers run already, and nobody takes the
 * ticks: those since then count in "pending", which was empty.
 */
static bool excused(struct layout *l, struct layout *m,
		    const struct row *r, __u64 a, __u64 b)
{
	static const char * const pit[] = {
		"kvm_kpit_state.irq_ack", "kvm_kpic_state.irr",
		"kvm_kpic_state.last_irr", "kvm_pic.output", "kvm_ioapic.irr",
		"kvm_ioapic.redirtbl", "kvm_lapic.regs",
	};
	char member[120];
	unsigned int i;

	if (is(r, "kvm_timer", "target_expiration") || is(r, "kvm_timer", "tscdeadline"))
		return value(m, b, "kvm_timer", "pending") ||
		       /* Computed from the former in the other modes. */
		       (is(r, "kvm_timer", "tscdeadline") &&
			value(l, a, "kvm_timer", "timer_mode") != TIMER_TSCDEADLINE);
	/* Of a pin that is low the bit means nothing: the next edge clears it. */
	if (is(r, "kvm_ioapic", "irr_delivered"))
		return pit_ticked ||
		       !((value(l, a, "kvm_ioapic", "irr_delivered") &
			  value(l, a, "kvm_ioapic", "irr")) ^
			 (value(m, b, "kvm_ioapic", "irr_delivered") &
			  value(m, b, "kvm_ioapic", "irr")));
	if (is(r, "kvm_kpit_state", "pending"))
		return value(m, b, "kvm_kpit_state", "pending") >=
		       value(l, a, "kvm_kpit_state", "pending");
	snprintf(member, sizeof(member), "%s.%s", r->of, r->name);
	for (i = 0; pit_ticked && i < ARRAY_SIZE(pit); i++)
		if (!strcmp(member, pit[i]))
			return true;
	return false;
}

static void look_at_pit(struct layout *l, struct layout *m, __u64 a,
			__u64 b)
{
	__u64 p = value(l, a + need(l, "kvm", "arch")->offset, "kvm_arch", "vpit");
	__u64 q = value(m, b + need(m, "kvm", "arch")->offset, "kvm_arch", "vpit");

	if (p && q)
		pit_ticked = value(m, q + need(m, "kvm_pit", "pit_state")->offset,
				   "kvm_kpit_state", "pending") >
			     value(l, p + need(l, "kvm_pit", "pit_state")->offset,
				   "kvm_kpit_state", "pending");
}

static void compare(const struct row *r, const struct row *s, __u64 a, __u64 b)
{
	__u8 x[MAX_SIZE], y[MAX_SIZE];
	unsigned int size = r->size < s->size ? r->size : s->size;

	if (size > MAX_SIZE)
		size = MAX_SIZE;
	if (r->pointer == 2)
		return;
	peek(a, x, size);
	peek(b, y, size);
	compared++;
	if (!strcmp(r->fate, "time")) {
		__s64 v, w;

		memcpy(&v, x, sizeof(v));
		memcpy(&w, y, sizeof(w));
		if (llabs(v - w) < MAX_TIME)
			return;
	}
	if (is(r, "vmcb_save_area", "tr")) {
		/* KVM_GET_SREGS2 says that the TSS is busy, whatever the VMCB says. */
		x[2] |= 2;
	} else if (is(r, "vmcb_save_area", "rflags") && nmi_singlestep) {
		/* KVM_GET_REGS hides that KVM waits for an NMI to become possible. */
		x[1] &= ~(X86_EFLAGS_TF >> 8);
		x[2] &= ~(X86_EFLAGS_RF >> 16);
	} else if (is(r, "kvm_lapic", "regs") && !r->pointer) {
		/* Computed when they are read. */
		memset(x + APIC_PPR, 0, 4);
		memset(y + APIC_PPR, 0, 4);
		memset(x + APIC_TMCCT, 0, 4);
		memset(y + APIC_TMCCT, 0, 4);
		/* x2APIC: the upper half of ICR, which KVM_SET_LAPIC leaves there too. */
		if (*(__u32 *)(x + APIC_ICR + 4) &&
		    *(__u32 *)(x + APIC_ICR + 4) == *(__u32 *)(y + APIC_ICR2))
			memcpy(x + APIC_ICR2, y + APIC_ICR2, 4);
	}
	if (r->bits) {
		__u64 v = 0, w = 0, mask = (1ull << r->bits) - 1;

		memcpy(&v, x, size < 8 ? size : 8);
		memcpy(&w, y, size < 8 ? size : 8);
		v = v >> r->bit & mask;
		w = w >> s->bit & mask;
		memcpy(x, &v, 8);
		memcpy(y, &w, 8);
		size = 8;
	} else if (r->pointer) {
		/* One has its own, but not without the other. */
		memset(x, !!*(__u64 *)x, 8);
		memset(y, !!*(__u64 *)y, 8);
	}
	if (memcmp(x, y, size))
		say(r, x, y, size);
}

/* Memory that a member points to, of no structure. */
static const struct {
	const char *of, *name;
	unsigned int size;
} pointees[] = {
	{ "kvm_lapic", "regs", 0x400 },
	{ "kvm_vcpu_arch", "mce_banks", 10 * 32 },
	{ "kvm_vcpu_arch", "mci_ctl2_banks", 10 * 8 },
	{ "nested_vmx", "cached_vmcs12", 4096 },
	{ "nested_vmx", "cached_shadow_vmcs12", 4096 },
};

static void compare_pointee(const struct row *r, __u64 a, __u64 b)
{
	__u64 p = peek_pointer(a), q = peek_pointer(b);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pointees); i++) {
		struct row fake = *r;

		if (strcmp(r->of, pointees[i].of) || strcmp(r->name, pointees[i].name))
			continue;
		fake.pointer = 0;
		fake.size = pointees[i].size;
		if (p && q)
			compare(&fake, &fake, p, q);
	}
}

static void walk(struct layout *l, struct layout *m, const char *of,
		 __u64 a, __u64 b, unsigned int depth)
{
	unsigned int i, j;

	for (i = 0; i < l->count; i++) {
		const struct row *r = &l->rows[i], *s;
		__u64 p = a + r->offset, q;

		if (strcmp(r->of, of) || !strcmp(r->name, "-"))
			continue;
		s = find(m, of, r->name);
		/* One of the releases alone has it. */
		if (!s)
			continue;
		q = b + s->offset;
		if (equal_by(r)) {
			if (excused(l, m, r, a, b))
				continue;
			compare(r, s, p, q);
			if (r->pointer)
				compare_pointee(r, p, q);
		} else if (!strcmp(r->fate, "struct") && depth < MAX_DEPTH) {
			const struct row *x = find(l, r->to, "-");
			const struct row *y = find(m, r->to, "-");

			/* Lists, and what is no structure in the debug information. */
			if (!x || !y || !x->size)
				continue;
			if (r->pointer) {
				if (r->size != 8)
					continue;
				p = peek_pointer(p);
				q = peek_pointer(q);
				if (!p || !q) {
					if (p || q)
						compare(r, s, a + r->offset,
							b + s->offset);
					continue;
				}
			}
			for (j = 0; j * x->size < (r->pointer ? 1 : r->size); j++)
				walk(l, m, r->to, p + j * x->size, q + j * y->size,
				     depth + 1);
		}
	}
}

int main(int argc, char **argv)
{
	__u64 vms[2], vcpus[2][MAX_VCPUS];
	const char *vm = "kvm_svm", *vcpu = "vcpu_svm";
	struct layout l[2] = { 0 };
	unsigned int n[2], i, bad = 0;

	if (argc != 3) {
		fputs(usage, stderr);
		return 2;
	}
	kcore_open();
	for (i = 0; i < 2; i++) {
		layout_read(&l[i], argv[1 + i]);
		vms[i] = find_vm(&l[i]);
		n[i] = find_vcpus(&l[i], vms[i], vcpus[i]);
	}
	if (strstr(argv[1], "intel")) {
		vm = "kvm_vmx";
		vcpu = "vcpu_vmx";
	}
	errno = 0;
	if (n[0] != n[1] || !n[0])
		die("not as many vCPUs", argv[2]);
	strcpy(place, "VM");
	look_at_pit(&l[0], &l[1], vms[0], vms[1]);
	walk(&l[0], &l[1], vm, vms[0], vms[1], 0);
	for (i = 0; i < n[0]; i++) {
		snprintf(place, sizeof(place), "vCPU %u", i);
		nmi_singlestep = find(&l[0], vcpu, "nmi_singlestep") &&
				 value(&l[0], vcpus[0][i], vcpu, "nmi_singlestep");
		walk(&l[0], &l[1], vcpu, vcpus[0][i], vcpus[1][i], 0);
	}
	for (i = 0; i < said_count; i++) {
		bool lost = !strcmp(said[i].fate, "lost");

		printf("# %s %s: %s, %u times, first %s\n", lost ? "known" : "differs",
		       said[i].member, said[i].fate, said[i].times, said[i].first);
		bad += !lost;
	}
	printf("# %u vCPUs, %u members compared, %u differ\n", n[0], compared, bad);
	return bad ? 1 : 0;
}
