/* names.c - tables of names, by plain spelling. */
#include "diffusion/names.h"
#include "base/spelling.h"
#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

enum { LONGEST = LONGEST_WORD + 1 };

void plain_spelling(const char *name, char *out, int size)
{
	int n = 0;
	for (; *name && n < size - 1; name++) {
		unsigned char c = (unsigned char)*name;
		if (c == '+') out[n++] = 'p';
		if (c < 128 && isalnum(c)) out[n++] = (char)tolower(c);
	}
	out[n] = 0;
}

const char *name_of(const struct name *table, int value)
{
	for (; table->name; table++)
		if (table->value == value) return table->name;
	return NULL;
}

int value_of(const struct name *table, const char *name)
{
	char wanted[LONGEST], known[LONGEST];
	plain_spelling(name, wanted, LONGEST);
	for (; table->name; table++) {
		plain_spelling(table->name, known, LONGEST);
		if (!strcmp(wanted, known)) return table->value;
	}
	return -1;
}

const char *nearest_name(const struct name *table, const char *name)
{
	char wanted[LONGEST], known[LONGEST];
	const char *nearest = NULL;
	int least = INT_MAX;
	plain_spelling(name, wanted, LONGEST);
	for (; table->name; table++) {
		plain_spelling(table->name, known, LONGEST);
		int d = edit_distance(wanted, known);
		if (d < least) {
			least = d;
			nearest = table->name;
		}
	}
	return nearest;
}
