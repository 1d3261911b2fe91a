/* diffusers_write.c - the configurations of a diffusers folder, from a family: the other direction of
 * diffusers_config.c, by which they are proved. */
#include "models/config.h"
#include "base/json.h"
#include "models/diffusers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The version whose names and fields these are. */
#define WRITTEN_FOR "0.32.2"

/* A float as a person wrote it: 0.18215, and not 0.182150006. */
static void set_float(json_t *j, const char *key, float value)
{
	char text[32];
	snprintf(text, sizeof text, "%.7g", (double)value);
	json_set_real(j, key, strtod(text, NULL));
}

static json_t *begin(const char *class_name)
{
	json_t *j = json_object();
	json_set_text(j, "_class_name", class_name);
	json_set_text(j, "_diffusers_version", WRITTEN_FOR);
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

static json_t *reversed(json_t *list)
{
	json_t *out = json_array();
	for (size_t i = json_array_size(list); i-- > 0;) json_array_append(out, json_array_get(list, i));
	json_decref(list);
	return out;
}

static json_t *unet_json(const family *f)
{
	const unet_config *c = &f->denoiser.unet;
	int heads[UNET_LEVELS] = { c->heads };
	for (int i = 0; c->head_width && i < c->levels; i++) heads[i] = c->channels * c->multiplier[i] / c->head_width;
	json_t *j = begin("UNet2DConditionModel");
	json_set_int(j, "sample_size", f->size / vae_factor(&f->autoencoder));
	json_set_int(j, "in_channels", c->in_channels);
	json_set_int(j, "out_channels", c->out_channels);
	json_object_set_new(j, "block_out_channels", widths(c->channels, c->multiplier, c->levels));
	set_blocks(j, c);
	set_each(j, "layers_per_block", c->blocks, c->levels);
	if (unet_depths_differ(c, false) || unet_depths_differ(c, true)) {
		json_object_set_new(j, "transformer_layers_per_block", unet_depths_to_json(c, false));
		json_object_set_new(j, "reverse_transformer_layers_per_block", reversed(unet_depths_to_json(c, true)));
	} else
		set_each(j, "transformer_layers_per_block", c->depth, c->levels);
	static const char *const middles[] = {
		[MIDDLE_WHOLE] = "UNetMidBlock2DCrossAttn", [MIDDLE_RESIDUAL] = "UNetMidBlock2D", [NO_MIDDLE] = NULL
	};
	const char *middle = middles[c->middle];
	json_object_set_new(j, "mid_block_type", middle ? json_string(middle) : json_null());
	json_set_int(j, "cross_attention_dim", c->context);
	if (c->guidance) json_set_int(j, "time_cond_proj_dim", c->guidance);
	if (c->vector) {
		json_set_text(j, "addition_embed_type", "text_time");
		json_set_int(j, "addition_time_embed_dim", SIZE_SINUSOIDS);
		json_set_int(j, "projection_class_embeddings_input_dim", c->vector);
	}
	if (c->head_width) /* a list, also where all are the same: diffusers then reads a fixed width */
		json_object_set_new(j, "attention_head_dim", widths(1, heads, c->levels));
	else
		json_set_int(j, "attention_head_dim", c->heads);
	json_set_flag(j, "use_linear_projection", c->linear_projection);
	json_set_int(j, "norm_num_groups", c->groups);
	json_set_text(j, "resnet_time_scale_shift", c->scale_shift ? "scale_shift" : "default");
	json_set_text(j, "act_fn", "silu");
	json_set_flag(j, "center_input_sample", false);
	json_set_int(j, "downsample_padding", 1);
	json_set_flag(j, "flip_sin_to_cos", true);
	json_set_int(j, "freq_shift", 0);
	json_set_int(j, "mid_block_scale_factor", 1);
	json_set_real(j, "norm_eps", 1e-5);
	return j;
}

static json_t *transformer_json(const family *f)
{
	const mmdit_config *c = &f->denoiser.mmdit;
	json_t *j = begin("SD3Transformer2DModel"), *twice = json_array();
	for (int i = 0; i < c->depth; i++)
		if (c->twice[i]) json_array_append_new(twice, json_integer(i));
	json_set_int(j, "sample_size", f->size / vae_factor(&f->autoencoder));
	json_set_int(j, "patch_size", c->patch);
	json_set_int(j, "in_channels", c->channels);
	json_set_int(j, "out_channels", c->channels);
	json_set_int(j, "num_layers", c->depth);
	json_set_int(j, "num_attention_heads", c->heads);
	json_set_int(j, "attention_head_dim", c->width / c->heads);
	json_set_int(j, "joint_attention_dim", c->context);
	json_set_int(j, "caption_projection_dim", c->width);
	json_set_int(j, "pooled_projection_dim", c->vector);
	json_set_int(j, "pos_embed_max_size", c->positions);
	json_object_set_new(j, "dual_attention_layers", twice);
	json_object_set_new(j, "qk_norm", c->qk_norm ? json_string("rms_norm") : json_null());
	return j;
}

static json_t *vae_json(const family *f)
{
	const vae_config *c = &f->autoencoder;
	json_t *j = begin("AutoencoderKL");
	json_set_int(j, "sample_size", f->size);
	json_set_int(j, "in_channels", c->in_channels);
	json_set_int(j, "out_channels", c->out_channels);
	json_object_set_new(j, "block_out_channels", widths(c->channels, c->multiplier, c->levels));
	json_object_set_new(j, "down_block_types", repeated("DownEncoderBlock2D", c->levels));
	json_object_set_new(j, "up_block_types", repeated("UpDecoderBlock2D", c->levels));
	json_set_int(j, "layers_per_block", c->blocks);
	json_set_int(j, "latent_channels", c->latent_channels);
	json_set_int(j, "norm_num_groups", c->groups);
	json_set_flag(j, "use_quant_conv", c->quant);
	json_set_flag(j, "use_post_quant_conv", c->quant);
	json_set_text(j, "act_fn", "silu");
	set_float(j, "scaling_factor", f->latent_scale);
	if (f->latent_shift != 0) set_float(j, "shift_factor", f->latent_shift);
	return j;
}

static json_t *clip_json(const text_config *t)
{
	const clip_config *c = &t->clip;
	json_t *j = json_object();
	json_object_set_new(
	    j, "architectures", json_pack("[s]", t->pooled ? "CLIPTextModelWithProjection" : "CLIPTextModel"));
	json_set_text(j, "model_type", "clip_text_model");
	json_set_int(j, "vocab_size", c->vocabulary);
	json_set_int(j, "hidden_size", c->width);
	json_set_int(j, "intermediate_size", c->inner);
	json_set_int(j, "num_hidden_layers", c->layers);
	json_set_int(j, "num_attention_heads", c->heads);
	json_set_int(j, "max_position_embeddings", c->positions);
	json_set_text(j, "hidden_act", hidden_act_name(c->activation));
	set_float(j, "layer_norm_eps", c->epsilon);
	json_set_int(j, "projection_dim", c->projection ? c->projection : c->width);
	json_set_int(j, "bos_token_id", t->begin);
	json_set_int(j, "eos_token_id", t->end);
	json_set_int(j, "pad_token_id", t->padding);
	return j;
}

static json_t *t5_json(const text_config *t)
{
	const t5_config *c = &t->t5;
	json_t *j = json_object();
	json_object_set_new(j, "architectures", json_pack("[s]", "T5EncoderModel"));
	json_set_text(j, "model_type", "t5");
	json_set_int(j, "vocab_size", c->vocabulary);
	json_set_int(j, "d_model", c->width);
	json_set_int(j, "num_layers", c->layers);
	json_set_int(j, "num_decoder_layers", c->layers);
	json_set_int(j, "d_ff", c->inner);
	json_set_int(j, "num_heads", c->heads);
	json_set_int(j, "d_kv", c->head_width);
	json_set_int(j, "relative_attention_num_buckets", c->buckets);
	json_set_int(j, "relative_attention_max_distance", c->distance);
	set_float(j, "layer_norm_epsilon", c->epsilon);
	json_set_text(j, "feed_forward_proj", "gated-gelu");
	json_set_text(j, "dense_act_fn", "gelu_new");
	json_set_flag(j, "is_gated_act", true);
	json_set_flag(j, "is_encoder_decoder", true);
	json_set_flag(j, "tie_word_embeddings", false);
	json_set_real(j, "dropout_rate", 0.1);
	json_set_int(j, "eos_token_id", t->end);
	json_set_int(j, "pad_token_id", t->padding);
	json_set_int(j, "decoder_start_token_id", t->padding);
	return j;
}

static json_t *scheduler_json(const family *f)
{
	bool flow = f->conditioning == STACKED, sdxl = f->conditioning == SIDE_BY_SIDE;
	json_t *j = begin(flow ? "FlowMatchEulerDiscreteScheduler" : sdxl ? "EulerDiscreteScheduler" : "DDIMScheduler");
	json_set_int(j, "num_train_timesteps", f->betas.count);
	if (flow) {
		set_float(j, "shift", f->flow_shift > 0 ? f->flow_shift : 1);
		return j;
	}
	json_set_text(j, "beta_schedule", beta_curve_name(f->betas.curve));
	json_set_real(j, "beta_start", f->betas.start);
	json_set_real(j, "beta_end", f->betas.end);
	json_set_text(j, "prediction_type", prediction_name(f->prediction));
	json_set_flag(j, "rescale_betas_zero_snr", f->betas.zero_terminal_snr);
	if (sdxl) {
		json_set_text(j, "timestep_spacing", "leading");
	} else {
		json_set_flag(j, "clip_sample", false);
		json_set_flag(j, "set_alpha_to_one", false);
	}
	json_set_int(j, "steps_offset", 1);
	return j;
}

static json_t *special_json(const text_config *t)
{
	json_t *j = json_object();
	if (t->kind == T5_TEXT) {
		json_set_text(j, "eos_token", "</s>");
		json_set_text(j, "unk_token", "<unk>");
		json_set_text(j, "pad_token", "<pad>");
		return j;
	}
	json_set_text(j, "bos_token", "<|startoftext|>");
	json_set_text(j, "eos_token", "<|endoftext|>");
	json_set_text(j, "unk_token", "<|endoftext|>");
	json_set_text(j, "pad_token", t->padding == 0 ? "!" : "<|endoftext|>");
	return j;
}

static json_t *tokenizer_json(const text_config *t)
{
	json_t *j = special_json(t);
	if (t->kind == T5_TEXT) {
		json_set_text(j, "tokenizer_class", "T5Tokenizer");
		json_set_int(j, "model_max_length", T5_TOKENS);
		json_set_int(j, "extra_ids", 100);
		return j;
	}
	json_set_text(j, "tokenizer_class", "CLIPTokenizer");
	json_set_int(j, "model_max_length", t->length);
	json_set_flag(j, "do_lower_case", true);
	json_set_flag(j, "add_prefix_space", false);
	json_set_text(j, "errors", "replace");
	return j;
}

/* ── model_index.json ── */

static const char *pipeline_name(const family *f, bool inpainting)
{
	switch (f->conditioning) {
	case STACKED: return "StableDiffusion3Pipeline";
	case SIDE_BY_SIDE:
		if (f->text[1].kind == NO_TEXT) return "StableDiffusionXLImg2ImgPipeline"; /* the refiner */
		return inpainting ? "StableDiffusionXLInpaintPipeline" : "StableDiffusionXLPipeline";
	case ONE_CONTEXT: break;
	}
	return inpainting ? "StableDiffusionInpaintPipeline" : "StableDiffusionPipeline";
}

static const char *const text_folders[TEXT_ENCODERS] = { "text_encoder", "text_encoder_2", "text_encoder_3" };
static const char *const word_folders[TEXT_ENCODERS] = { "tokenizer", "tokenizer_2", "tokenizer_3" };

/* The encoder whose folder has this number; −1: the family has none. */
static int numbered(const family *f, int number)
{
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (f->text[i].kind != NO_TEXT && diffusers_number(f, (role)(TEXT_ENCODER + i)) == number) return i;
	return -1;
}

static void set_texts(json_t *j, const family *f, const bool *there)
{
	int most = f->conditioning == STACKED ? 3 : f->conditioning == SIDE_BY_SIDE ? 2 : 1;
	for (int n = 0; n < most; n++) {
		int i = numbered(f, n);
		const text_config *t = i >= 0 ? &f->text[i] : NULL;
		const char *words = t && t->kind == T5_TEXT ? "T5TokenizerFast" : "CLIPTokenizer";
		const char *model = !t                   ? NULL
		                    : t->kind == T5_TEXT ? "T5EncoderModel"
		                    : t->pooled          ? "CLIPTextModelWithProjection"
		                                         : "CLIPTextModel";
		bool has = t && there[i];
		json_object_set_new(j, text_folders[n], has ? json_pack("[s,s]", "transformers", model) : json_pack("[n,n]"));
		json_object_set_new(j, word_folders[n], t ? json_pack("[s,s]", "transformers", words) : json_pack("[n,n]"));
	}
}

static json_t *index_json(const family *f, const json_t *scheduler, const bool *there)
{
	bool flow = f->denoiser.kind == MMDIT;
	bool inpainting = denoiser_sizes_of(&f->denoiser).in_channels > f->autoencoder.latent_channels;
	json_t *j = begin(pipeline_name(f, inpainting));
	json_object_set_new(j, "scheduler", json_pack("[s,O]", "diffusers", json_object_get(scheduler, "_class_name")));
	set_texts(j, f, there);
	if (flow)
		json_object_set_new(j, "transformer", json_pack("[s,s]", "diffusers", "SD3Transformer2DModel"));
	else
		json_object_set_new(j, "unet", json_pack("[s,s]", "diffusers", "UNet2DConditionModel"));
	json_object_set_new(j, "vae", json_pack("[s,s]", "diffusers", "AutoencoderKL"));
	if (f->conditioning == ONE_CONTEXT) {
		json_object_set_new(j, "safety_checker", json_pack("[n,n]"));
		json_object_set_new(j, "feature_extractor", json_pack("[n,n]"));
		json_set_flag(j, "requires_safety_checker", false);
	}
	if (f->conditioning == SIDE_BY_SIDE) {
		bool scored = family_size_numbers(f) == 5;
		json_set_flag(j, "force_zeros_for_empty_prompt", !scored);
		if (scored || inpainting) json_set_flag(j, "requires_aesthetics_score", scored);
	}
	return j;
}

/* ── proof ── */

/* As JSON, without what makes no difference. */
static json_t *comparable(const family *f)
{
	static const char *const texts[TEXT_ENCODERS] = { "text", "text_2", "text_3" };
	family g = *f;
	if (g.denoiser.kind == UNET) {
		unet_config *u = &g.denoiser.unet;
		if (u->heads || u->spatial_transformer) u->legacy = false; /* heads part the width evenly */
		if (u->spatial_transformer) u->new_order = false;
	}
	char *text = family_to_json(&g);
	json_t *j = text ? json_loads(text, 0, NULL) : NULL;
	json_object_del(j, "name"); /* these two change no picture that names its guidance */
	json_object_del(j, "guidance_scale");
	json_object_del(json_object_get(j, "mmdit"), "pos_spacing"); /* nor does this, of a table that is there */
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		json_object_del(json_object_get(j, texts[i]), "tokenizer"); /* recognised by GELU there */
		json_object_del(j, i ? i == 1 ? "text_2_prefix" : "text_3_prefix" : "text_prefix");
	}
	json_object_del(j, "unet_prefix");
	json_object_del(j, "vae_prefix");
	if (g.conditioning == STACKED) { /* a flow has no use for betas */
		json_object_del(j, "beta_schedule");
		json_object_del(j, "beta_start");
		json_object_del(j, "beta_end");
		json_object_del(j, "num_train_timesteps");
		json_object_del(j, "rescale_betas_zero_snr");
	}
	free(text);
	return j;
}

