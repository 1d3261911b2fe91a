/* tokenizer.h - words to the numbers that a text encoder reads.
 *
 * A tokenizer is immutable once it is open and may be used by several threads at once. Text is UTF-8 with a length;
 * it may hold zero bytes. Text that is not UTF-8 is BAD_USAGE with the offset of the byte. Time and memory grow
 * linearly with the text (n log n within one word), whatever the text is.
 *
 * CLIP's byte-pair encoding: github.com/openai/CLIP, clip/simple_tokenizer.py. 49,408 tokens, start 49406, end 49407.
 * T5: unigram.h.
 * WordPiece: github.com/google-research/bert, tokenization.py, as transformers 4.27's BertTokenizer applies it. */
#ifndef SUMI_TEXT_TOKENIZER_H
#define SUMI_TEXT_TOKENIZER_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef enum tokenizer_kind {
	/* For models. */
	CLIP,      /* SD 1, SDXL's first: Hugging Face's with ftfy; padded with 49407 */
	OPENCLIP,  /* SD 2, SDXL's second: ftfy, html.unescape twice; padded with 0 */
	WORDPIECE, /* LDM text-to-image, own models: BERT's uncased vocabulary or a given one; padded with [PAD] */
	T5,        /* SD 3's third: unigram pieces; no start, ends with 1, padded with 0 */
	/* Variants of CLIP that other programs have; they differ only in how text is cleaned before. */
	CLIP_OPENAI, /* the original repository's: as OPENCLIP, but reads <|startoftext|> and <|endoftext|> */
	CLIP_PLAIN,  /* lower case, nothing else */
	CLIP_NFC,    /* NFC, lower case: Hugging Face's "fast" one */
	CLIP_BASIC,  /* Hugging Face's without ftfy: accents go, punctuation and Chinese characters stand alone */
	TOKENIZERS,
} tokenizer_kind;

typedef struct tokenizer tokenizer;

enum { TEXT_CONTEXT = 77 }; /* tokens that all these text encoders read: start, 75, end */

/* `vocabulary`: for WORDPIECE a token a line in the order of the numbers, which must have [UNK], [CLS] and [SEP]
 * (BAD_FILE otherwise); it is copied. NULL means the built-in table; so it must be for the other kinds. */
tokenizer *tokenizer_open(tokenizer_kind kind, const char *vocabulary, size_t length, error *e);
void tokenizer_close(tokenizer *t); /* NULL is fine */

/* The tokens of the text alone, without start, end and padding. Writes the first `most` of them and sets *count to
 * all there are, which may be more. `ids` may be NULL where most is 0. */
bool tokenizer_encode(
    const tokenizer *t, const char *text, size_t length, int32_t *ids, size_t most, size_t *count, error *e);

/* A token as the table has it, cut to `size` bytes with their final zero: CLIP's with "</w>" where it ends a word,
 * BERT's with "##" where it goes on with one, T5's with "▁" where it begins one. "" for what is no token. */
void tokenizer_token(const tokenizer *t, int32_t id, char *text, size_t size);

/* start (T5 has none), tokens, end, padding: `size` ids (≥ 2). *dropped, where not NULL, is how many tokens did not
 * fit. */
bool tokenizer_encode_padded(
    const tokenizer *t, const char *text, size_t length, int32_t *ids, size_t size, size_t *dropped, error *e);

/* Rows that the embedding of a model needs. */
int32_t tokenizer_size(const tokenizer *t);
int32_t tokenizer_start(const tokenizer *t); /* −1: none */
int32_t tokenizer_end(const tokenizer *t);
int32_t tokenizer_pad(const tokenizer *t);

#endif
