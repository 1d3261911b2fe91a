/* t5.h - the encoder of T5 v1.1 (Raffel et al. 2020, arXiv 1910.10683), Stable Diffusion 3's third text encoder.
 * Source: transformers modeling_t5.py. */
#ifndef SUMI_MODELS_T5_H
#define SUMI_MODELS_T5_H
#include "nn/nn.h"

typedef struct t5_config {
	int vocabulary, width, layers, inner; /* inner: of the feed-forward */
	int heads, head_width;                /* their product is the attention's inner width, whatever `width` is */
	int buckets, distance;                /* of the relative positions: how many, and from where on they are one */
	float epsilon;
} t5_config;

/* ids I32 [N,T], mask [N,T] full precision (1: a token, 0: padding that is not attended to) or 0 → [N,T,width] full
 * precision, after the final norm. Any T. */
enum { T5_TOKENS = 512 }; /* what it was trained on; more is not refused by the network */
tensor t5_encode(nn *n, const t5_config *c, tensor ids, tensor mask);
/* Names the copy of the table of tokens that files hold as "encoder.embed_tokens.weight"; nothing reads it. */
void t5_copy_of_tokens(nn *n, const t5_config *c);

#endif
