/* names.h - tables of names with more than one spelling, and the nearest one for a word that is none of them. */
#ifndef SUMI_DIFFUSION_NAMES_H
#define SUMI_DIFFUSION_NAMES_H

/* A table ends with a NULL name; the first name of a value is the one shown. */
struct name {
	int value;
	const char *name;
};

/* Letters (lower case), digits and '+' as 'p' alone: "DPM++ 2M" and "dpmpp_2m" become one. */
void plain_spelling(const char *name, char *out, int size);
const char *name_of(const struct name *table, int value); /* NULL where there is none */
int value_of(const struct name *table, const char *name); /* by plain spelling; -1 where there is none */
/* The fewest insertions, deletions and replacements away, in plain spelling; never NULL for a table that is not empty.
 */
const char *nearest_name(const struct name *table, const char *name);

#endif
