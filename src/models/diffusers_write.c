/* diffusers_write.c - the configurations of a diffusers folder, from a family: the other direction of
 * diffusers_config.c, by which they are proved. */
#include "models/config.h"
#include "models/diffusers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The version whose names and fields these are. */
#define WRITTEN_FOR "0.32.2"

static void set_int(json_t *j, const char *key, int value) { json_object_set_new(j, key, json_integer(value)); }
static void set_real(json_t *j, const char *key, double value) { json_object_set_new(j, key, json_real(value)); }
/* A float as a person wrote it: 0.18215, and not 0.182150006. */
static void set_float(json_t *j, const char *key, float value)
{
	char text[32];
	snprintf(text, sizeof text, "%.7g", (double)value);
	set_real(j, key, strtod(text, NULL));
}
static void set_flag(json_t *j, const char *key, bool value) { json_object_set_new(j, key, json_boolean(value)); }
static void set_text(json_t *j, const char *key, const char *value) { json_object_set_new(j, key, json_string(value)); }

static json_t *begin(const char *class_name)
{
	json_t *j = json_object();
	set_text(j, "_class_name", class_name);
	set_text(j, "_diffusers_version", WRITTEN_FOR);
	return j;
}

/* One number where all are the same. */
static void set_each(json_t *j, const char *key, const int *values, int n)
{
	bool same = true;
	json_t *list = json_array();
	for (int i = 0; i < n; i++) {
		same &= values[i] == values[0];
		json_array_append_new(list, json_integer(values[i]));
	}
	json_object_set_new(j, key, same ? json_integer(values[0]) : list);
	if (same) json_decref(list);
}

static json_t *widths(int channels, const int *multiplier, int n)
{
	json_t *list = json_array();
	for (int i = 0; i < n; i++) json_array_append_new(list, json_integer(channels * multiplier[i]));
	return list;
}

static json_t *repeated(const char *text, int n)
{
	json_t *list = json_array();
	for (int i = 0; i < n; i++) json_array_append_new(list, json_string(text));
	return list;
}

static void set_blocks(json_t *j, const unet_config *c)
{
	json_t *down = json_array(), *up = json_array();
	for (int i = 0; i < c->levels; i++) {
		json_array_append_new(down, json_string(c->attends[i] ? "CrossAttnDownBlock2D" : "DownBlock2D"));
		bool attends = c->attends[c->levels - 1 - i];
		json_array_append_new(up, json_string(attends ? "CrossAttnUpBlock2D" : "UpBlock2D"));
	}
	json_object_set_new(j, "down_block_types", down);
	json_object_set_new(j, "up_block_types", up);
}

static json_t *unet_json(const family *f)
{
	const unet_config *c = &f->denoiser.unet;
	int heads[UNET_LEVELS] = { c->heads };
	for (int i = 0; c->head_width && i < c->levels; i++) heads[i] = c->channels * c->multiplier[i] / c->head_width;
	json_t *j = begin("UNet2DConditionModel");
	set_int(j, "sample_size", f->size / vae_factor(&f->autoencoder));
	set_int(j, "in_channels", c->in_channels);
	set_int(j, "out_channels", c->out_channels);
	json_object_set_new(j, "block_out_channels", widths(c->channels, c->multiplier, c->levels));
	set_blocks(j, c);
	set_each(j, "layers_per_block", c->blocks, c->levels);
	set_each(j, "transformer_layers_per_block", c->depth, c->levels);
	set_int(j, "cross_attention_dim", c->context);
	if (c->guidance) set_int(j, "time_cond_proj_dim", c->guidance);
	if (c->head_width) /* a list, also where all are the same: diffusers then reads a fixed width */
		json_object_set_new(j, "attention_head_dim", widths(1, heads, c->levels));
	else
		set_int(j, "attention_head_dim", c->heads);
	set_flag(j, "use_linear_projection", c->linear_projection);
	set_int(j, "norm_num_groups", c->groups);
	set_text(j, "resnet_time_scale_shift", c->scale_shift ? "scale_shift" : "default");
	set_text(j, "act_fn", "silu");
	set_flag(j, "center_input_sample", false);
	set_int(j, "downsample_padding", 1);
	set_flag(j, "flip_sin_to_cos", true);
	set_int(j, "freq_shift", 0);
	set_int(j, "mid_block_scale_factor", 1);
	set_real(j, "norm_eps", 1e-5);
	return j;
}

