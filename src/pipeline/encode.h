/* encode.h - pictures that a job begins from, as latents. */
#ifndef SUMI_PIPELINE_ENCODE_H
#define SUMI_PIPELINE_ENCODE_H
#include "pipeline/job.h"

/* The autoencoder's encoder for one picture, compiled. NULL: failed. */
stage *encoder_network(session *s, const job *j, error *e);
/* Sets the job's original, mask and inpainting_input, as far as it needs them. */
bool encode_pictures(session *s, job *j, const watcher *w, error *e);

#endif
