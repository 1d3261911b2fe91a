/* config_write.c - configurations of networks to JSON, in the form that config.c reads. */
#include "models/config.h"

json_t *json_list_of(const int *values, int n)
{
	json_t *list = json_array();
	for (int i = 0; i < n; i++) json_array_append_new(list, json_integer(values[i]));
	return list;
}

static void set_int(json_t *j, const char *key, int value) { json_object_set_new(j, key, json_integer(value)); }
static void set_flag(json_t *j, const char *key, bool value) { json_object_set_new(j, key, json_boolean(value)); }

json_t *unet_config_to_json(const unet_config *c)
{
	json_t *j = json_object();
	set_int(j, "in_channels", c->in_channels);
	set_int(j, "out_channels", c->out_channels);
	set_int(j, "model_channels", c->channels);
	json_object_set_new(j, "channel_mult", json_list_of(c->multiplier, c->levels));
	json_object_set_new(j, "num_res_blocks", json_list_of(c->blocks, c->levels));
	int factors[UNET_LEVELS], n = 0;
	for (int i = c->levels - 1; i >= 0; i--)
		if (c->attends[i]) factors[n++] = 1 << i;
	json_object_set_new(j, "attention_resolutions", json_list_of(factors, n));
	json_object_set_new(j, "transformer_depth", json_list_of(c->depth, c->levels));
	set_int(j, "transformer_depth_middle", c->middle_depth);
	if (c->head_width)
		set_int(j, "num_head_channels", c->head_width);
	else
		set_int(j, "num_heads", c->heads);
	set_flag(j, "legacy", c->legacy);
	set_flag(j, "use_spatial_transformer", c->spatial_transformer);
	set_flag(j, "use_new_attention_order", c->new_order);
	set_flag(j, "use_linear_in_transformer", c->linear_projection);
	set_flag(j, "use_scale_shift_norm", c->scale_shift);
	if (c->resampling == BY_POOLING) set_flag(j, "conv_resample", false);
	if (c->resampling == BY_RESIDUAL_BLOCK) set_flag(j, "resblock_updown", true);
	if (c->context) set_int(j, "context_dim", c->context);
	if (c->pooled_context) set_flag(j, "pooled_context", true);
	if (c->guidance) set_int(j, "time_cond_proj_dim", c->guidance);
	if (c->vector) {
		json_object_set_new(j, "num_classes", json_string("sequential"));
		set_int(j, "adm_in_channels", c->vector);
	}
	set_int(j, "norm_num_groups", c->groups);
	return j;
}

json_t *mmdit_config_to_json(const mmdit_config *c)
{
	json_t *j = json_object();
	set_int(j, "in_channels", c->channels);
	set_int(j, "patch_size", c->patch);
	set_int(j, "depth", c->depth);
	set_int(j, "hidden_size", c->width);
	set_int(j, "num_heads", c->heads);
	set_int(j, "pos_embed_max_size", c->positions);
	json_object_set_new(j, "pos_spacing", json_real((double)c->spacing));
	set_int(j, "context_dim", c->context);
	set_int(j, "adm_in_channels", c->vector);
	if (c->qk_norm) json_object_set_new(j, "qk_norm", json_string("rms"));
	int twice[MMDIT_BLOCKS], n = 0;
	for (int i = 0; i < c->depth; i++)
		if (c->twice[i]) twice[n++] = i;
	if (n) json_object_set_new(j, "x_block_self_attn_layers", json_list_of(twice, n));
	return j;
}

json_t *vae_config_to_json(const vae_config *c)
{
	enum { RESOLUTION = 256 };
	json_t *j = json_object();
	set_int(j, "in_channels", c->in_channels);
	set_int(j, "out_ch", c->out_channels);
	set_int(j, "ch", c->channels);
	json_object_set_new(j, "ch_mult", json_list_of(c->multiplier, c->levels));
	set_int(j, "num_res_blocks", c->blocks);
	int sides[VAE_LEVELS], n = 0;
	for (int i = 0; i < c->levels; i++)
		if (c->attends[i]) sides[n++] = RESOLUTION >> i;
	set_int(j, "resolution", RESOLUTION);
	json_object_set_new(j, "attn_resolutions", json_list_of(sides, n));
	set_int(j, "z_channels", c->z_channels);
	set_int(j, "embed_dim", c->latent_channels);
	set_flag(j, "quant", c->quant);
	set_int(j, "norm_num_groups", c->groups);
	return j;
}

