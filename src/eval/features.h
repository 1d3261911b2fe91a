/* features.h - the feature spaces of the judge: the autoencoder's mean latent of a picture, or the picture
 * itself, reduced to the size of that latent and blurred. Pictures of any size are brought to the model's. */
#ifndef SUMI_EVAL_FEATURES_H
#define SUMI_EVAL_FEATURES_H
#include "pipeline/stage.h"

typedef struct eye eye; /* a model's autoencoder, several pictures at a time */

eye *eye_new(const model *m, error *e);
void eye_free(eye *y);           /* NULL is fine */
int eye_batch(const eye *y);     /* pictures that are encoded together */
size_t eye_pixels(const eye *y); /* values of a picture: side·side·3 */
size_t eye_values(const eye *y); /* values of a mean latent, and of a reduced picture at most */

/* pictures [count][side][side][3] in −1 … 1, count ≤ eye_batch() → mean latents [count][h][w][C], not scaled. */
bool eye_encode(eye *y, const float *pictures, int count, float *latents, error *e);
/* … and back. */
bool eye_decode(eye *y, const float *latents, int count, float *pictures, error *e);

/* pictures → [h][w][3], means over squares, then blurred with [1 2 1]/4 both ways. */
void eye_reduce(const eye *y, const float *picture, float *reduced);
size_t eye_reduced(const eye *y); /* values of that */

/* A mean latent's averages over 4×4 parts: [4][4][C] (fewer parts where the latent is smaller). Few enough that a
 * covariance over some hundred pictures has full rank. */
void eye_pool(const eye *y, const float *latent, float *pooled);
int eye_pooled(const eye *y);

#endif
