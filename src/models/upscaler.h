/* upscaler.h - networks that make a picture larger: RRDBNet of ESRGAN (Wang et al. 2018, arXiv 1809.00219) and
 * Real-ESRGAN, and SRVGGNetCompact. Sources: BasicSR's rrdbnet_arch.py and srvgg_arch.py, xinntao's ESRGAN. */
#ifndef SUMI_MODELS_UPSCALER_H
#define SUMI_MODELS_UPSCALER_H
#include "models/families.h"

typedef enum upscaler_kind {
	RRDB, /* dense blocks within residuals within residuals, then nearest neighbours and a convolution for each ×2 */
	COMPACT, /* convolutions alone, whose last one gives the pixels of each place; added to the picture, enlarged */
} upscaler_kind;

typedef enum upscaler_names { /* of RRDB's weights */
	BASICSR_NAMES, /* conv_first, body.0.rdb1.conv1, …: these, below, are the names that the network uses */
	ESRGAN_NAMES,  /* conv_first, RRDB_trunk.0.RDB1.conv1, … */
	MODEL_NAMES,   /* model.0, model.1.sub.0.RDB1.conv1.0, … */
} upscaler_names;

typedef struct upscaler_config {
	upscaler_kind kind;
	upscaler_names names;
	char prefix[16]; /* of all keys: "", "params." or "params_ema." */
	int width;       /* channels */
	int growth;      /* RRDB: channels that each convolution of a dense block adds */
	int blocks;      /* RRDB: of three dense blocks each; COMPACT: convolutions between the first and the last */
	int doublings;   /* RRDB: how often it doubles what it reads */
	int unshuffle;   /* RRDB: it reads squares of so many pixels to a side as one; 1: pixels */
	int scale;       /* of the whole: pixels out for pixels in, to a side */
} upscaler_config;

/* Of which kind and size the network in a file is; BAD_FILE where it is none. */
bool upscaler_recognise(tensor_lookup *lookup, void *context, upscaler_config *c, error *e);
/* The file's key of a weight; false: it does not fit. */
bool upscaler_key(const upscaler_config *c, const char *name, char *key, size_t size);

int upscaler_inputs(const upscaler_config *c); /* channels that it reads: 3·unshuffle² */
/* RRDB: x [1,h,w,3·unshuffle²] in 0 … 1, channel c·unshuffle² + place as PyTorch's pixel_unshuffle has it →
 * [1,2ᵈ·h,2ᵈ·w,3]. COMPACT: x [1,h,w,3] → [1,h,w,3·scale²], as its pixel_shuffle reads it, without the enlarged
 * picture. Both in full precision. */
tensor upscaler_network(nn *n, const upscaler_config *c, tensor x);

#endif
