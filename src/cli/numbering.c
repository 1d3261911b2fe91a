/* numbering.c - see numbering.h. */
#include "cli/numbering.h"
#include <stdio.h>
#include <string.h>

/* Where a pattern holds its number ("%d", "%03d"); NULL: nowhere. */
static const char *number_in(const char *pattern, int *digits, size_t *length)
{
	for (const char *c = strchr(pattern, '%'); c; c = strchr(c + 1, '%')) {
		const char *end = c + 1;
		*digits = 0;
		while (*end >= '0' && *end <= '9' && *digits < 10) *digits = *digits * 10 + *end++ - '0';
		if (*end != 'd' || *digits > 9) continue;
		*length = (size_t)(end - c + 1);
		return c;
	}
	return NULL;
}

bool numbered_path(char *path, size_t size, const char *pattern, int number, int count)
{
	int digits = 3, n;
	size_t length = 0;
	const char *at = number_in(pattern, &digits, &length), *between = "";
	if (!at && count == 1) {
		n = snprintf(path, size, "%s", pattern);
	} else {
		if (!at) {
			const char *name = strrchr(pattern, '/'), *dot = strrchr(name ? name + 1 : pattern, '.');
			at = dot ? dot : strchr(pattern, 0);
			between = "_";
			digits = 3;
		}
		n = snprintf(path, size, "%.*s%s%0*d%s", (int)(at - pattern), pattern, between, digits ? digits : 1, number,
		    at + length);
	}
	return n >= 0 && (size_t)n < size;
}
