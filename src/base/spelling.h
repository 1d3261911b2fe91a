/* spelling.h - how far a word is from another, for "did you mean". */
#ifndef SUMI_BASE_SPELLING_H
#define SUMI_BASE_SPELLING_H

/* The fewest insertions, deletions and replacements of bytes that make one of the other (Levenshtein 1966). Of b, what
 * is past LONGEST_WORD bytes does not count. */
enum { LONGEST_WORD = 63 };
int edit_distance(const char *a, const char *b);

#endif
