/* spelling.c - Levenshtein's distance, one row of its table at a time. */
#include "base/spelling.h"
#include <ctype.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

int edit_distance(const char *a, const char *b)
{
	int row[LONGEST_WORD + 1], length = (int)strnlen(b, LONGEST_WORD);
	for (int j = 0; j <= length; j++) row[j] = j;
	for (int i = 1; *a; a++, i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= length; j++) {
			int change = diagonal + (*a != b[j - 1]);
			diagonal = row[j];
			int least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			row[j] = change < least ? change : least;
		}
	}
	return row[length];
}

static void reduce(char out[LONGEST_WORD + 1], const char *word)
{
	size_t n = 0;
	for (; *word && n < LONGEST_WORD; word++)
		if (isalnum((unsigned char)*word) || *word == '+') out[n++] = (char)tolower((unsigned char)*word);
	out[n] = 0;
}

spelling_search spelling_of(const char *word)
{
	spelling_search s = { .distance = INT_MAX };
	reduce(s.word, word);
	return s;
}

void spelling_offer(spelling_search *s, const char *name)
{
	enum { A_PART = 1000, SHORTEST_PART = 3 }; /* behind every slip of the keys */
	char other[LONGEST_WORD + 1];
	reduce(other, name);
	int a = (int)strlen(s->word), b = (int)strlen(other), shorter = a < b ? a : b;
	int d = edit_distance(s->word, other);
	if (d > (shorter + 2) / 3 || d >= shorter) {
		if (shorter < SHORTEST_PART || !(strstr(other, s->word) || strstr(s->word, other))) return;
		d += A_PART;
	}
	if (d >= s->distance) return;
	s->distance = d;
	s->best = name;
}
