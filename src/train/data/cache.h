/* cache.h - a training set that is encoded once: what the frozen autoencoder makes of each picture and, where asked
 * for, what the frozen text encoder makes of each caption. A folder that is read as a training set in place of
 * pictures.
 *
 * cache-00000.safetensors, …: moments/7 [h,w,2C], mean and clamped log-variance; words/7 [tokens,width], text states;
 * words/empty, in the first file, those of the empty caption, for caption dropout. Metadata: sumi.cache, JSON of
 * cache_origin.
 *
 * metadata.jsonl: a line for each sample of the set, in its order: file_name ("cache-00000.safetensors/7"; repeats of a
 * picture have one latent), text, keywords, height and width in pixels, original: [height,width] of the picture in its
 * file, crop: [top,left]. Written last, so that a folder without it is no
 * cache. */
#ifndef SUMI_TRAIN_CACHE_H
#define SUMI_TRAIN_CACHE_H
#include "text/tokenizer.h"
#include "train/data/data.h"
#include "train/run/learner.h"

/* What made it. Hashes are SHA-256 of names, shapes and bytes of the weights, in hexadecimal. */
typedef struct cache_origin {
	char autoencoder[65]; /* of its encoder: decoders may be exchanged */
	char words[65];       /* of the text encoder; "" where no text states are there */
	char set[65]; /* of names, sizes, times and captions of the pictures and how they were cropped; "": a stream */
} cache_origin;
/* Fails where a picture's autoencoder is not frozen. words: with the text encoder. */
bool cache_origin_of(const learner *m, bool words, const data_options *source, cache_origin *o, error *e);

/* ── writing ── */
typedef struct cache_options {
	const char *folder; /* made where it is not there */
	bool words;
	dtype stored; /* F32, F16 or BF16 */
	dtype compute;
	int threads;
	/* After each batch; of: −1 of a stream. False: leave with STOPPED. May be NULL. */
	bool (*progress)(void *context, int64_t done, int64_t of, const data_counts *counts);
	void *context;
} cache_options;
/* Reads the set of `source` once and in order; broken pictures are named and left out. `t`: NULL where words is false.
 */
bool cache_write(const cache_options *o, const learner *m, const tokenizer *t, const data_options *source, error *e);

/* ── reading ── */
typedef struct cache cache;
bool is_cache(const char *folder);
cache *cache_open(const char *folder, error *e);
void cache_close(cache *c); /* NULL is fine */
const cache_origin *cache_origin_in(const cache *c);
int64_t cache_count(const cache *c);
void cache_size(const cache *c, int *height, int *width); /* of the first latent */
int cache_channels(const cache *c);                       /* of a latent; moments have twice as many */
/* Shape and values of a sample's moments; out has height·width·2·channels floats of the sizes in
 * metadata.jsonl, divided by the autoencoder's factor. */
bool cache_moments(const cache *c, int64_t i, int height, int width, float *out, error *e);
int cache_tokens(const cache *c, int *width);            /* of a sample's text states; 0: there are none */
void cache_words(const cache *c, int64_t i, float *out); /* i = −1: of the empty caption */
/* Standard deviation of samples from all the moments: Σ(mean² + variance) less the square of the mean, over the set. */
bool cache_deviation(const cache *c, double *deviation, error *e);

#endif
