/* denoiser.h - the network that predicts what is to be taken from a noisy latent, of whatever kind. A new kind is an
 * enumerator, a configuration in the union and a case in each function of denoiser.c. */
#ifndef SUMI_MODELS_DENOISER_H
#define SUMI_MODELS_DENOISER_H
#include "models/mmdit.h"
#include "models/unet.h"

typedef enum denoiser_kind { UNET, MMDIT } denoiser_kind;

typedef struct denoiser_config {
	denoiser_kind kind;
	union {
		unet_config unet;
		mmdit_config mmdit;
	};
} denoiser_config;

/* Channels of the latent, and widths of the conditions; 0 where there is no such input. */
typedef struct denoiser_sizes {
	int in_channels, out_channels, context, vector, guidance;
} denoiser_sizes;
denoiser_sizes denoiser_sizes_of(const denoiser_config *c);

/* Latent places to a side of what it reads as one: sizes of latents are multiples of it. */
int denoiser_patch(const denoiser_config *c);

/* → [N,H,W,out] full precision */
tensor denoiser_build(nn *n, const denoiser_config *c, denoiser_inputs in);
/* Builds it on the smallest inputs that it takes, so that it names its parameters. */
tensor denoiser_build_dry(nn *n, const denoiser_config *c);
/* The name, within the denoiser, and the shape of a weight that this kind has and no other: what the latent enters. */
const char *denoiser_landmark(const denoiser_config *c, shape *s);
/* Whether the original starts this parameter (its name within the denoiser) at zero. */
bool denoiser_starts_at_zero(const denoiser_config *c, const char *name);

#endif
