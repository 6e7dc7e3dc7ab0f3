// SPDX-License-Identifier: GPL-2.0-only
/* Names that somebody else chose, made fit for a terminal, a log and JSON. */
#include <string.h>

#include "kvmctl.h"

/*
 * Length of the UTF-8 sequence at @s if it is a well-formed one of a character that is no
 * control character, else 0.
 */
static size_t printable(const unsigned char *s)
{
	static const unsigned int least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned int c = *s;
	size_t n, i;

	if (c < 0x80)
		return c >= ' ' && c != 0x7f;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	c &= 0x7f >> n;
	for (i = 1; i < n; i++) {
		/* A string that ends here ends with a byte that is none of these. */
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* 0x80 to 0x9f are control characters, too. */
	if (c < least[n] || c < 0xa0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

/**
 * text_escape - a name that can be printed, and is UTF-8
 * @to: set to @from, with \xHH for each byte of a control character and of what is no UTF-8
 * @size: of @to; what does not fit is left out
 * @from: the name
 * @backslash: also escape backslashes: they are none of an escape that @from has already
 *
 * Return: @to.
 */
char *text_escape(char *to, size_t size, const char *from, bool backslash)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = (const unsigned char *)from;
	size_t n, at = 0;

	while (*s) {
		n = printable(s);
		if (n && backslash && *s == '\\') {
			if (at + 2 >= size)
				break;
			to[at++] = '\\';
			to[at++] = *s++;
		} else if (n) {
			if (at + n >= size)
				break;
			memcpy(to + at, s, n);
			at += n;
			s += n;
		} else {
			if (at + 4 >= size)
				break;
			to[at++] = '\\';
			to[at++] = 'x';
			to[at++] = hex[*s >> 4];
			to[at++] = hex[*s++ & 15];
		}
	}
	to[at] = '\0';
	return to;
}
