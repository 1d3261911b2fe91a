/* unet.h - the denoiser: the U-Net of latent diffusion and Stable Diffusion. Sources: CompVis openaimodel.py and
 * attention.py, their Stability successors (SD 2, SDXL). */
#ifndef SUMI_MODELS_UNET_H
#define SUMI_MODELS_UNET_H
#include "models/denoiser_inputs.h"
#include "nn/nn.h"

enum { UNET_LEVELS = 8, UNET_SKIPS = 256, UNET_BLOCKS = 16 };

typedef enum resampling { /* how a map of another size is made */
	BY_CONVOLUTION,       /* a strided convolution; nearest neighbours and a convolution */
	BY_POOLING,           /* the mean of 2×2; nearest neighbours: conv_resample is false */
	BY_RESIDUAL_BLOCK,    /* either within a residual block: resblock_updown */
} resampling;

typedef enum unet_middle { /* what the middle block is */
	MIDDLE_WHOLE,          /* a residual block, a transformer, a residual block */
	MIDDLE_RESIDUAL,       /* the first residual block alone: SSD-1B */
	NO_MIDDLE,             /* nothing: tiny-sd */
} unet_middle;

typedef struct unet_config { /* the arguments of UNetModel, by their names there where they are good */
	int in_channels, out_channels;
	int channels; /* model_channels: of the highest level, a multiple of `groups` */
	int levels;
	int multiplier[UNET_LEVELS]; /* channel_mult: of level i */
	int blocks[UNET_LEVELS];     /* num_res_blocks of level i on the way down; one more on the way up */
	bool attends[UNET_LEVELS];   /* 2^i is one of the attention_resolutions */
	int depth[UNET_LEVELS];      /* transformer_depth of level i, but for blocks that these name: */
	int depth_down[UNET_LEVELS][UNET_BLOCKS], depth_up[UNET_LEVELS][UNET_BLOCKS + 1]; /* of its block j; 0: `depth` */
	unet_middle middle;
	int middle_depth;         /* of the middle block; −1: it has no transformer */
	int heads, head_width;    /* one of the two is given, the other 0 */
	bool legacy;              /* head width is what the number of heads leaves, even where head_width is given */
	bool spatial_transformer; /* else the attention block of the unconditional models */
	bool new_order;           /* that block's qkv lies [q k v] and not [q k v] for each head */
	bool linear_projection;   /* proj_in and proj_out are linear layers, not 1×1 convolutions */
	bool scale_shift;         /* use_scale_shift_norm: the time embedding scales and shifts the second norm */
	resampling resampling;
	int context;         /* width of the context; 0: none, the transformer attends to itself twice */
	int vector;          /* width of the vector condition (adm_in_channels); 0: none */
	bool pooled_context; /* that vector is the first token of the context, [CLS], of width `context` */
	int guidance; /* width of the embedded guidance scale that a distilled model reads (time_cond_proj_dim); 0: none */
	int groups;   /* of the norms */
} unet_config;

/* Transformers of block j of a level, on the way down or up. */
int unet_depth_down(const unet_config *c, int level, int j);
int unet_depth_up(const unet_config *c, int level, int j);

/* Blocks with a transformer are numbered from the way down by the middle, which has a number in any case, to the way
 * up; place: as a bit of unet_changes.perturbed. */
int unet_attending_block(const unet_config *c, int place, int j);
int unet_attending_blocks(const unet_config *c);

/* → [N,H,W,out] full precision. Any H and W: where halving leaves an odd size, the map that comes up is fitted to its
 * skip. */
tensor unet(nn *n, const unet_config *c, denoiser_inputs in);

/* The half that goes down, which a control network has too. */
typedef struct unet_half {
	tensor embedding; /* SiLU of the time embedding [N,4·channels] */
	tensor context;   /* as the blocks read it; 0: none */
	tensor skips[UNET_SKIPS];
	int count;                          /* of skips: one for each input block */
	const struct unet_changes *changes; /* the inputs', and keep; NULL, 0: none */
	tensor keep;
	const tensor *features; /* the inputs' */
	tensor middle;          /* the middle block's result */
} unet_half;
int unet_skips(const unet_config *c); /* how many skips there are */
/* [items,h,w,channels] of a skip for a latent of this size; of number unet_skips(): the middle block's result. */
shape unet_skip_shape(const unet_config *c, int skip, int items, int height, int width);
/* `added`, 0 or of the latent's size, is added to what the first convolution gives. False: the graph has failed. */
bool unet_encode(nn *n, const unet_config *c, denoiser_inputs in, tensor added, unet_half *h);

/* Whether the original starts this parameter (name without the U-Net's prefix) at zero. */
bool unet_starts_at_zero(const char *name);

#endif
