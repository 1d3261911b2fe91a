/* t2i_adapter.h - a network that makes maps of features of a picture (a hint), which are added to a U-Net's on its way
 * down, at the end of each level (Mou et al. 2023, arXiv 2302.08453). It reads the hint alone, so that it runs once for
 * a picture. Source: TencentARC's adapter.py, and diffusers' T2IAdapter. */
#ifndef SUMI_MODELS_T2I_ADAPTER_H
#define SUMI_MODELS_T2I_ADAPTER_H
#include "models/families.h"

enum { T2I_OUTPUTS = UNET_LEVELS + 1 };

typedef struct t2i_adapter_config {
	/* Of the U-Net that it is for: */
	int outputs;
	int place[T2I_OUTPUTS];   /* the skip that an output is added to; unet_skips(): the middle block's result */
	int width[T2I_OUTPUTS];   /* channels of an output */
	bool halves[T2I_OUTPUTS]; /* an output is half as high and wide as the one before */
	int square;               /* pixels to a side that it reads as one: 8; 16 for SDXL */
	/* Of its file: */
	char prefix[16];      /* of all keys: "", "adapter." */
	bool diffusers_names; /* else the original's: below, the names that the network uses */
	bool light;           /* narrower blocks, without a first convolution; else the full kind */
	int hint_channels;    /* 3; 1: a sketch, edges */
	int blocks;           /* for each output */
	int kernel;           /* of the full kind's second convolutions: 1 or 3 to a side */
	bool strided;         /* a strided convolution halves, not the mean of 2×2 */
} t2i_adapter_config;

/* Whether a file holds a T2I-Adapter. */
bool t2i_adapter_is_in(tensor_lookup *lookup, void *context);
/* Its configuration; BAD_FILE, with the reason, where it is not one for this U-Net. */
bool t2i_adapter_recognise(const unet_config *u, tensor_lookup *lookup, void *context, t2i_adapter_config *c, error *e);
/* The file's key of a weight; false: it does not fit. */
bool t2i_adapter_key(const t2i_adapter_config *c, const char *name, char *key, size_t size);

/* Numbers that it reads for each square: hint_channels·square². */
int t2i_adapter_inputs(const t2i_adapter_config *c);
/* hint [N,h,w,inputs] in 0 … 1: channel k·square² + place, as PyTorch's pixel_unshuffle has it. Writes `outputs` maps
 * in full precision to out[], of room for T2I_OUTPUTS; false: the graph has failed. */
bool t2i_adapter(nn *n, const t2i_adapter_config *c, tensor hint, tensor *out);
/* Builds it on the smallest hint, so that it names its parameters. */
bool t2i_adapter_build_dry(nn *n, const t2i_adapter_config *c);

#endif
