/* wordpiece_learn.h - a WordPiece vocabulary from captions, for models that have no vocabulary yet. */
#ifndef SUMI_TEXT_WORDPIECE_LEARN_H
#define SUMI_TEXT_WORDPIECE_LEARN_H
#include "base/error.h"
#include <stddef.h>

/* Learns at most `size` tokens from `count` captions (UTF-8, ended by a zero) and returns them a token a line, as
 * tokenizer_open takes them; the caller frees the text. *length is its bytes.
 *
 *   1. Captions become words by BERT's basic tokenizer (wordpiece.h); each word has its number of occurrences.
 *   2. The vocabulary begins with [PAD] [UNK] [CLS] [SEP] [MASK], then every character that begins a word and every
 *      one that continues one ("##x"), by code point; where they do not all fit, the most frequent.
 *   3. The pair of neighbouring pieces that occurs most often over all words is joined into a new piece, as in byte
 *      pair encoding (Sennrich et al. 2016; of equals the pair of the older pieces), until the vocabulary is full or
 *      no pair occurs twice.
 *
 * The result depends on the captions but not on their order. A size under 6 or over 2^20 and text that is not UTF-8
 * are BAD_USAGE; the message then has the number of the caption, from 0. */
char *wordpiece_learn(const char *const *captions, size_t count, size_t size, size_t *length, error *e);

#endif