static json_t *vae_json(const family *f)
{
	const vae_config *c = &f->autoencoder;
	json_t *j = begin("AutoencoderKL");
	set_int(j, "sample_size", f->size);
	set_int(j, "in_channels", c->in_channels);
	set_int(j, "out_channels", c->out_channels);
	json_object_set_new(j, "block_out_channels", widths(c->channels, c->multiplier, c->levels));
	json_object_set_new(j, "down_block_types", repeated("DownEncoderBlock2D", c->levels));
	json_object_set_new(j, "up_block_types", repeated("UpDecoderBlock2D", c->levels));
	set_int(j, "layers_per_block", c->blocks);
	set_int(j, "latent_channels", c->latent_channels);
	set_int(j, "norm_num_groups", c->groups);
	set_flag(j, "use_quant_conv", c->quant);
	set_flag(j, "use_post_quant_conv", c->quant);
	set_text(j, "act_fn", "silu");
	set_float(j, "scaling_factor", f->latent_scale);
	if (f->latent_shift != 0) set_float(j, "shift_factor", f->latent_shift);
	return j;
}

static json_t *text_json(const family *f)
{
	const text_config *t = &f->text[0];
	const clip_config *c = &t->clip;
	json_t *j = json_object();
	json_object_set_new(j, "architectures", json_pack("[s]", "CLIPTextModel"));
	set_text(j, "model_type", "clip_text_model");
	set_int(j, "vocab_size", c->vocabulary);
	set_int(j, "hidden_size", c->width);
	set_int(j, "intermediate_size", c->inner);
	set_int(j, "num_hidden_layers", c->layers);
	set_int(j, "num_attention_heads", c->heads);
	set_int(j, "max_position_embeddings", c->positions);
	set_text(j, "hidden_act", hidden_act_name(c->activation));
	set_float(j, "layer_norm_eps", c->epsilon);
	set_int(j, "projection_dim", c->width);
	set_int(j, "bos_token_id", t->begin);
	set_int(j, "eos_token_id", t->end);
	set_int(j, "pad_token_id", t->padding);
	return j;
}

static json_t *scheduler_json(const family *f)
{
	json_t *j = begin("DDIMScheduler");
	set_text(j, "beta_schedule", beta_curve_name(f->betas.curve));
	set_real(j, "beta_start", f->betas.start);
	set_real(j, "beta_end", f->betas.end);
	set_int(j, "num_train_timesteps", f->betas.count);
	set_text(j, "prediction_type", prediction_name(f->prediction));
	set_flag(j, "rescale_betas_zero_snr", f->betas.zero_terminal_snr);
	set_flag(j, "clip_sample", false);
	set_flag(j, "set_alpha_to_one", false);
	set_int(j, "steps_offset", 1);
	return j;
}

static json_t *special_json(const family *f)
{
	json_t *j = json_object();
	set_text(j, "bos_token", "<|startoftext|>");
	set_text(j, "eos_token", "<|endoftext|>");
	set_text(j, "unk_token", "<|endoftext|>");
	set_text(j, "pad_token", f->text[0].padding == 0 ? "!" : "<|endoftext|>");
	return j;
}

static json_t *tokenizer_json(const family *f)
{
	json_t *j = special_json(f);
	set_text(j, "tokenizer_class", "CLIPTokenizer");
	set_int(j, "model_max_length", f->text[0].length);
	set_flag(j, "do_lower_case", true);
	set_flag(j, "add_prefix_space", false);
	set_text(j, "errors", "replace");
	return j;
}

