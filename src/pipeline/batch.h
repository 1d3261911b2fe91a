/* batch.h - many pictures with one set of options: prompts and seeds differ, each network runs for several at once.
 * Made once for a number of pictures; its networks stay allocated, so that thousands can be drawn.
 *
 * Each picture begins with the noise of its own seed, as generate() would draw it; samplers that draw more noise draw
 * it from the same generator. The pictures are generate()'s up to rounding: kernels differ with the size of a batch. */
#ifndef SUMI_PIPELINE_BATCH_H
#define SUMI_PIPELINE_BATCH_H
#include "pipeline/generate.h"

typedef struct batch batch;

/* How many at once keep the machine busy in about the memory of one large picture. */
int batch_size_for(const model *m, int width, int height);

/* o: prompt and seed are not looked at; neither pictures to begin from nor prompts joined by AND are known. size:
 * pictures at once. The model and the options must outlive it. NULL: failed. */
batch *batch_new(const model *m, const sumi_options *o, int size, error *e);
void batch_free(batch *b); /* NULL is fine */

/* Draws count ≤ size pictures into pictures[]; on failure none is left there. */
bool batch_draw(batch *b, const char *const *prompts, const int64_t *seeds, int count, sumi_image **pictures, error *e);

#endif
