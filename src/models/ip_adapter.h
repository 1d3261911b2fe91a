/* ip_adapter.h - a picture as a prompt (Ye et al. 2023, arXiv 2308.06721): what CLIP's image encoder gives becomes
 * tokens, to which each transformer of a U-Net attends with keys and values of their own, besides the words. Source:
 * TencentAILab's IP-Adapter, and diffusers' loaders/unet.py. */
#ifndef SUMI_MODELS_IP_ADAPTER_H
#define SUMI_MODELS_IP_ADAPTER_H
#include "models/clip_vision.h"
#include "models/families.h"

typedef enum ip_adapter_kind {
	IP_BASE, /* a linear layer makes tokens of the picture's embedding */
	IP_PLUS, /* a resampler (Perceiver) reads the states before the last block */
	IP_FULL, /* each of these states becomes a token: "full face" */
} ip_adapter_kind;

typedef struct ip_adapter_config {
	ip_adapter_kind kind;
	int in;                         /* width of what it reads: an embedding, or a state */
	int context;                    /* width of the tokens: the U-Net's context */
	int tokens;                     /* how many; IP_FULL: as many as the encoder has */
	int width, depth, heads, inner; /* of the resampler: states, blocks, heads of 64 numbers, feed-forward */
} ip_adapter_config;

/* BAD_FILE, with the reason: no IP-Adapter, or one of a kind that is not read (those that need a face's identity). */
bool ip_adapter_recognise(tensor_lookup *lookup, void *context, ip_adapter_config *c, error *e);
/* The adapter and the encoder go together; BAD_FILE, with what was expected. */
bool ip_adapter_fits_vision(const ip_adapter_config *c, const clip_vision_config *v, error *e);

/* image [N,side,side,3] of normalised colours → tokens [N + blank,tokens,context] in full precision. blank: a last item
 * for unconditional branches, as diffusers has it: of a zero embedding, or of an image that is zero after
 * normalisation, which the caller has then added: for IP_BASE alone it is made here. */
tensor ip_adapter_tokens(nn *n, const ip_adapter_config *c, const clip_vision_config *v, tensor image, bool blank);

/* Transformers of a U-Net are numbered as diffusers' list of attention layers has them: those on the way down, on the
 * way up, the middle block's; an adapter's weights of number i are "ip_adapter.<2i + 1>.to_k_ip.weight" and v. */
int ip_adapter_layers(const unet_config *u);
/* How strongly each of unet_attending_blocks() has it, to weights[]: "down_2=0:1,up_0=0:1:0,mid=0.5", blocks as
 * diffusers names them, with a number for each transformer of a block or one for all; 0 for those that are not named.
 * Of SDXL, "style" and "layout" are the blocks that InstantStyle (arXiv 2404.02733) names so. BAD_USAGE, with the
 * blocks that there are. */
enum { IP_BLOCKS = 64 };
bool ip_adapter_blocks_from_text(const char *text, const unet_config *u, float weights[IP_BLOCKS], error *e);

/* The number of the transformer that has a parameter of this name within the U-Net; −1: none. */
int ip_adapter_layer(const unet_config *u, const char *name);

#endif
