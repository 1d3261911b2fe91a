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
	tensor keep;            /* [1,1,1]: 0 leaves out the blocks that a transformer's configuration names, 1 does not */
} denoiser_inputs;

#endif
