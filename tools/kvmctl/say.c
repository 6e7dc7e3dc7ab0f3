// SPDX-License-Identifier: GPL-2.0-only
/* What is said to people, and to programs that asked for JSON. */
#include <err.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvmctl.h"

/**
 * say_errno - the name of an errno
 * @error: positive
 */
const char *say_errno(unsigned int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "?";
}

/**
 * say_json - print it on standard output
 * @o: a reference, which is given back
 */
void say_json(json_t *o)
{
	json_dumpf(o, stdout, json_lines ? JSON_COMPACT : JSON_INDENT(2));
	putchar('\n');
	fflush(stdout);
	json_decref(o);
}

/**
 * say_line - print it on standard output, on one line
 * @o: a reference, which is given back
 */
void say_line(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(o);
}

static void __noreturn end(int error, const char *format, va_list args)
{
	char *text = NULL;

	if (format && vasprintf(&text, format, args) < 0)
		text = NULL;
	if (error && text)
		warnx("%s: %s", text, strerror(error));
	else
		warnx("%s", text ? text : strerror(error));
	if (json_wanted)
		say_json(json_pack("{s:{s:s, s:s*}}", "error", "reason",
				   text ? text : strerror(error),
				   "errno", error ? say_errno(error) : NULL));
	exit(EXIT_NONE);
}

/**
 * die - end the program, with a reason
 * @format: of it
 */
void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	end(0, format, args);
}

/**
 * die_errno - end the program, with what errno says
 * @format: of what it is about, or NULL
 */
void die_errno(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	end(error, format, args);
}

/**
 * say_number - an argument that is a number; any other is wrong usage
 * @state: of the parser
 * @arg: the argument
 * @what: it is, with an article
 * @min: the least
 * @max: the greatest
 */
unsigned int say_number(struct argp_state *state, const char *arg, const char *what,
			unsigned int min, unsigned int max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(arg, &end, 10);
	if (errno || end == arg || *end || *arg < '0' || *arg > '9' || n < min || n > max)
		argp_error(state, "%s is a number from %u to %u, not '%s'", what, min, max, arg);
	return n;
}
