/* features.h - the feature spaces of the judge: the autoencoder's mean latent of a picture, or the picture
 * itself, reduced to the size of that latent and blurred. Pictures of any size are brought to the model's. */
#ifndef SUMI_EVAL_FEATURES_H
#define SUMI_EVAL_FEATURES_H
#include "pipeline/stage.h"

typedef struct feature_encoder feature_encoder; /* a model's autoencoder, several pictures at a time */

feature_encoder *features_new(const model *m, error *e);
void features_free(feature_encoder *y);           /* NULL is fine */
int features_batch(const feature_encoder *y);     /* pictures that are encoded together */
size_t features_pixels(const feature_encoder *y); /* values of a picture: side·side·3 */
size_t features_values(const feature_encoder *y); /* values of a mean latent, and of a reduced picture at most */

/* pictures [count][side][side][3] in −1 … 1, count ≤ features_batch() → mean latents [count][h][w][C], not scaled. */
bool features_encode(feature_encoder *y, const float *pictures, int count, float *latents, error *e);
/* … and back. */
bool features_decode(feature_encoder *y, const float *latents, int count, float *pictures, error *e);

/* pictures → [h][w][3], means over squares, then blurred with [1 2 1]/4 both ways. */
void features_reduce(const feature_encoder *y, const float *picture, float *reduced);
size_t features_reduced(const feature_encoder *y); /* values of that */

/* A mean latent's averages over 4×4 parts: [4][4][C] (fewer parts where the latent is smaller). Few enough that a
 * covariance over some hundred pictures has full rank. */
void features_pool(const feature_encoder *y, const float *latent, float *pooled);
int features_pooled(const feature_encoder *y);

#endif
