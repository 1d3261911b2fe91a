/* new_words.h - words that a text encoder learned later (textual inversion, arXiv 2208.01618): a name that stands in a
 * text means rows of a further table. Where the tokenizer has V tokens, row r is the id V + r. */
#ifndef SUMI_TEXT_NEW_WORDS_H
#define SUMI_TEXT_NEW_WORDS_H
#include "text/tokenizer.h"

typedef struct new_word {
	const char *name; /* not "" */
	int first, count; /* rows */
} new_word;

/* As tokenizer_encode(). A name is found whatever its case (of ASCII letters), the longest that fits, and only where
 * no letter, digit or underscore of the text adjoins one of its own. */
bool new_words_encode(const new_word *words, int count, const tokenizer *t, const char *text, size_t length,
    int32_t *ids, size_t most, size_t *found, error *e);
/* As tokenizer_encode_padded(). */
bool new_words_encode_padded(
    const new_word *words, int count, const tokenizer *t, const char *text, int32_t *ids, size_t size, error *e);
bool new_words_in(const new_word *words, int count, const char *text); /* does the text hold one? */

/* For the two tables: where an id is a new word's, rows is 1 + its row and the id becomes 0; elsewhere rows is 0. */
void new_words_split(const tokenizer *t, int32_t *ids, int32_t *rows, size_t n);

#endif
