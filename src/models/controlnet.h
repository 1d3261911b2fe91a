/* controlnet.h - a copy of the U-Net's half that goes down, which reads a picture (a hint: edges, a pose, depth) too
 * and gives what is to be added to the U-Net's skips and to its middle block (Zhang et al. 2023, arXiv 2302.05543).
 * Source: lllyasviel's cldm.py, and diffusers' ControlNetModel. */
#ifndef SUMI_MODELS_CONTROLNET_H
#define SUMI_MODELS_CONTROLNET_H
#include "models/unet.h"

enum { HINT_LAYERS = 7, HINT_FACTOR = 8 }; /* convolutions but the last; the hint is so much larger than the latent */

typedef struct controlnet_config {
	unet_config unet; /* of the half that is copied; what goes up and out is not read */
	int hint_channels;
	int hint_width[HINT_LAYERS]; /* of its convolutions; the last of all has the U-Net's width */
} controlnet_config;

/* As ControlNets for this U-Net are published: its latent's channels without those for inpainting, its blocks, three
 * channels of hint and the original's widths. */
controlnet_config controlnet_for(const unet_config *c, int latent_channels);

/* How strongly the outputs count. */
typedef enum control_mode {
	CONTROL_BALANCED, /* all as they are */
	CONTROL_PROMPT,   /* "My prompt is more important": 0.825 to the power of how far an output is from the last */
	CONTROL_HINT,     /* "ControlNet is more important": the same, and only where the prompt is read */
	CONTROL_GUESS,    /* diffusers' guess mode: from 0.1 to 1, logarithmically, and only where the prompt is read */
	CONTROL_MODES
} control_mode;
double control_share(control_mode mode, int output, int outputs);
bool control_conditional_only(control_mode mode);

int controlnet_outputs(const controlnet_config *c); /* one for each skip, and the middle block's */
/* hint [N,8·H,8·W,hint_channels] in 0 … 1, all in full precision. Writes controlnet_outputs() tensors in full
 * precision, each of its skip's shape, to out[], of room for UNET_SKIPS + 1; false: the graph has failed. in.controls
 * and in.guidance are not read. */
bool controlnet(nn *n, const controlnet_config *c, denoiser_inputs in, tensor hint, tensor *out);
/* Builds it on the smallest inputs that it takes, so that it names its parameters. */
bool controlnet_build_dry(nn *n, const controlnet_config *c);
/* Whether training begins with this parameter at zero. */
bool controlnet_starts_at_zero(const char *name);

#endif
