// SPDX-License-Identifier: GPL-2.0-only
/* The list of guests, and what programs let their user say of guests and VMs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmm.h"

static const struct {
	const char	*name;
	unsigned int	needs;
	const char	*about;
} guests[] = {
#define GUEST(name, needs, about) { #name, needs, about },
#include "guest/list.h"
#undef GUEST
};

const char *guest_name(unsigned int id)
{
	return guests[id].name;
}

const char *guest_about(unsigned int id)
{
	return guests[id].about;
}

unsigned int guest_needs(unsigned int id)
{
	return guests[id].needs;
}

int guest_by_name(const char *name)
{
	int i;

	for (i = 0; i < GUEST_COUNT; i++)
		if (!strcmp(guests[i].name, name))
			return i;
	return -1;
}

static bool for_all(unsigned int id)
{
	return !(guest_needs(id) & GN_BENCH);
}

int guest_parse(const char *name)
{
	int id = guest_by_name(name);

	if (id >= 0 && for_all(id))
		return id;
	vmm_error(0, "no guest %s; vmm-run -g list shows all", name);
	return -1;
}

int guests_parse(char *list, bool set[GUEST_COUNT])
{
	char *name;
	int id, n = 0;

	for (name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		if (!strcmp(name, "all")) {
			for (id = 0; id < GUEST_COUNT; id++)
				set[id] |= for_all(id);
			continue;
		}
		id = guest_parse(name);
		if (id < 0)
			return -1;
		set[id] = true;
	}
	for (id = 0; id < GUEST_COUNT; id++)
		n += set[id];
	return n;
}

void guests_list(void)
{
	unsigned int i;

	for (i = 0; i < GUEST_COUNT; i++)
		if (for_all(i))
			printf("%-16s %s\n", guest_name(i), guest_about(i));
}

bool shape_option(struct vm_shape *shape, int option, const char *arg)
{
	switch (option) {
	case 'c':
		shape->cpus = strtoul(arg, NULL, 0);
		return true;
	case 'm':
		shape->mem = strtoull(arg, NULL, 0) << 20;
		return true;
	case 'S':
		shape->split = 1;
		return true;
	}
	return false;
}
