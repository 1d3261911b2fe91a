/* clip_vision.h - the image encoder of CLIP (arXiv 2103.00020): a vision transformer, in the two layouts that files
 * have. Hugging Face: vision_model.…, separate q, k, v. OpenCLIP: visual.…, one fused in_proj. Sources: transformers
 * modeling_clip.py; open_clip transformer.py. */
#ifndef SUMI_MODELS_CLIP_VISION_H
#define SUMI_MODELS_CLIP_VISION_H
#include "models/clip.h"
#include "models/families.h"

typedef struct clip_vision_config {
	clip_config blocks; /* fused, width, layers, heads, inner, activation, epsilon, projection; the rest is not read */
	int patch;          /* pixels to a side of a patch */
	int grid;           /* patches to a side of the picture */
	char prefix[24];    /* of all keys in the file */
} clip_vision_config;

/* The encoder of a file by its tensors; `configuration` is the text of its folder's config.json, which alone knows the
 * number of heads and the activation, or NULL: then those of the published encoders of this width. BAD_FILE: there is
 * none, or it has not a projection. */
bool clip_vision_recognise(
    tensor_lookup *lookup, void *context, const char *configuration, clip_vision_config *c, error *e);

int clip_vision_side(const clip_vision_config *c);   /* of the pictures that it reads, in pixels */
int clip_vision_tokens(const clip_vision_config *c); /* of its states: the class token, then the patches by rows */

/* image [N,side,side,3] of normalised colours. → the states of all tokens [N,tokens,width] before the last block, or
 * the picture's embedding [N,projection]. */
tensor clip_vision_penultimate(nn *n, const clip_vision_config *c, tensor image);
tensor clip_vision_embedding(nn *n, const clip_vision_config *c, tensor image);

#endif
