// SPDX-License-Identifier: GPL-2.0-only
/* The command line of programs that want two instances. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vmm.h"

void args_two(int argc, char **argv, const char *usage, const char *names[2])
{
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		fputs(usage, stdout);
		exit(0);
	}
	if (argc != 3) {
		fputs(usage, stderr);
		exit(2);
	}
	names[0] = argv[1];
	names[1] = argv[2];
}
