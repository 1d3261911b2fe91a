/* decode.h - latents to pictures, by the model's autoencoder or a tiny one, in one piece or in tiles. */
#ifndef SUMI_PIPELINE_DECODE_H
#define SUMI_PIPELINE_DECODE_H
#include "pipeline/job.h"

typedef struct decoding {
	int count, width, height; /* pictures at once; of the latents */
	bool tiny;
	int tile; /* side of the tiles in pixels; 0: in one piece */
} decoding;

/* What makes a job's last stage. */
decoding decoding_of(const job *j, int count);
/* Tiles: what lies between the two parts of the autoencoder, in values; and the smallest side that they can have. */
uint64_t tile_features(const job *j);
int smallest_tile(const job *j);
/* Its networks, compiled, in the order of their use: how many; 0: failed. */
enum { AUTOENCODER_NETWORKS = 2 };
int decoder_networks(session *s, const job *j, int count, stage *list[AUTOENCODER_NETWORKS], error *e);
/* The one of them that takes most memory; NULL: failed. */
stage *decoding_network(session *s, const decoding *d, const adapter_set *a, error *e);
stage *decoder_network(session *s, const job *j, int count, error *e);
/* latents [count][positions][C] as the sampler has them → [count][height][width][3] in −1 … 1. */
bool decode_with(session *s, const decoding *d, const adapter_set *a, const float *latents, float *pictures,
    const watcher *w, error *e);

#endif
