/* dialects.h - the ways in which published files name the tensors of a component: where its keys begin, and which names
 * follow. Everything else speaks of a parameter by its key in the single-file layout of its family. */
#ifndef SUMI_MODELS_DIALECTS_H
#define SUMI_MODELS_DIALECTS_H
#include "models/diffusers.h"

typedef enum naming {
	ORIGINAL_NAMES,  /* as in the single-file layout */
	DIFFUSERS_NAMES, /* as in the folder of diffusers */
	BARE_CLIP_NAMES, /* Hugging Face's CLIP without its "text_model." */
	GGML_T5_NAMES,   /* llama.cpp's T5: "enc.blk.0.attn_q" */
	/* stable-diffusion.cpp's OpenCLIP: Hugging Face's names, but for the projection, which lies as OpenCLIP has it */
	GGML_CLIP_NAMES,
} naming;

typedef struct dialect {
	naming names;
	char prefix[PREFIX_LENGTH + 1]; /* of all keys of the component, with its dot; or empty */
} dialect;

/* How the file that `lookup` reads names this component of the family; false: it is not in it. Recognised by one tensor
 * that such a component has and no other, where more than one dialect has it by its shape. Where the file has
 * one of CLIP's encoders in the other layout, OpenCLIP's or Hugging Face's, the family's is laid out so too. */
bool dialect_find(family *f, role r, tensor_lookup *lookup, void *context, dialect *d);
/* Whether that tensor is there with the family's shape. */
bool dialect_matches(const family *f, role r, const dialect *d, tensor_lookup *lookup, void *context);
/* The keys in such a file of the parameter `key` (of the single-file layout, with its prefix) of shape s: how many; 0:
 * such files do not hold it. */
int dialect_pieces(const dialect *d, const family *f, role r, const char *key, shape s, key_piece pieces[MAX_PIECES]);
/* The i-th further spelling of a key that a dialect gives: files mix the names of the autoencoder's attention (q, to_q,
 * query; proj_out, to_out.0, proj_attn; norm, group_norm), and hold T5's table of tokens under one name of two. False:
 * there are no more. */
bool dialect_synonym(role r, const char *key, int i, char *other, size_t size);

#endif
