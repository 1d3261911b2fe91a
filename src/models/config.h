/* config.h - configurations of networks as JSON, by the names that the original classes give their arguments. An
 * absent argument has the original's default; one that asks for what Sumi cannot build is an error that names it. */
#ifndef SUMI_MODELS_CONFIG_H
#define SUMI_MODELS_CONFIG_H
#include "models/families.h"
#include <jansson.h>

bool unet_config_from_json(const json_t *j, unet_config *c, error *e); /* UNetModel's arguments */
bool vae_config_from_json(const json_t *j, vae_config *c, error *e);   /* ddconfig's, and "embed_dim", "quant" */
bool mmdit_config_from_json(
    const json_t *j, mmdit_config *c, error *e); /* MMDiTX's, and "context_dim", "pos_spacing" */
/* Hugging Face's CLIP ("hidden_size"), OpenCLIP's ("width"), the LDM transformer's ("n_embed") or T5's ("d_model")
 * arguments, distinguished by these. Ids are read, prefixes are not the configuration's. */
bool text_config_from_json(const json_t *j, text_config *c, error *e);

/* "beta_schedule", "beta_start", "prediction_type" and the like; what is absent stays as it is given. */
bool noise_from_json(const json_t *j, schedule_config *betas, prediction *p, error *e);

/* What a family's text encoders give is what its denoiser reads. */
bool conditioning_is_sound(const family *f, error *e);

/* A whole family's JSON has no key, of its own or of its parts, that is a misspelling of one that it has not: BAD_FILE,
 * which names both. Keys that are like no other are passed over. */
bool config_keys_known(const json_t *j, error *e);

json_t *unet_config_to_json(const unet_config *c);
/* The depths of all blocks, levels from the top: one number for a level, or a list where its blocks differ. */
json_t *unet_depths_to_json(const unet_config *c, bool up);
bool unet_depths_differ(const unet_config *c, bool up); /* from what `depth` says of each level */
json_t *mmdit_config_to_json(const mmdit_config *c);
json_t *vae_config_to_json(const vae_config *c);
json_t *text_config_to_json(const text_config *c);
json_t *json_list_of(const int *values, int n); /* the other way of json_list() */
const char *hidden_act_name(activation a);      /* as Hugging Face calls CLIP's: "quick_gelu" */

/* A field, or the given value where it is absent or null. A wrong type is recorded in e. */
int json_int(const json_t *j, const char *key, int absent, error *e);
double json_number(const json_t *j, const char *key, double absent, error *e);
bool json_flag(const json_t *j, const char *key, bool absent, error *e);
/* Copies into to [size]; "" where it is not a text that fits. */
void json_text(const json_t *j, const char *key, const char *absent, char *to, size_t size, error *e);
/* A list of up to `most` numbers, or one number; returns how many, 0 where absent. */
int json_list(const json_t *j, const char *key, int *to, int most, error *e);

#endif
