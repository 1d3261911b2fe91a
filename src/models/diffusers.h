/* diffusers.h - the layout of a diffusers folder: unet/, vae/, text_encoder/, each with files of its own and other
 * names for the same weights. Rules, not lists. */
#ifndef SUMI_MODELS_DIFFUSERS_H
#define SUMI_MODELS_DIFFUSERS_H
#include "models/families.h"
#include <jansson.h>

/* What a weight of the single-file layout is called in the folder. Mostly it is one tensor of the same values;
 * OpenCLIP's fused in_proj is three, each some of its rows. */
typedef struct key_piece {
	char name[256];  /* key within the part's own file */
	shape shape;     /* there */
	int first, rows; /* which rows of the original it is */
	bool transposed; /* the values lie the other way round: [in,out] for [out,in] */
	bool swapped;    /* its rows are in two halves, which are exchanged there (SD 3: shift and scale) */
} key_piece;
enum { MAX_PIECES = 3 };
int one_piece(key_piece *p, shape s); /* sets all but the name for a whole tensor of shape s; returns 1 */

/* Returns how many pieces the original key (with its prefix; a control network's has none) of shape s has; 0: the folder does not hold it. */
int diffusers_pieces(const family *f, role r, const char *key, shape s, key_piece pieces[MAX_PIECES]);
const char *diffusers_folder(role r); /* "unet", "vae", "text_encoder" */

/* Lays an encoder that is in OpenCLIP's names out in Hugging Face's; false: it is not in OpenCLIP's. */
bool hugging_face_layout(family *f, role r);
/* The other way; false: it is not CLIP's in Hugging Face's names. */
bool open_clip_layout(family *f, role r);
/* The family as a folder holds it: text encoders in Hugging Face's names, without the blocks that they skip. */
family diffusers_layout(const family *f);
/* The other way: in the single-file layout, so with OpenCLIP's names where it is an encoder of OpenCLIP. */
family single_layout(const family *f);
/* The part of a family that a folder holds: without blocks that are skipped, and projections that are not read. */
family diffusers_part(const family *f);
/* From the config.json of each folder and scheduler_config.json; text and scheduler may be NULL. */
bool family_from_diffusers(
    const json_t *unet, const json_t *vae, const json_t *text, const json_t *scheduler, family *f, error *e);
/* What the folder's tokenizer/ says: padding and length. Both may be NULL. */
bool family_from_tokenizer(const json_t *special_tokens_map, const json_t *tokenizer_config, family *f, error *e);

/* The JSON files of a folder for this family, model_index.json last. BAD_USAGE where they could not say all of it. */
typedef bool diffusers_file(void *context, const char *name, const char *text, error *e);
bool diffusers_configurations(const family *f, diffusers_file *visit, void *context, error *e);

#endif
