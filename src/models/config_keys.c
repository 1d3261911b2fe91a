/* config_keys.c - the keys that a model's configuration may have, so that a misspelt one is not passed over in silence.
 * What the original files hold and Sumi has no use for (dropout, use_checkpoint, …) may stay. */
#include "models/config.h"
#include "base/spelling.h"
#include <string.h>

static const char *const family_keys[] = { "name", "unet", "mmdit", "dd", "vae", "text", "text_2", "text_3", "clip",
	"openclip", "transformer", "unet_prefix", "vae_prefix", "text_prefix", "text_2_prefix", "text_3_prefix",
	"conditioning", "beta_schedule", "beta_start", "beta_end", "num_train_timesteps", "rescale_betas_zero_snr",
	"prediction_type", "scale_factor", "shift_factor", "shift", "guidance_scale", "size", NULL };

static const char *const unet_keys[] = { "image_size", "in_channels", "out_channels", "model_channels", "channel_mult",
	"num_res_blocks", "attention_resolutions", "num_heads", "num_head_channels", "num_heads_upsample", "context_dim",
	"transformer_depth", "transformer_depth_output", "transformer_depth_middle", "use_spatial_transformer",
	"use_linear_in_transformer", "legacy", "use_new_attention_order", "use_scale_shift_norm", "resblock_updown",
	"conv_resample", "norm_num_groups", "num_classes", "adm_in_channels", "pooled_context", "time_cond_proj_dim",
	"disable_middle_self_attn", "disable_self_attentions", "num_attention_blocks", "use_checkpoint", "use_fp16",
	"use_bf16", "dropout", "dims", "n_embed", NULL };

static const char *const mmdit_keys[] = { "in_channels", "patch_size", "depth", "pos_embed_max_size", "pos_spacing",
	"context_dim", "adm_in_channels", "hidden_size", "num_heads", "qk_norm", "x_block_self_attn_layers", NULL };

static const char *const autoencoder_keys[] = { "in_channels", "out_ch", "ch", "ch_mult", "num_res_blocks",
	"attn_resolutions", "resolution", "z_channels", "embed_dim", "double_z", "quant", "norm_num_groups", "tanh_out",
	"use_linear_attn", "attn_type", "resamp_with_conv", "give_pre_end", "dropout", NULL };

/* Of all kinds: the transformer's first, which is written by hand. */
static const char *const text_keys[] = { "n_embed", "n_layer", "vocab_size", "max_seq_len", "heads", "dim_head",
	"ff_mult", "logits", "initializer_range", "initializer_factor", "layer_norm_eps", "layer_norm_epsilon", "tokenizer",
	"length", "skip", "final_norm", "pooled", "bos", "eos", "pad_id", "bos_token_id", "eos_token_id", "pad_token_id",
	"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings",
	"hidden_act", "projection_dim", "projection", "width", "layers", "inner", "context_length", "embed_dim", "d_model",
	"num_layers", "num_decoder_layers", "d_ff", "d_kv", "num_heads", "relative_attention_num_buckets",
	"relative_attention_max_distance", "feed_forward_proj", "dense_act_fn", "is_gated_act", "dropout", "dropout_rate",
	"attention_dropout", "model_type", "torch_dtype", "use_cache", NULL };

static const struct {
	const char *object;
	const char *const *keys;
} objects[] = { { "unet", unet_keys }, { "mmdit", mmdit_keys }, { "dd", autoencoder_keys }, { "vae", autoencoder_keys },
	{ "text", text_keys }, { "text_2", text_keys }, { "text_3", text_keys }, { "clip", text_keys },
	{ "openclip", text_keys }, { "transformer", text_keys } };

static bool is_one_of(const char *key, const char *const *keys)
{
	for (; *keys; keys++)
		if (!strcmp(key, *keys)) return true;
	return false;
}

/* The key that was meant: one that is not there, and that a slip or two make of what is. */
static const char *meant(const json_t *j, const char *key, const char *const *keys)
{
	spelling_search s = spelling_of(key);
	for (; *keys; keys++)
		if (!json_object_get(j, *keys)) spelling_offer(&s, *keys);
	int length = (int)strlen(s.word);
	return s.best && length >= 4 && s.distance <= (length + 3) / 5 ? s.best : NULL;
}

static bool check_object(const json_t *j, const char *name, const char *const *keys, error *e)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)j, key, value)
	{
		const char *near = is_one_of(key, keys) ? NULL : meant(j, key, keys);
		if (near)
			return fail(e, BAD_FILE, "configuration: '%s%s%.60s' is no key that is known: did you mean '%s'?", name,
			    *name ? "." : "", key, near);
	}
	return true;
}

bool config_keys_known(const json_t *j, error *e)
{
	if (!check_object(j, "", family_keys, e)) return false;
	for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
		if (!check_object(json_object_get(j, objects[i].object), objects[i].object, objects[i].keys, e)) return false;
	return true;
}
