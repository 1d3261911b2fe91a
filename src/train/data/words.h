/* words.h - captions as token ids, and as the states of a frozen text encoder, a batch at a time. */
#ifndef SUMI_TRAIN_WORDS_H
#define SUMI_TRAIN_WORDS_H
#include "text/new_words.h"
#include "train/run/learner.h"

/* How a model reads captions. */
typedef struct caption_readers {
	tokenizer *tokenizers[TEXT_ENCODERS]; /* NULL: the encoder is not there */
	int tokens[TEXT_ENCODERS];            /* that it reads of a caption */
	bool trained[TEXT_ENCODERS];          /* something of it is: its states are not known before a step */
} caption_readers;

/* The ids of a caption as an encoder reads it, `tokens` of them, cut or padded; *end is the place of the end token.
 * `word`: a word that is learned, with more ids than the tokenizer has; NULL: none. */
bool caption_ids(const text_config *c, const tokenizer *t, const new_word *word, const char *caption, int32_t *ids,
    int tokens, int32_t *end, error *e);

typedef struct caption_encoder caption_encoder;
/* For up to `count` captions of `tokens` tokens each, by the model's text encoder number `encoder`. */
caption_encoder *words_new(
    const learner *m, int encoder, const tokenizer *t, int count, int tokens, dtype compute, int threads, error *e);
void words_free(caption_encoder *w); /* NULL is fine */
/* n captions, at most `count` → for each of them states [tokens,width], then what is pooled, if anything is: owned
 * until the next call. NULL: failed. */
const float *words_run(caption_encoder *w, const char *const *captions, int n, error *e);
size_t words_each(const caption_encoder *w); /* floats of one caption */

#endif