/* A configuration that these files cannot express would be lost: read back they must give the same networks. */
static bool prove(const family *g, const diffusers_files *files, error *e)
{
	family read;
	error wrong = { 0 };
	const char *key;
	json_t *value, *wanted = comparable(g), *found = NULL;
	if (family_from_diffusers(files, &read, &wrong)) found = comparable(&read);
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

static diffusers_files files_of(const family *g)
{
	diffusers_files y = { .vae = vae_json(g), .scheduler = scheduler_json(g) };
	if (g->denoiser.kind == MMDIT)
		y.transformer = transformer_json(g);
	else
		y.unet = unet_json(g);
	for (int n = 0; n < TEXT_ENCODERS; n++) {
		int i = numbered(g, n);
		if (i < 0) continue;
		y.text[n] = (g->text[i].kind == T5_TEXT ? t5_json : clip_json)(&g->text[i]);
		y.special[n] = special_json(&g->text[i]);
		y.words[n] = tokenizer_json(&g->text[i]);
	}
	return y;
}

static bool write_json(const json_t *j, const char *name, diffusers_file *visit, void *context, error *e)
{
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	bool fine = text ? visit(context, name, text, e) : fail(e, NO_MEMORY, "out of memory for %s", name);
	free(text);
	return fine;
}

bool diffusers_configurations(
    const family *f, const bool there[TEXT_ENCODERS], diffusers_file *visit, void *context, error *e)
{
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (f->text[i].kind == TRANSFORMER_TEXT || (i == 0 && f->text[i].kind != CLIP_TEXT))
			return fail(e, BAD_USAGE, "%s has no diffusers layout: its text encoder is not CLIP's", f->name);
	family g = diffusers_layout(f);
	diffusers_files files = files_of(&g);
	json_t *index = index_json(&g, files.scheduler, there), **json;
	bool fine = prove(&g, &files, e);
	const char *name;
	for (int n = 0; n < TEXT_ENCODERS; n++) { /* the proof needed all */
		int i = numbered(&g, n);
		if (i < 0 || there[i]) continue;
		json_decref(files.text[n]);
		files.text[n] = NULL;
	}
	for (int i = 0; fine && (name = diffusers_file_at(&files, i, &json)); i++)
		fine = !*json || write_json(*json, name, visit, context, e);
	fine = fine && write_json(index, "model_index.json", visit, context, e);
	json_decref(index);
	diffusers_files_free(&files);
	return fine;
}
