/* data_sample.h - from an item of the set to numbers: the pixels and the caption of one sample. */
#ifndef SUMI_TRAIN_DATA_SAMPLE_H
#define SUMI_TRAIN_DATA_SAMPLE_H
#include "train/data/data.h"
#include "train/data/data_set.h"

/* splitmix64 (Steele et al. 2014): a hash of two numbers, and a stream of them. */
uint64_t mix(uint64_t a, uint64_t b);
uint64_t draw(uint64_t *state);                   /* the next 64 bits of a stream */
uint64_t draw_below(uint64_t *state, uint64_t n); /* 0 … n−1, n ≥ 1 */

/* The order of an epoch: a permutation of 0 … count−1 drawn from (seed, epoch). */
void shuffle(int64_t *order, int64_t count, uint64_t seed, uint64_t epoch);

/* A picture's bytes: in memory, or, where data is NULL, in the file `name`. Messages call it `name`. */
typedef struct picture_source {
	const char *name;
	const void *data;
	size_t bytes;
} picture_source;

/* Reads, resizes, crops and flips one picture to [height,width,3] in −1…1. `random` 0: centre crop, no flip; else what
 * is random is drawn from it. The shorter side is first made o->resolution, or, in buckets, the picture is made as
 * small as the crop allows. */
bool sample_pixels(const data_options *o, const picture_source *from, uint64_t random, int height, int width,
    float *out, picture_frame *frame, error *e);
bool sample_size(const picture_source *from, int *width, int *height); /* from its header; false: not found */

/* Writes the caption of one use of an item, cut at the room there is. */
void sample_caption(const data_options *o, const data_item *i, uint64_t random, char *out, size_t room);

#endif
