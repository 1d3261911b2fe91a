/* mmdit.h - the denoiser of Stable Diffusion 3 (Esser et al. 2024, arXiv 2403.03206): a transformer in which the tokens
 * of the words and those of the picture each have their own weights and attend to both (MMDiT); 3.5 medium's blocks may
 * attend to the picture's tokens once more (MMDiT-X). Source: Stability AI sd3.5, mmditx.py. */
#ifndef SUMI_MODELS_MMDIT_H
#define SUMI_MODELS_MMDIT_H
#include "models/denoiser_inputs.h"
#include "nn/nn.h"

enum { MMDIT_BLOCKS = 64 };

typedef struct mmdit_config {
	int channels; /* of the latent, in and out */
	int patch;    /* latent places of a token are patch × patch */
	int depth;    /* blocks; the width is 64 · depth, in `depth` heads, in what was published */
	int width, heads;
	int positions;            /* the table of positions is positions × positions tokens; a picture takes its middle */
	float spacing;            /* of the table's sinusoids when it is new: 1/3 in SD 3 medium */
	int context;              /* width of the context */
	int vector;               /* width of the vector condition */
	bool qk_norm;             /* root-mean-square norms of queries and keys */
	bool twice[MMDIT_BLOCKS]; /* block i attends to the picture once more (x_block_self_attn_layers) */
	bool left_out[MMDIT_BLOCKS]; /* block i is skipped, for skip-layer guidance, where inputs.keep is 0 or not there;
	                              * never part of a file */
} mmdit_config;

/* x [N,H,W,channels], t [N] (1000·σ), context [N,S,context], vector [N,vector], all full precision → the velocity
 * [N,H,W,channels] full precision. H and W are multiples of `patch`, at most patch·positions. */
tensor mmdit(nn *n, const mmdit_config *c, denoiser_inputs in);
/* Whether the original starts this parameter (name without the denoiser's prefix) at zero. */
bool mmdit_starts_at_zero(const char *name);

#endif
