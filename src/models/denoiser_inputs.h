/* denoiser_inputs.h - what a denoiser reads, by name: the same for every kind of network. */
#ifndef SUMI_MODELS_DENOISER_INPUTS_H
#define SUMI_MODELS_DENOISER_INPUTS_H
#include "graph/graph.h"

/* All in full precision; 0 where the network has no such input. */
typedef struct denoiser_inputs {
	tensor x;               /* [N,H,W,in] */
	tensor t;               /* [N] timesteps, may be fractional */
	tensor context;         /* [N,S,width] */
	tensor vector;          /* [N,width] */
	tensor guidance;        /* [N,width]: the embedded guidance scale that a distilled model reads */
	const tensor *controls; /* what control networks add: one for each skip, in order, and the middle block's last */
	int control_count;      /* 0: none */
	/* What T2I-Adapters add to a U-Net on its way down: one for each skip and the middle block's last, 0 where there
	 * is none. NULL: nowhere. */
	const tensor *features;
	tensor keep; /* [1,1,1]: 0 leaves out the blocks that a transformer's configuration names, or perturbs a U-Net's
	              * attention where its changes say so; 1 does not */
	const struct unet_changes *changes; /* of a U-Net; NULL: none */
} denoiser_inputs;

#endif
