/* decode.h - latents to pictures, by the model's autoencoder or a tiny one. */
#ifndef SUMI_PIPELINE_DECODE_H
#define SUMI_PIPELINE_DECODE_H
#include "pipeline/job.h"

typedef struct decoding {
	int count, width, height; /* pictures at once; of the latents */
	bool tiny;
} decoding;

/* What makes a job's last stage. */
decoding decoding_of(const job *j, int count);
/* The network, compiled. NULL: failed. */
stage *decoding_network(session *s, const decoding *d, const adapter_set *a, error *e);
stage *decoder_network(session *s, const job *j, int count, error *e);
/* latents [count][positions][C] as the sampler has them → [count][height][width][3] in −1 … 1. */
bool decode_with(session *s, const decoding *d, const adapter_set *a, const float *latents, float *pictures,
    const watcher *w, error *e);

#endif
