/* taesd.h - the tiny autoencoder that approximates the KL one for quick decoding. Source: madebyollin/taesd. */
#ifndef SUMI_MODELS_TAESD_H
#define SUMI_MODELS_TAESD_H
#include "nn/nn.h"

typedef struct taesd_config {
	int latent_channels; /* 4 for SD 1 and 2, 16 and 32 for later families */
	int channels;        /* 64 */
	bool pool;           /* the blocks at the lowest resolution add a normed 1×1 path to their input */
} taesd_config;

/* The weights are in two files, each with bare numbers as names.
 * image [N,H,W,3] in 0…1, H and W multiples of 8 → the diffusion model's latent [N,H/8,W/8,latent] (already scaled) */
tensor taesd_encode(nn *n, const taesd_config *c, tensor image);
/* → [N,8h,8w,3] about 0…1 */
tensor taesd_decode(nn *n, const taesd_config *c, tensor latent);
/* How many positions from a latent's lie the farthest that its pixels depend on, but through the norms of pools. */
int taesd_decode_reach(void);

#endif
