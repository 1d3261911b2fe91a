/* unicode_tables.h - what unicode.c looks up; the tables are in unicode_tables.c, all sorted by code point. */
#ifndef SUMI_TEXT_UNICODE_TABLES_H
#define SUMI_TEXT_UNICODE_TABLES_H
#include <stddef.h>
#include <stdint.h>

typedef struct value_run {
	uint32_t first, last;
	uint8_t value; /* 0 outside the runs */
} value_run;

typedef struct lower_run {
	uint32_t first, last, step; /* first, first + step, …, last */
	int32_t distance;           /* lower case = code point + distance */
} lower_run;

typedef struct decomposed_char {
	uint32_t composed, first, second; /* canonical; second is 0 where there is one character only */
} decomposed_char;

extern const value_run class_runs[];     /* char_class of unicode.h */
extern const value_run combining_runs[]; /* canonical combining class */
extern const value_run grapheme_runs[];  /* grapheme_class of unicode.h */
extern const value_run casing_runs[];    /* bit 0 Cased, bit 1 Case_Ignorable */
extern const lower_run lower_runs[];
extern const decomposed_char decompositions[];
extern const uint16_t compositions[]; /* indices of decompositions that compose again, sorted by (first, second) */
extern const uint16_t usual_width[0xFFEF - 0xFF5F];
extern const size_t class_runs_count, combining_runs_count, grapheme_runs_count, casing_runs_count, lower_runs_count, decompositions_count,
    compositions_count;

#endif
