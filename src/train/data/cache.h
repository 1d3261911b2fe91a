/* cache.h - a training set that is encoded once: what the frozen autoencoder makes of each picture and, where asked
 * for, what the frozen text encoders make of each caption. A folder that is read as a training set in place of
 * pictures.
 *
 * cache-00000.safetensors, …: moments/7 [h,w,2C], mean and clamped log-variance; words/7 [tokens,width], states of the
 * first text encoder, words.1/7 and words.2/7 of the others; pooled/7 [width], pooled.1/7, … of those that pool;
 * words/empty, …, in the first file, the same of the empty caption, for caption dropout. Metadata: sumi.cache, JSON of
 * cache_origin.
 *
 * metadata.jsonl: a line for each sample of the set, in its order: file_name ("cache-00000.safetensors/7"; repeats of a
 * picture have one latent), text, keywords, height and width in pixels, original: [height,width] of the picture in its
 * file, crop: [top,left]. Written last, so that a folder without it is no
 * cache. */
#ifndef SUMI_TRAIN_CACHE_H
#define SUMI_TRAIN_CACHE_H
#include "train/data/data.h"
#include "train/data/words.h"

/* What made it. Hashes are SHA-256 of names, shapes and bytes of the weights, in hexadecimal. */
typedef struct cache_origin {
	char autoencoder[65];          /* of its encoder: decoders may be exchanged */
	char words[TEXT_ENCODERS][65]; /* of each text encoder; "" where there are no states of it */
	char set[65]; /* of names, sizes, times and captions of the pictures and how they were cropped; "": a stream */
	char model[NAME_LENGTH]; /* its family, for messages */
} cache_origin;
/* Fails where a picture's autoencoder is not frozen. `t`: with the text encoders that are not trained; NULL: without
 * any. */
bool cache_origin_of(const learner *m, const caption_readers *t, const data_options *source, cache_origin *o, error *e);
/* Made by the same autoencoder and text encoders, of the same set. */
bool cache_origin_same(const cache_origin *a, const cache_origin *b);

/* What the tensors of a text encoder are called, before "/7": "words", "words.1", "pooled", … */
void cache_key(char key[64], const char *what, int encoder);

/* ── writing ── */
typedef struct cache_options {
	const char *folder;           /* made where it is not there */
	const caption_readers *texts; /* the states of those that are not trained are kept; NULL: none */
	dtype stored;                 /* F32, F16 or BF16 */
	dtype compute;
	int threads;
	/* After each batch; of: −1 of a stream. False: leave with STOPPED. May be NULL. */
	bool (*progress)(void *context, int64_t done, int64_t of, const data_counts *counts);
	void *context;
} cache_options;
/* Reads the set of `source` once and in order; broken pictures are named and left out. */
bool cache_write(const cache_options *o, const learner *m, const data_options *source, error *e);

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
/* Of the states of a text encoder: tokens of a sample, and widths; 0 tokens: there are none. */
int cache_tokens(const cache *c, int encoder, int *width, int *pooled);
/* Writes a sample's states, then what is pooled; i = −1: of the empty caption. */
void cache_words(const cache *c, int encoder, int64_t i, float *out);
/* Standard deviation of samples from all the moments: Σ(mean² + variance) less the square of the mean, over the set. */
bool cache_deviation(const cache *c, double *deviation, error *e);

#endif
