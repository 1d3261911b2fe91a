/* latents.h - pictures as the frozen autoencoder's moments: mean and clamped log-variance, channels last. */
#ifndef SUMI_TRAIN_LATENTS_H
#define SUMI_TRAIN_LATENTS_H
#include "train/run/learner.h"

typedef struct encoder encoder;
/* For pictures [count,height,width,3] with the model's frozen autoencoder. */
encoder *encoder_new(const learner *m, int count, int height, int width, dtype compute, int threads, error *e);
void encoder_free(encoder *c);
/* → moments [count, height/f, width/f, 2·C], owned by the encoder until the next call. NULL: failed. */
const float *encoder_run(encoder *c, const float *pixels, error *e);
bool encoder_fits(const encoder *c, int count, int height, int width);

#endif
