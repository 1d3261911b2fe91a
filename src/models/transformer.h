/* transformer.h - the text encoder of the latent diffusion paper (arXiv 2112.10752): a transformer without mask, with
 * pre-norm blocks, on WordPiece tokens, trained jointly with the U-Net. Source: CompVis latent-diffusion
 * x_transformer.py. */
#ifndef SUMI_MODELS_TRANSFORMER_H
#define SUMI_MODELS_TRANSFORMER_H
#include "nn/nn.h"

typedef struct transformer_config {
	int vocabulary, positions, width, layers;
	int heads, head_width; /* their product is the attention's inner width, whatever `width` is */
	int widening;          /* the feed-forward's inner width as a multiple of `width` */
	float epsilon;
	float start; /* standard deviation of new embeddings; the paper's 0.02 drowns words in a short training */
	bool logits; /* the file also holds to_logits, which nothing reads */
} transformer_config;

/* ids I32 [N,T], T ≤ positions → [N,T,width]. Padding is attended to like any token. */
tensor transformer_encode(nn *n, const transformer_config *c, tensor ids);
/* → [N,T,vocabulary]: files may hold this layer, no context needs it */
tensor transformer_logits(nn *n, const transformer_config *c, tensor states);

#endif
