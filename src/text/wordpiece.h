/* wordpiece.h - BERT's two steps: words (basic tokenizer), then the longest pieces that the vocabulary has. */
#ifndef SUMI_TEXT_WORDPIECE_H
#define SUMI_TEXT_WORDPIECE_H
#include "text/codepoints.h"
#include "text/token_sink.h"

typedef struct wordpiece wordpiece; /* immutable after opening */

/* A vocabulary is a token a line, LF or CRLF; pieces that continue a word begin with "##". [UNK], [CLS] and [SEP]
 * must be in it; without [PAD], number 0 pads. The bytes are copied. NULL: BERT's. */
wordpiece *wordpiece_open(const char *vocabulary, size_t length, error *e);
void wordpiece_close(wordpiece *w);
/* Appends to `out` the tokens of the text. */
bool wordpiece_encode(const wordpiece *w, const codepoints *text, token_sink *out, error *e);

const char *wordpiece_token(const wordpiece *w, int32_t id, size_t *length); /* NULL: there is none of this number */
int32_t wordpiece_size(const wordpiece *w);
int32_t wordpiece_start(const wordpiece *w); /* [CLS] */
int32_t wordpiece_end(const wordpiece *w);   /* [SEP] */
int32_t wordpiece_pad(const wordpiece *w);   /* [PAD] */

/* BERT's basic tokenizer, uncased: control characters go, Chinese characters and punctuation stand alone, lower
 * case, accents go. The text becomes words with one space between. `alone`: letters are put in lower case one by
 * one (no ς), as BertTokenizer does, and words that are special tokens, [CLS] and its kin, stay as they are. */
bool basic_words(codepoints *text, bool alone, error *e);

#endif
