/* unicode.h - the facts about characters that the tokenizers ask for, from the Unicode character database 15.0;
 * named as Python and the database name them. */
#ifndef SUMI_TEXT_UNICODE_H
#define SUMI_TEXT_UNICODE_H
#include "text/codepoints.h"

/* General categories, grouped. */
typedef enum char_class {
	CLASS_CONTROL,     /* C*: control, format, private use, unassigned */
	CLASS_LETTER,      /* L* */
	CLASS_NUMBER,      /* N* */
	CLASS_MARK,        /* Mn: marks that take no space */
	CLASS_PUNCTUATION, /* P* */
	CLASS_SPACE,       /* Zs */
	CLASS_OTHER,       /* S*, Mc, Me, Zl, Zp */
} char_class;

char_class class_of_char(uint32_t c);

/* Grapheme_Cluster_Break (UAX 29), as far as clusters of under six bytes need it. */
typedef enum grapheme_class {
	GRAPHEME_OTHER,
	GRAPHEME_CR,
	GRAPHEME_LF,
	GRAPHEME_CONTROL,
	GRAPHEME_EXTEND,
	GRAPHEME_PREPEND
} grapheme_class;
grapheme_class grapheme_class_of(uint32_t c);
/* The property White_Space: \s of regular expressions. */
bool is_white_space(uint32_t c);
/* Python's str.isspace(): the same and U+001C to U+001F. */
bool is_python_space(uint32_t c);

/* Python's str.lower(): full mappings, and a sigma at the end of a word
 * becomes ς where `final_sigma`. The text can grow (İ). */
bool lower_case(codepoints *t, bool final_sigma, error *e);
/* Unicode normalization forms D and C (UAX 15). */
bool normalize_nfd(codepoints *t, error *e);
bool normalize_nfc(codepoints *t, error *e);

#endif
