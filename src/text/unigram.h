/* unigram.h - T5's tokenizer: of all ways to cut a text into pieces the likeliest, each piece having a probability of
 * its own (Kudo 2018, arXiv 1804.10959). Ids are those of Hugging Face's tokenizers library with T5's tokenizer.json,
 * which is what Stable Diffusion 3 reads. */
#ifndef SUMI_TEXT_UNIGRAM_H
#define SUMI_TEXT_UNIGRAM_H
#include "text/codepoints.h"
#include "text/token_sink.h"

typedef struct unigram unigram; /* immutable after opening */

/* 32,000 pieces and the 100 "<extra_id_N>" that count down from 32099. */
enum { UNIGRAM_PAD = 0, UNIGRAM_END = 1, UNIGRAM_UNKNOWN = 2, UNIGRAM_PIECES = 32000, UNIGRAM_TOKENS = 32100 };

unigram *unigram_open(error *e);
void unigram_close(unigram *u); /* NULL is fine */
/* Appends the tokens of the text to `out`. "</s>", "<pad>", "<unk>" and "<extra_id_N>" in it are their own tokens. */
bool unigram_encode(const unigram *u, const codepoints *text, token_sink *out, error *e);

/* As Hugging Face's tokenizer.json. The caller frees; NULL: no memory. */
char *unigram_json(error *e);
/* A piece by its id, below UNIGRAM_PIECES, and its score. */
const char *unigram_piece(const unigram *u, int id, size_t *length, double *score);
size_t unigram_forms(const unigram *u); /* what has a normal form */
/* The i-th of them in UTF-8, and its form. */
const char *unigram_form(const unigram *u, size_t i, size_t *length, const uint32_t **form, size_t *count);

#endif
