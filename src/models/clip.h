/* clip.h - the text encoder of CLIP (arXiv 2103.00020): a causal transformer with pre-norm blocks, in the two layouts
 * that checkpoints have. Hugging Face (SD 1): text_model.…, separate q, k, v. OpenCLIP (SD 2): transformer.resblocks.…,
 * one fused in_proj. */
#ifndef SUMI_MODELS_CLIP_H
#define SUMI_MODELS_CLIP_H
#include "nn/nn.h"

typedef struct clip_config {
	bool fused; /* OpenCLIP's names and fused in_proj */
	int vocabulary, positions, width, layers, heads, inner;
	activation activation; /* GELU_QUICK for CLIP-L, GELU for OpenCLIP */
	float epsilon;
	int projection; /* width of text_projection; 0: the file has none */
} clip_config;

typedef struct clip_states {
	tensor taken; /* after all blocks but `skip` [N,T,width] */
	tensor last;  /* after the last block; 0 unless `to_end` */
} clip_states;

/* ids I32 [N,T], T ≤ positions. `skip`: how many blocks before the end `taken` is: 0 the last state, 1 the
 * penultimate. The blocks behind it are built where `to_end` says so. Both states are before the final norm. */
clip_states clip_encode(nn *n, const clip_config *c, tensor ids, int skip, bool to_end);
/* One block, with a mask that hides what comes later or without: x [N,T,width]. */
tensor clip_block(nn *n, const clip_config *c, int number, bool causal, tensor x);
tensor clip_final_norm(nn *n, const clip_config *c, tensor states);
/* states [N,T,width] after the final norm, positions I32 [N]: n·T + the index of the first largest id (the end token)
 * → [N,width], projected to [N,projection] if `project` */
tensor clip_pooled(nn *n, const clip_config *c, tensor states, tensor positions, bool project);

#endif
