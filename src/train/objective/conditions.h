/* conditions.h - what a denoiser is conditioned on, in the graph of a training step: captions and, of SDXL, sizes
 * become a context and a vector by the family's rule (enum conditioning_rule). A text encoder that is trained is part
 * of the graph and reads token ids; the states of the others are inputs, from a cache or from the encoder at work. */
#ifndef SUMI_TRAIN_CONDITIONS_H
#define SUMI_TRAIN_CONDITIONS_H
#include "train/data/cache.h"
#include "train/data/data.h"

typedef struct conditions {
	caption_readers texts;
	new_word word; /* that is learned, by all encoders that read chunks; no rows: none */
	bool zeros;    /* dropped captions become zeros, not empty prompts */
	/* Of encoders that are not trained, one of the two: */
	bool cached[TEXT_ENCODERS];
	caption_encoder *at_work[TEXT_ENCODERS]; /* made for the first batch */
	int batch;                               /* of which so many captions are read */
	dtype compute;
	int threads;
} conditions;

void conditions_free(conditions *c);

/* Adds the context and the vector that the family's denoiser reads to *in, for `count` samples. Inputs of encoder k,
 * whose names end in ".k": states, pooled; or, where it is trained, ids, ends, new_words. Also sizes, and kept (0 where
 * a caption is dropped, else 1) where dropped captions are zeros. */
void conditions_build(const conditions *c, const family *f, nn *n, int count, denoiser_inputs *in);
/* Writes them. dropped[i]: sample i has no caption. `from` may be NULL where nothing is cached. */
bool conditions_fill(
    conditions *c, const learner *m, graph *g, const data_batch *b, const bool *dropped, const cache *from, error *e);

#endif