static json_t *index_json(const family *f)
{
	json_t *j = begin(f->denoiser.unet.in_channels > f->autoencoder.latent_channels ? "StableDiffusionInpaintPipeline"
	                                                                                : "StableDiffusionPipeline");
	static const char *const parts[][3] = { { "scheduler", "diffusers", "DDIMScheduler" },
		{ "text_encoder", "transformers", "CLIPTextModel" }, { "tokenizer", "transformers", "CLIPTokenizer" },
		{ "unet", "diffusers", "UNet2DConditionModel" }, { "vae", "diffusers", "AutoencoderKL" } };
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		json_object_set_new(j, parts[i][0], json_pack("[s,s]", parts[i][1], parts[i][2]));
	json_object_set_new(j, "safety_checker", json_pack("[n,n]"));
	json_object_set_new(j, "feature_extractor", json_pack("[n,n]"));
	set_flag(j, "requires_safety_checker", false);
	return j;
}

/* As JSON, without what makes no difference. */
static json_t *comparable(const family *f)
{
	family g = *f;
	unet_config *u = &g.denoiser.unet;
	if (u->heads || u->spatial_transformer) u->legacy = false; /* heads part the width evenly */
	if (u->spatial_transformer) u->new_order = false;
	char *text = family_to_json(&g);
	json_t *j = text ? json_loads(text, 0, NULL) : NULL;
	json_object_del(j, "name"); /* these two change no picture that names its guidance */
	json_object_del(j, "guidance_scale");
	if (g.text[0].kind == CLIP_TEXT)
		json_object_del(json_object_get(j, "text"), "tokenizer"); /* recognised by GELU there */
	free(text);
	return j;
}

/* A configuration that these files cannot express would be lost: read back they must give the same networks. */
static bool prove(const family *g, const json_t *const *files, error *e)
{
	family read;
	error wrong = { 0 };
	const char *key;
	json_t *value, *wanted = comparable(g), *found = NULL;
	if (family_from_diffusers(files[0], files[1], files[2], files[3], &read, &wrong) &&
	    family_from_tokenizer(files[4], files[5], &read, &wrong))
		found = comparable(&read);
	json_object_foreach(wanted, key, value)
	{
		if (found && !json_equal(value, json_object_get(found, key)))
			fail(&wrong, BAD_USAGE, "its \"%s\" cannot be expressed there", key);
	}
	bool same = wanted && found && !failed(&wrong);
	json_decref(wanted);
	json_decref(found);
	return same || fail(e, BAD_USAGE, "%s has no diffusers layout: %s", g->name, wrong.text);
}

bool diffusers_configurations(const family *f, diffusers_file *visit, void *context, error *e)
{
	static const char *const names[] = { "unet/config.json", "vae/config.json", "text_encoder/config.json",
		"scheduler/scheduler_config.json", "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json",
		"model_index.json" };
	enum { FILES = sizeof names / sizeof *names };
	const text_config *t = &f->text[0];
	if (t->kind != CLIP_TEXT)
		return fail(e, BAD_USAGE, "%s has no diffusers layout: its text encoder is not CLIP's", f->name);
	if (f->denoiser.kind != UNET || family_has(f, TEXT_ENCODER + 1))
		return fail(e, BAD_USAGE, "%s: Sumi writes no diffusers folder of this family yet", f->name);
	family g = diffusers_layout(f);
	json_t *files[FILES] = { unet_json(&g), vae_json(&g), text_json(&g), scheduler_json(&g), special_json(&g),
		tokenizer_json(&g), index_json(&g) };
	bool fine = prove(&g, (const json_t *const *)files, e);
	for (int i = 0; i < FILES; i++) {
		char *text = fine ? json_dumps(files[i], JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
		if (fine && !text) fine = fail(e, NO_MEMORY, "out of memory for %s", names[i]);
		fine = fine && visit(context, names[i], text, e);
		free(text);
		json_decref(files[i]);
	}
	return fine;
}
