/* vae.h - the KL autoencoder between pictures and latents (arXiv 2112.10752). Source: CompVis model.py,
 * autoencoder.py, distributions.py. */
#ifndef SUMI_MODELS_VAE_H
#define SUMI_MODELS_VAE_H
#include "nn/nn.h"

enum { VAE_LEVELS = 8 };

typedef struct vae_config { /* ddconfig of AutoencoderKL, by its names there where they are good */
	int in_channels, out_channels;
	int channels; /* of the highest level, a multiple of `groups` */
	int levels;   /* each but the last halves the picture: f8 has four */
	int multiplier[VAE_LEVELS];
	int blocks;               /* num_res_blocks of a level on the way down; one more on the way up */
	bool attends[VAE_LEVELS]; /* attention after each block of the level; the middle always attends */
	int z_channels;           /* of the encoder's mean and of the decoder's input */
	int latent_channels;      /* embed_dim: of the latent */
	bool quant;               /* quant_conv and post_quant_conv between the two; false: latent = z */
	int groups;               /* of the norms */
} vae_config;

int vae_factor(const vae_config *c); /* picture side / latent side: 2^(levels−1) */

/* image [N,H,W,in] in −1…1, full precision; H and W multiples of vae_factor() → moments [N,h,w,2·latent] full
 * precision: mean, then log-variance (not clamped) */
tensor vae_encode(nn *n, const vae_config *c, tensor image);
/* latent [N,h,w,latent] full precision, not scaled → [N,H,W,out] about −1…1, full precision */
tensor vae_decode(nn *n, const vae_config *c, tensor latent);

/* Both in two parts, between which lie features [N,h,w,C] of 2^(levels − 1 − shallow) times the latent's sides. The
 * deep part attends over all places; the shallow one, the `shallow` levels of most places, reads only the neighbourhood
 * of each, and so can be computed in tiles (pipeline/tiles.h). 0: the first level attends. */
int vae_shallow_levels(const vae_config *c);
tensor vae_encode_shallow(nn *n, const vae_config *c, tensor image);
tensor vae_encode_deep(nn *n, const vae_config *c, tensor x);
tensor vae_decode_deep(nn *n, const vae_config *c, tensor latent);
tensor vae_decode_shallow(nn *n, const vae_config *c, tensor x);
/* The reach of each shallow part, in places of the features: what it gives within one of them depends on no place that
 * is farther from it, but through the statistics of norms. */
int vae_encode_reach(const vae_config *c);
int vae_decode_reach(const vae_config *c);

/* The distribution that moments [N,h,w,2C] describe. */
tensor vae_mean(graph *g, tensor moments);
tensor vae_logvar(graph *g, tensor moments);               /* clamped to [−30, 20] */
tensor vae_sample(graph *g, tensor moments, tensor noise); /* mean + exp(½ logvar)·noise */
tensor vae_kl(graph *g, tensor moments); /* → [1]: ½Σ(mean² + var − 1 − logvar), mean of the batch */

#endif
