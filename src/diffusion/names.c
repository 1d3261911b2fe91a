/* names.c - spellings and the distance between them. */
#include "diffusion/names.h"
#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

enum { LONGEST = 64 };

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

/* Levenshtein's distance, one row at a time. */
static int distance(const char *a, const char *b)
{
	int row[LONGEST + 1], length = (int)strlen(b);
	for (int j = 0; j <= length; j++) row[j] = j;
	for (int i = 1; *a; a++, i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= length; j++) {
			int best = diagonal + (*a != b[j - 1]);
			if (row[j] + 1 < best) best = row[j] + 1;
			if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[length];
}

const char *nearest_name(const struct name *table, const char *name)
{
	char wanted[LONGEST], known[LONGEST];
	const char *nearest = NULL;
	int least = INT_MAX;
	plain_spelling(name, wanted, LONGEST);
	for (; table->name; table++) {
		plain_spelling(table->name, known, LONGEST);
		int d = distance(wanted, known);
		if (d < least) {
			least = d;
			nearest = table->name;
		}
	}
	return nearest;
}
