/* codepoints.h - text as an array of Unicode code points that grows: what the tokenizers work on, so that their
 * rules are about characters and never about bytes. */
#ifndef SUMI_TEXT_CODEPOINTS_H
#define SUMI_TEXT_CODEPOINTS_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct codepoints {
	uint32_t *at;
	size_t count, capacity;
} codepoints; /* {0} is an empty text */

bool codepoints_add(codepoints *t, uint32_t c, error *e);
bool codepoints_append(codepoints *t, const uint32_t *from, size_t count, error *e);
bool codepoints_same(const codepoints *a, const codepoints *b);
void codepoints_free(codepoints *t);
/* Exchanges contents: a pass that writes a new text ends with it. */
void codepoints_swap(codepoints *a, codepoints *b);

/* Appends UTF-8 of `length` bytes. Overlong forms, surrogates, code points over U+10FFFF and cut sequences are
 * BAD_USAGE with the offset of the first byte that is wrong. */
bool codepoints_from_utf8(codepoints *t, const char *utf8, size_t length, error *e);
/* Writes 1 to 4 bytes and returns how many. */
size_t utf8_encode(uint32_t c, uint8_t out[4]);
/* Decodes one character: the bytes used (1 to 4), 0 where none is valid there. */
size_t utf8_decode(const uint8_t *at, size_t left, uint32_t *c);
bool is_utf8(const char *text, size_t length); /* all of it */

#endif
