/* encode.h - what jobs begin from: prompts as contexts, pictures as latents. */
#ifndef SUMI_PIPELINE_ENCODE_H
#define SUMI_PIPELINE_ENCODE_H
#include "pipeline/decode.h"

/* Encodes the prompts of all jobs, by one text encoder after the other: at most one is in memory at a time, unless the
 * session keeps what it has. */
bool encode_prompts(session *s, job *const *jobs, int count, const watcher *w, error *e);
/* The networks of the autoencoder's encoder for one picture, compiled, in the order of their use: how many; 0: failed.
 */
int encoder_networks(session *s, const job *j, stage *list[AUTOENCODER_NETWORKS], error *e);
bool encodes(const job *j); /* whether it has anything for the encoder */
/* Sets the job's original, mask and inpainting_input, as far as it needs them. */
bool encode_pictures(session *s, job *j, const watcher *w, error *e);

#endif
