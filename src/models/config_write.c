/* config_write.c - configurations of networks to JSON, in the form that config.c reads. */
#include "models/config.h"
#include "base/json.h"

json_t *json_list_of(const int *values, int n)
{
	json_t *list = json_array();
	for (int i = 0; i < n; i++) json_array_append_new(list, json_integer(values[i]));
	return list;
}

static json_t *level_depths(const unet_config *c, int level, bool up)
{
	int blocks = c->blocks[level] + up, depths[UNET_BLOCKS + 1] = { 0 };
	bool same = true;
	for (int i = 0; i < blocks && i <= UNET_BLOCKS; i++) {
		depths[i] = up ? unet_depth_up(c, level, i) : unet_depth_down(c, level, i);
		same &= depths[i] == depths[0];
	}
	return same ? json_integer(depths[0]) : json_list_of(depths, blocks);
}

json_t *unet_depths_to_json(const unet_config *c, bool up)
{
	json_t *list = json_array();
	for (int i = 0; i < c->levels; i++) json_array_append_new(list, level_depths(c, i, up));
	return list;
}

bool unet_depths_differ(const unet_config *c, bool up)
{
	bool differ = false;
	for (int i = 0; i < c->levels; i++)
		for (int k = 0; k < c->blocks[i] + up; k++)
			differ |= (up ? unet_depth_up(c, i, k) : unet_depth_down(c, i, k)) != c->depth[i];
	return differ;
}

json_t *unet_config_to_json(const unet_config *c)
{
	json_t *j = json_object();
	json_set_int(j, "in_channels", c->in_channels);
	json_set_int(j, "out_channels", c->out_channels);
	json_set_int(j, "model_channels", c->channels);
	json_object_set_new(j, "channel_mult", json_list_of(c->multiplier, c->levels));
	json_object_set_new(j, "num_res_blocks", json_list_of(c->blocks, c->levels));
	int factors[UNET_LEVELS], n = 0;
	for (int i = c->levels - 1; i >= 0; i--)
		if (c->attends[i]) factors[n++] = 1 << i;
	json_object_set_new(j, "attention_resolutions", json_list_of(factors, n));
	json_object_set_new(j, "transformer_depth", unet_depths_to_json(c, false));
	if (unet_depths_differ(c, true)) json_object_set_new(j, "transformer_depth_output", unet_depths_to_json(c, true));
	json_set_int(j, "transformer_depth_middle",
	    c->middle == MIDDLE_WHOLE      ? c->middle_depth
	    : c->middle == MIDDLE_RESIDUAL ? -1
	                                   : -2);
	if (c->head_width)
		json_set_int(j, "num_head_channels", c->head_width);
	else
		json_set_int(j, "num_heads", c->heads);
	json_set_flag(j, "legacy", c->legacy);
	json_set_flag(j, "use_spatial_transformer", c->spatial_transformer);
	json_set_flag(j, "use_new_attention_order", c->new_order);
	json_set_flag(j, "use_linear_in_transformer", c->linear_projection);
	json_set_flag(j, "use_scale_shift_norm", c->scale_shift);
	if (c->resampling == BY_POOLING) json_set_flag(j, "conv_resample", false);
	if (c->resampling == BY_RESIDUAL_BLOCK) json_set_flag(j, "resblock_updown", true);
	if (c->context) json_set_int(j, "context_dim", c->context);
	if (c->pooled_context) json_set_flag(j, "pooled_context", true);
	if (c->guidance) json_set_int(j, "time_cond_proj_dim", c->guidance);
	if (c->vector) {
		json_object_set_new(j, "num_classes", json_string("sequential"));
		json_set_int(j, "adm_in_channels", c->vector);
	}
	json_set_int(j, "norm_num_groups", c->groups);
	return j;
}

json_t *mmdit_config_to_json(const mmdit_config *c)
{
	json_t *j = json_object();
	json_set_int(j, "in_channels", c->channels);
	json_set_int(j, "patch_size", c->patch);
	json_set_int(j, "depth", c->depth);
	json_set_int(j, "hidden_size", c->width);
	json_set_int(j, "num_heads", c->heads);
	json_set_int(j, "pos_embed_max_size", c->positions);
	json_object_set_new(j, "pos_spacing", json_real((double)c->spacing));
	json_set_int(j, "context_dim", c->context);
	json_set_int(j, "adm_in_channels", c->vector);
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
	json_set_int(j, "in_channels", c->in_channels);
	json_set_int(j, "out_ch", c->out_channels);
	json_set_int(j, "ch", c->channels);
	json_object_set_new(j, "ch_mult", json_list_of(c->multiplier, c->levels));
	json_set_int(j, "num_res_blocks", c->blocks);
	int sides[VAE_LEVELS], n = 0;
	for (int i = 0; i < c->levels; i++)
		if (c->attends[i]) sides[n++] = RESOLUTION >> i;
	json_set_int(j, "resolution", RESOLUTION);
	json_object_set_new(j, "attn_resolutions", json_list_of(sides, n));
	json_set_int(j, "z_channels", c->z_channels);
	json_set_int(j, "embed_dim", c->latent_channels);
	json_set_flag(j, "quant", c->quant);
	json_set_int(j, "norm_num_groups", c->groups);
	return j;
}

