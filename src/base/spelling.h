/* spelling.h - which known name a mistyped one was meant to be, for "did you mean". Only letters, digits and '+' of a
 * name count, and case does not: "cfgscale" is "cfg-scale". */
#ifndef SUMI_BASE_SPELLING_H
#define SUMI_BASE_SPELLING_H

enum { LONGEST_WORD = 63 }; /* what is past it does not count */

/* The fewest insertions, deletions and replacements of bytes that make one of the other (Levenshtein 1966). */
int edit_distance(const char *a, const char *b);

/* The search, over names offered one by one: spelling_search s = spelling_of(word); spelling_offer(&s, name) …; s.best.
 */
typedef struct spelling_search {
	char word[LONGEST_WORD + 1];
	const char *best; /* the nearest of the names offered; NULL: none is near */
	int distance;
} spelling_search;

spelling_search spelling_of(const char *word);
/* A name is near where a third of the shorter of the two at most must change or, less so, where one is a part of
 * the other. `name` must live as long as s. */
void spelling_offer(spelling_search *s, const char *name);

#endif
