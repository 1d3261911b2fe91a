/* preview.h - what a picture will be, as far as it is known while it is drawn: the solver's estimate of the clean
 * latent, as colours.
 *
 * "linear" takes a pixel for each latent position, its colour a linear function of the channels. The function is
 * fitted, once for a session, to what the model's own decoder makes of 128 random positions (least squares of the means
 * of their pixels), so that it serves every autoencoder. */
#ifndef SUMI_PIPELINE_PREVIEW_H
#define SUMI_PIPELINE_PREVIEW_H
#include "pipeline/job.h"

typedef struct preview preview;

/* Whether the preview that the options name can be made; BAD_USAGE where not. */
bool preview_check(const job *j, error *e);
/* The network that makes previews in each step, compiled, so that its memory is known. NULL: none is wanted, or of a
 * kind that needs none then, or it failed. */
stage *preview_network(session *s, const job *j, const watcher *w, error *e);
/* *p is NULL if no preview is wanted. */
bool preview_new(preview **p, session *s, const job *j, const watcher *w, error *e);
void preview_free(preview *p); /* NULL is fine */
/* Gives each picture's preview to the listener. denoised [count][positions][C]. */
bool preview_show(preview *p, job *const *jobs, int count, int step, const float *denoised, error *e);

#endif