const char *hidden_act_name(activation a) { return a == GELU ? "gelu" : a == GELU_TANH ? "gelu_new" : "quick_gelu"; }

static void write_hugging_face(json_t *j, const text_config *t)
{
	const clip_config *c = &t->clip;
	set_int(j, "vocab_size", c->vocabulary);
	set_int(j, "max_position_embeddings", c->positions);
	set_int(j, "hidden_size", c->width);
	set_int(j, "num_hidden_layers", c->layers);
	set_int(j, "num_attention_heads", c->heads);
	set_int(j, "intermediate_size", c->inner);
	json_object_set_new(j, "hidden_act", json_string(hidden_act_name(c->activation)));
	json_object_set_new(j, "layer_norm_eps", json_real((double)c->epsilon));
	if (c->projection) set_int(j, "projection", c->projection);
	set_int(j, "bos_token_id", t->begin);
	set_int(j, "eos_token_id", t->end);
	if (t->padding != t->end) set_int(j, "pad_id", t->padding);
}

static void write_open_clip(json_t *j, const text_config *t)
{
	const clip_config *c = &t->clip;
	set_int(j, "vocab_size", c->vocabulary);
	set_int(j, "context_length", c->positions);
	set_int(j, "width", c->width);
	set_int(j, "layers", c->layers);
	set_int(j, "heads", c->heads);
	set_int(j, "inner", c->inner);
	set_int(j, "embed_dim", c->projection);
	json_object_set_new(j, "layer_norm_eps", json_real((double)c->epsilon));
	set_int(j, "bos", t->begin);
	set_int(j, "eos", t->end);
	set_int(j, "pad_id", t->padding);
}

static void write_transformer(json_t *j, const text_config *t)
{
	const transformer_config *c = &t->transformer;
	set_int(j, "vocab_size", c->vocabulary);
	set_int(j, "max_seq_len", c->positions);
	set_int(j, "n_embed", c->width);
	set_int(j, "n_layer", c->layers);
	set_int(j, "heads", c->heads);
	set_int(j, "dim_head", c->head_width);
	set_int(j, "ff_mult", c->widening);
	json_object_set_new(j, "initializer_range", json_real((double)c->start));
	set_flag(j, "logits", c->logits);
	json_object_set_new(j, "layer_norm_eps", json_real((double)c->epsilon));
	set_int(j, "bos_token_id", t->begin);
	set_int(j, "eos_token_id", t->end);
	set_int(j, "pad_id", t->padding);
}

static void write_t5(json_t *j, const text_config *t)
{
	const t5_config *c = &t->t5;
	set_int(j, "vocab_size", c->vocabulary);
	set_int(j, "d_model", c->width);
	set_int(j, "num_layers", c->layers);
	set_int(j, "d_ff", c->inner);
	set_int(j, "num_heads", c->heads);
	set_int(j, "d_kv", c->head_width);
	set_int(j, "relative_attention_num_buckets", c->buckets);
	set_int(j, "relative_attention_max_distance", c->distance);
	json_object_set_new(j, "layer_norm_epsilon", json_real((double)c->epsilon));
	set_int(j, "eos_token_id", t->end);
	set_int(j, "pad_token_id", t->padding);
}

json_t *text_config_to_json(const text_config *t)
{
	json_t *j = json_object();
	if (t->kind == T5_TEXT) {
		write_t5(j, t);
		set_int(j, "length", t->length);
		return j;
	}
	if (t->kind == TRANSFORMER_TEXT)
		write_transformer(j, t);
	else if (t->clip.fused)
		write_open_clip(j, t);
	else
		write_hugging_face(j, t);
	json_object_set_new(j, "tokenizer",
	    json_string(t->tokenizer == WORDPIECE                    ? "wordpiece"
	                : t->tokenizer == OPENCLIP && !t->clip.fused ? "openclip"
	                                                             : "clip"));
	set_int(j, "length", t->length);
	set_int(j, "skip", t->skip);
	if (!t->final_norm) set_flag(j, "final_norm", false);
	if (t->pooled) set_flag(j, "pooled", true);
	return j;
}
