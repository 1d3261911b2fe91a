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
int one_piece(key_piece *p, shape s);          /* sets all but the name for a whole tensor of shape s; returns 1 */
bool in_pieces(const key_piece *p, int count); /* not one tensor of the same rows in the same order */
/* What the weights of a parameter that lies in pieces are called: its key and "#0", "#1", … Gives the number and cuts
 * it off; −1: the key is of a whole parameter. */
int piece_number(const char *key, char *whole, size_t size);

/* Returns how many pieces the original key (with its prefix; a control network's has none) of shape s has; 0: the
 * folder does not hold it. */
int diffusers_pieces(const family *f, role r, const char *key, shape s, key_piece pieces[MAX_PIECES]);
const char *diffusers_folder(const family *f, role r); /* "unet", "transformer", "vae", "text_encoder", … */
/* Which of "text_encoder", "text_encoder_2", "text_encoder_3" a text encoder's folder is: 0, 1, 2. The refiner's only
 * one is the second. */
int diffusers_number(const family *f, role r);

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
/* The JSON files of a folder; NULL: it is not there. Text encoders and tokenizers are numbered as their folders are. */
typedef struct diffusers_files {
	json_t *unet, *transformer; /* one of the two */
	json_t *vae, *scheduler;
	json_t *text[TEXT_ENCODERS];
	json_t *special[TEXT_ENCODERS], *words[TEXT_ENCODERS]; /* special_tokens_map.json and tokenizer_config.json */
} diffusers_files;
void diffusers_files_free(diffusers_files *files);
/* The file of this number, from 0, its name and where its JSON goes; NULL: there are no more. */
const char *diffusers_file_at(diffusers_files *files, int i, json_t ***json);

/* Needed are a denoiser and an autoencoder. Which networks there are says what family it is: a transformer is Stable
 * Diffusion 3's, two text encoders SDXL's, the second alone its refiner's. A text encoder of Stable Diffusion 3 that is
 * not there may come from a file of its own. */
bool family_from_diffusers(const diffusers_files *files, family *f, error *e);

/* The JSON files of a folder for this family, model_index.json last; `there` says which text encoders it holds.
 * BAD_USAGE where they could not say all of it. */
typedef bool diffusers_file(void *context, const char *name, const char *text, error *e);
bool diffusers_configurations(
    const family *f, const bool there[TEXT_ENCODERS], diffusers_file *visit, void *context, error *e);

#endif
