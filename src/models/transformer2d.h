/* transformer2d.h - attention over all positions of a feature map: the U-Net's spatial transformers. */
#ifndef SUMI_MODELS_TRANSFORMER2D_H
#define SUMI_MODELS_TRANSFORMER2D_H
#include "models/unet.h"

/* CompVis SpatialTransformer: norm, projection, `depth` blocks of self-attention, attention to the context and GEGLU
 * feed-forward, projection, residual. x [N,H,W,C], context [N,S,D] or 0 (itself). */
tensor spatial_transformer(nn *n, const unet_config *c, const char *name, tensor x, tensor context, int depth);
/* AttentionBlock of the unconditional models: self-attention with one fused qkv. x [N,H,W,C] */
tensor attention_block(nn *n, const unet_config *c, const char *name, tensor x);

#endif