const char *hidden_act_name(activation a) { return a == GELU ? "gelu" : a == GELU_TANH ? "gelu_new" : "quick_gelu"; }

static void write_hugging_face(json_t *j, const text_config *t)
{
	const clip_config *c = &t->clip;
	json_set_int(j, "vocab_size", c->vocabulary);
	json_set_int(j, "max_position_embeddings", c->positions);
	json_set_int(j, "hidden_size", c->width);
	json_set_int(j, "num_hidden_layers", c->layers);
	json_set_int(j, "num_attention_heads", c->heads);
	json_set_int(j, "intermediate_size", c->inner);
	json_object_set_new(j, "hidden_act", json_string(hidden_act_name(c->activation)));
	json_object_set_new(j, "layer_norm_eps", json_real((double)c->epsilon));
	if (c->projection) json_set_int(j, "projection", c->projection);
	json_set_int(j, "bos_token_id", t->begin);
	json_set_int(j, "eos_token_id", t->end);
	if (t->padding != t->end) json_set_int(j, "pad_id", t->padding);
}

static void write_open_clip(json_t *j, const text_config *t)
{
	const clip_config *c = &t->clip;
	json_set_int(j, "vocab_size", c->vocabulary);
	json_set_int(j, "context_length", c->positions);
	json_set_int(j, "width", c->width);
	json_set_int(j, "layers", c->layers);
	json_set_int(j, "heads", c->heads);
	json_set_int(j, "inner", c->inner);
	json_set_int(j, "embed_dim", c->projection);
	json_object_set_new(j, "layer_norm_eps", json_real((double)c->epsilon));
	json_set_int(j, "bos", t->begin);
	json_set_int(j, "eos", t->end);
	json_set_int(j, "pad_id", t->padding);
}

static void write_transformer(json_t *j, const text_config *t)
{
	const transformer_config *c = &t->transformer;
	json_set_int(j, "vocab_size", c->vocabulary);
	json_set_int(j, "max_seq_len", c->positions);
	json_set_int(j, "n_embed", c->width);
	json_set_int(j, "n_layer", c->layers);
	json_set_int(j, "heads", c->heads);
	json_set_int(j, "dim_head", c->head_width);
	json_set_int(j, "ff_mult", c->widening);
	json_object_set_new(j, "initializer_range", json_real((double)c->start));
	json_set_flag(j, "logits", c->logits);
	json_object_set_new(j, "layer_norm_eps", json_real((double)c->epsilon));
	json_set_int(j, "bos_token_id", t->begin);
	json_set_int(j, "eos_token_id", t->end);
	json_set_int(j, "pad_id", t->padding);
}

static void write_t5(json_t *j, const text_config *t)
{
	const t5_config *c = &t->t5;
	json_set_int(j, "vocab_size", c->vocabulary);
	json_set_int(j, "d_model", c->width);
	json_set_int(j, "num_layers", c->layers);
	json_set_int(j, "d_ff", c->inner);
	json_set_int(j, "num_heads", c->heads);
	json_set_int(j, "d_kv", c->head_width);
	json_set_int(j, "relative_attention_num_buckets", c->buckets);
	json_set_int(j, "relative_attention_max_distance", c->distance);
	json_object_set_new(j, "layer_norm_epsilon", json_real((double)c->epsilon));
	json_set_int(j, "eos_token_id", t->end);
	json_set_int(j, "pad_token_id", t->padding);
}

json_t *text_config_to_json(const text_config *t)
{
	json_t *j = json_object();
	if (t->kind == T5_TEXT) {
		write_t5(j, t);
		json_set_int(j, "length", t->length);
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
	json_set_int(j, "length", t->length);
	json_set_int(j, "skip", t->skip);
	if (!t->final_norm) json_set_flag(j, "final_norm", false);
	if (t->pooled) json_set_flag(j, "pooled", true);
	return j;
}
