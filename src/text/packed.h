/* packed.h - tables that are committed as text: deflated (zlib), then written in base 85. Each 5 digits, most
 * significant first, hold 4 bytes, most significant first; the digits are '#' to 'y' without '?' and '\'. */
#ifndef SUMI_TEXT_PACKED_H
#define SUMI_TEXT_PACKED_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

#define PACKED_ROW 110 /* digits in a row: 88 bytes */

typedef struct packed {
	const char (*rows)[PACKED_ROW + 1];
	size_t deflated, size; /* bytes before and after inflating */
} packed;

extern const packed clip_merges; /* 48,894 merges as 4 planes of bytes: left low, left high, right low, right high */
extern const packed bert_vocabulary; /* 30,522 lines */
extern const packed t5_vocabulary;   /* see unigram.c */
extern const packed html_entities;   /* sorted lines "name; hex [hex]"; names that begin with '!' are ftfy's */

/* The content, p->size bytes and a zero after them; the caller frees it. NULL: no memory. */
uint8_t *unpack(const packed *p, error *e);

#endif
