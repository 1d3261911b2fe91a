/* latents.h - pictures as the autoencoder's moments (mean and clamped log-variance, channels last): encoded batch by
 * batch, or all of a small set once, before the first step. */
#ifndef SUMI_TRAIN_LATENTS_H
#define SUMI_TRAIN_LATENTS_H
#include "train/data.h"
#include "train/learner.h"

/* ── one batch ── */
typedef struct encoder encoder;
/* For pictures [count,height,width,3] with the model's frozen autoencoder. */
encoder *encoder_new(const learner *m, int count, int height, int width, dtype compute, int threads, error *e);
void encoder_free(encoder *c);
/* → moments [count, height/f, width/f, 2·C], owned by the encoder until the next call. NULL: failed. */
const float *encoder_run(encoder *c, const float *pixels, error *e);
int encoder_count(const encoder *c);
bool encoder_fits(const encoder *c, int count, int height, int width);

/* ── all of a set ── */
typedef struct latent_cache {
	int64_t count;
	int height, width, channels; /* of a latent; moments have 2·channels */
	float *moments;              /* [count,height,width,2·channels] */
	bool *broken;                /* [count]: could not be read; its moments are zeros */
} latent_cache;
/* Encodes every picture of the set. PATH keeps the result: where it already holds the moments of this autoencoder (told
 * by a hash of its weights) for as many pictures of this size, they are read instead. `progress` may be NULL. */
bool latents_of_set(latent_cache *l, const data *d, const learner *m, int side, dtype compute, int threads,
    const char *path, void (*progress)(void *context, int64_t done, int64_t of), void *context, error *e);
void latents_free(latent_cache *l);
/* Standard deviation of samples from all the moments: Σ(mean² + variance) less the square of the mean, over the set. */
double latents_deviation(const latent_cache *l);

#endif
