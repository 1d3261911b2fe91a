/* spelling.c - Levenshtein's distance, one row of its table at a time. */
#include "base/spelling.h"
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
