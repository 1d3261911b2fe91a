/* diffusers_config.c - a family from the configurations in a diffusers folder. */
#include "models/config.h"
#include "models/diffusers.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* block_out_channels → the first, and multiples of it */
static int multiples(const json_t *j, int *channels, int *multiplier, int most, error *e)
{
	int n = json_list(j, "block_out_channels", multiplier, most, e);
	*channels = n ? multiplier[0] : 0;
	for (int i = n - 1; i >= 0; i--) {
		if (*channels < 1 || multiplier[i] % *channels) {
			fail(e, BAD_FILE, "configuration: 'block_out_channels' are not multiples of the first");
			return 0;
		}
		multiplier[i] /= *channels;
	}
	if (!n) fail(e, BAD_FILE, "configuration: 'block_out_channels' is missing");
	return n;
}

/* "attention_head_dim" is how many heads there are, in spite of its name; a list where their width is fixed. */
static bool set_heads(const json_t *j, json_t *out, int channels, const int *multiplier, int levels, error *e)
{
	int heads[UNET_LEVELS];
	const char *key =
	    json_is_null(json_object_get(j, "num_attention_heads")) || !json_object_get(j, "num_attention_heads")
	        ? "attention_head_dim"
	        : "num_attention_heads";
	int n = json_list(j, key, heads, UNET_LEVELS, e);
	if (n <= 1) {
		json_object_set_new(out, "num_heads", json_integer(n ? heads[0] : 8));
		return true;
	}
	int width = heads[0] > 0 ? channels / heads[0] : 0;
	for (int i = 0; i < levels && i < n; i++)
		if (heads[i] < 1 || channels * multiplier[i] != width * heads[i])
			return fail(e, BAD_FILE, "configuration: '%s' asks for heads of different widths", key);
	json_object_set_new(out, "num_head_channels", json_integer(width));
	return true;
}

/* Which levels attend, by the names of their blocks. */
static json_t *attention_factors(const json_t *j)
{
	const json_t *types = json_object_get(j, "down_block_types");
	int factors[UNET_LEVELS], n = 0;
	for (size_t i = 0; i < json_array_size(types) && i < UNET_LEVELS; i++) {
		const char *type = json_string_value(json_array_get(types, i));
		if (type && (strstr(type, "Attn") || strstr(type, "Attention"))) factors[n++] = 1 << i;
	}
	return json_list_of(factors, n);
}

/* Takes a field over under the name that the original has for it. */
static void take(json_t *out, const char *ours, const json_t *j, const char *theirs)
{
	json_t *value = json_object_get(j, theirs);
	if (value && !json_is_null(value)) json_object_set(out, ours, value);
}

static bool expect_text(const json_t *j, const char *key, const char *expected, error *e)
{
	const char *found = json_string_value(json_object_get(j, key));
	return !found || !strcmp(found, expected) ||
	       fail(e, BAD_FILE, "configuration: '%s' is '%s', Sumi builds '%s' alone", key, found, expected);
}

/* What diffusers' classes take and Sumi builds in one way alone: refused where a file asks for another. */
typedef struct fixed_field {
	const char *key, *json; /* json: the one value, besides null and a list of nothing but it */
} fixed_field;

static const fixed_field fixed_of_unet[] = { { "_class_name", "\"UNet2DConditionModel\"" }, { "act_fn", "\"silu\"" },
	{ "attention_type", "\"default\"" }, { "center_input_sample", "false" }, { "class_embed_type", "null" },
	{ "conv_in_kernel", "3" }, { "conv_out_kernel", "3" }, { "cross_attention_norm", "null" },
	{ "downsample_padding", "1" }, { "dual_cross_attention", "false" }, { "encoder_hid_dim", "null" },
	{ "encoder_hid_dim_type", "null" }, { "flip_sin_to_cos", "true" }, { "freq_shift", "0" },
	{ "mid_block_only_cross_attention", "false" }, { "mid_block_scale_factor", "1" }, { "norm_eps", "1e-5" },
	{ "num_class_embeds", "null" }, { "only_cross_attention", "false" }, { "resnet_out_scale_factor", "1" },
	{ "resnet_skip_time_act", "false" }, { "time_embedding_act_fn", "null" },
	{ "time_embedding_type", "\"positional\"" }, { "timestep_post_act", "null" }, { NULL, NULL } };

static const fixed_field fixed_of_vae[] = { { "_class_name", "\"AutoencoderKL\"" }, { "act_fn", "\"silu\"" },
	{ "latents_mean", "null" }, { "latents_std", "null" }, { "mid_block_add_attention", "true" }, { NULL, NULL } };

static const fixed_field fixed_of_transformer[] = { { "_class_name", "\"SD3Transformer2DModel\"" }, { NULL, NULL } };

static bool is_value(const json_t *found, const json_t *expected)
{
	if (json_is_null(found)) return true;
	if (json_is_number(found) && json_is_number(expected)) {
		double x = json_number_value(found), y = json_number_value(expected);
		return fabs(x - y) <= 1e-6 * fabs(y);
	}
	for (size_t i = 0; i < json_array_size(found); i++)
		if (!is_value(json_array_get(found, i), expected)) return false;
	return json_is_array(found) || json_equal(found, expected);
}

static bool expect_fixed(const json_t *j, const fixed_field *f, error *e)
{
	for (; f->key; f++) {
		json_t *found = json_object_get(j, f->key), *expected = json_loads(f->json, JSON_DECODE_ANY, NULL);
		bool fine = !found || is_value(found, expected);
		char *text = fine ? NULL : json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT);
		json_decref(expected);
		if (fine) continue;
		fail(e, BAD_FILE, "configuration: '%s' is %.80s, Sumi builds %s alone", f->key, text ? text : "another",
		    strcmp(f->json, "null") ? f->json : "models without it");
		free(text);
		return false;
	}
	return true;
}

/* Those of the way up are listed from the bottom there. */
static void take_output_depths(json_t *out, const json_t *j)
{
	const json_t *depths = json_object_get(j, "reverse_transformer_layers_per_block");
	if (!json_is_array(depths)) return;
	json_t *list = json_array();
	for (size_t i = json_array_size(depths); i-- > 0;) json_array_append(list, json_array_get(depths, i));
	json_object_set_new(out, "transformer_depth_output", list);
}

/* Null: there is no middle block; absent: a whole one. */
static bool take_middle(json_t *out, const json_t *j, error *e)
{
	const json_t *type = json_object_get(j, "mid_block_type");
	const char *name = json_string_value(type);
	if (json_is_null(type)) json_object_set_new(out, "transformer_depth_middle", json_integer(-2));
	if (name && !strcmp(name, "UNetMidBlock2D"))
		json_object_set_new(out, "transformer_depth_middle", json_integer(-1));
	else if (name)
		return expect_text(j, "mid_block_type", "UNetMidBlock2DCrossAttn", e);
	return true;
}

static bool read_unet(const json_t *j, unet_config *c, error *e)
{
	int channels, multiplier[UNET_LEVELS], levels = multiples(j, &channels, multiplier, UNET_LEVELS, e);
	if (!levels || !expect_fixed(j, fixed_of_unet, e)) return false;
	json_t *out = json_object();
	json_object_set_new(out, "model_channels", json_integer(channels));
	json_object_set_new(out, "channel_mult", json_list_of(multiplier, levels));
	json_object_set_new(out, "attention_resolutions", attention_factors(j));
	json_object_set_new(out, "legacy", json_false());
	take(out, "in_channels", j, "in_channels");
	take(out, "out_channels", j, "out_channels");
	take(out, "num_res_blocks", j, "layers_per_block");
	take(out, "transformer_depth", j, "transformer_layers_per_block");
	take_output_depths(out, j);
	if (!take_middle(out, j, e)) return json_decref(out), false;
	take(out, "context_dim", j, "cross_attention_dim");
	take(out, "use_linear_in_transformer", j, "use_linear_projection");
	take(out, "norm_num_groups", j, "norm_num_groups");
	take(out, "time_cond_proj_dim", j, "time_cond_proj_dim");
	if (json_is_string(json_object_get(j, "addition_embed_type"))) {
		json_object_set_new(out, "num_classes", json_string("sequential"));
		take(out, "adm_in_channels", j, "projection_class_embeddings_input_dim");
	}
	const char *shift = json_string_value(json_object_get(j, "resnet_time_scale_shift"));
	json_object_set_new(out, "use_scale_shift_norm", json_boolean(shift && !strcmp(shift, "scale_shift")));
	bool fine = set_heads(j, out, channels, multiplier, levels, e) && unet_config_from_json(out, c, e);
	json_decref(out);
	return fine;
}

static bool read_vae(const json_t *j, family *f, error *e)
{
	int channels, multiplier[VAE_LEVELS], levels = multiples(j, &channels, multiplier, VAE_LEVELS, e);
	if (!levels || !expect_fixed(j, fixed_of_vae, e)) return false;
	json_t *out = json_object();
	json_object_set_new(out, "ch", json_integer(channels));
	json_object_set_new(out, "ch_mult", json_list_of(multiplier, levels));
	take(out, "in_channels", j, "in_channels");
	take(out, "out_ch", j, "out_channels");
	take(out, "num_res_blocks", j, "layers_per_block");
	take(out, "z_channels", j, "latent_channels");
	take(out, "norm_num_groups", j, "norm_num_groups");
	take(out, "quant", j, "use_quant_conv");
	bool fine = vae_config_from_json(out, &f->autoencoder, e);
	json_decref(out);
	f->latent_scale = (float)json_number(j, "scaling_factor", 0.18215, e);
	f->latent_shift = (float)json_number(j, "shift_factor", 0, e);
	return fine && !failed(e);
}

static bool read_scheduler(const json_t *j, family *f, error *e)
{
	const char *name = json_string_value(json_object_get(j, "_class_name"));
	if (name && !strncmp(name, "FlowMatch", 9)) {
		f->prediction = PREDICT_FLOW;
		f->flow_shift = (float)json_number(j, "shift", 1, e);
		return !failed(e) && ((f->flow_shift > 0 && f->flow_shift <= 100) ||
		                         fail(e, BAD_FILE, "configuration: 'shift' is %g", (double)f->flow_shift));
	}
	if (name && !strncmp(name, "EDM", 3))
		return fail(
		    e, BAD_FILE, "configuration: '_class_name' is '%.60s': Sumi does not draw with models of EDM's form", name);
	f->prediction = PREDICT_NOISE; /* where the file does not say */
	return noise_from_json(j, &f->betas, &f->prediction, e) &&
	       ((f->betas.count >= 2 && f->betas.count <= 100000) ||
	           fail(e, BAD_FILE, "configuration: 'num_train_timesteps' is %d, expected 2 to 100000", f->betas.count));
}

/* ── Stable Diffusion 3's transformer ── */

static bool read_twice(const json_t *j, mmdit_config *c, error *e)
{
	int blocks[MMDIT_BLOCKS], n = json_list(j, "dual_attention_layers", blocks, MMDIT_BLOCKS, e);
	for (int i = 0; i < n && !failed(e); i++) {
		if (blocks[i] < 0 || blocks[i] >= c->depth)
			return fail(
			    e, BAD_FILE, "configuration: 'dual_attention_layers' names block %d of %d", blocks[i], c->depth);
		c->twice[blocks[i]] = true;
	}
	return !failed(e);
}

static bool read_transformer(const json_t *j, mmdit_config *c, error *e)
{
	if (!expect_fixed(j, fixed_of_transformer, e)) return false;
	json_t *out = json_object();
	int heads = json_int(j, "num_attention_heads", 24, e), width = json_int(j, "attention_head_dim", 64, e);
	int side = json_int(j, "sample_size", 128, e), table = json_int(j, "pos_embed_max_size", 192, e);
	bool sane = !failed(e) && heads > 0 && heads <= 1024 && width > 0 && width <= 1024 && side > 0 && table > 0;
	if (!sane && !failed(e)) fail(e, BAD_FILE, "configuration: %d heads of width %d cannot be", heads, width);
	int patch = json_int(j, "patch_size", 2, e);
	take(out, "in_channels", j, "in_channels");
	take(out, "patch_size", j, "patch_size");
	take(out, "depth", j, "num_layers");
	take(out, "context_dim", j, "joint_attention_dim");
	take(out, "adm_in_channels", j, "pooled_projection_dim");
	take(out, "pos_embed_max_size", j, "pos_embed_max_size");
	json_object_set_new(out, "num_heads", json_integer(heads));
	json_object_set_new(out, "hidden_size", json_integer(sane ? heads * width : 0));
	if (sane && patch > 0) json_object_set_new(out, "pos_spacing", json_real((double)(side / patch) / table));
	const char *norm = json_string_value(json_object_get(j, "qk_norm"));
	if (norm) json_object_set_new(out, "qk_norm", json_string(!strcmp(norm, "rms_norm") ? "rms" : "other"));
	bool fine = sane && mmdit_config_from_json(out, c, e) && read_twice(j, c, e);
	json_decref(out);
	if (!fine) return false;
	int channels = json_int(j, "out_channels", c->channels, e),
	    inner = json_int(j, "caption_projection_dim", c->width, e);
	return (channels == c->channels && inner == c->width) ||
	       fail(e, BAD_FILE, "configuration: a transformer of %d channels and width %d gives %d and reads words of %d",
	           c->channels, c->width, channels, inner);
}

/* ── text encoders ── */

/* The family's row knows what encoder i is for; its sizes are the file's. */
static bool read_text(const json_t *j, text_config *t, bool alone, error *e)
{
	const text_config known = *t;
	if (!text_config_from_json(j, t, e)) return false;
	if (t->kind == CLIP_TEXT && t->clip.vocabulary == known.clip.vocabulary) {
		/* The tokenizer's, whatever is written here: old files have 0 and 2. */
		if (t->padding == t->end) t->padding = known.padding;
		t->begin = known.begin;
		t->end = known.end;
	}
	if (alone) { /* SD 2's, without the blocks that it skips */
		if (t->kind == CLIP_TEXT && t->clip.activation == GELU) t->padding = 0;
		return true;
	}
	if (t->kind != known.kind)
		return fail(e, BAD_FILE, "configuration: a text encoder of another kind than the family's");
	if (t->kind == T5_TEXT) return true;
	t->skip = known.skip;
	t->final_norm = known.final_norm;
	t->pooled = known.pooled;
	t->tokenizer = known.tokenizer;
	t->padding = known.padding;
	t->clip.projection = t->pooled ? json_int(j, "projection_dim", t->clip.width, e) : 0;
	return !failed(e) && ((t->clip.projection >= 0 && t->clip.projection <= 65536 && t->skip <= t->clip.layers) ||
	                         fail(e, BAD_FILE, "configuration: 'projection_dim' is %d", t->clip.projection));
}

/* Without a file, one of Stable Diffusion 3's is as large as published, if that fits the denoiser. */
static bool read_texts(const diffusers_files *files, family *f, error *e)
{
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		text_config *t = &f->text[i];
		role r = (role)(TEXT_ENCODER + i);
		int number = diffusers_number(f, r);
		const json_t *j = number < TEXT_ENCODERS ? files->text[number] : NULL;
		if (t->kind == NO_TEXT) continue;
		bool sized = f->conditioning == STACKED &&
		             (t->kind != T5_TEXT || t->t5.width == denoiser_sizes_of(&f->denoiser).context);
		if (!j && !sized) t->kind = NO_TEXT;
		hugging_face_layout(f, r);
		if (j && !read_text(j, t, f->conditioning == ONE_CONTEXT, e)) return false;
	}
	return true;
}

static const char *token_text(const json_t *token)
{
	return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

/* What tokenizer/ says: padding and length. */
static bool read_tokenizer(const json_t *special, const json_t *config, text_config *t, error *e)
{
	if (t->kind != CLIP_TEXT) return true;
	const char *class_name = json_string_value(json_object_get(config, "tokenizer_class"));
	if (class_name && strncmp(class_name, "CLIPTokenizer", 13))
		return fail(
		    e, BAD_FILE, "configuration: 'tokenizer_class' is '%.60s', Sumi reads CLIPTokenizer alone", class_name);
	const char *padding = token_text(json_object_get(special, "pad_token"));
	if (!padding) padding = token_text(json_object_get(config, "pad_token"));
	if (padding && !strcmp(padding, "!"))
		t->padding = 0;
	else if (padding && !strcmp(padding, "<|endoftext|>"))
		t->padding = t->end;
	else if (padding)
		return fail(e, BAD_FILE, "configuration: 'pad_token' is '%.60s', expected <|endoftext|> or !", padding);
	const json_t *length = json_object_get(config, "model_max_length"); /* 1e30 where it was not set */
	if (json_is_integer(length) && json_integer_value(length) >= 3 && json_integer_value(length) <= t->clip.positions)
		t->length = (int)json_integer_value(length);
	return true;
}

static bool read_tokenizers(const diffusers_files *files, family *f, error *e)
{
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		int number = diffusers_number(f, (role)(TEXT_ENCODER + i));
		if (number < TEXT_ENCODERS && !read_tokenizer(files->special[number], files->words[number], &f->text[i], e))
			return false;
	}
	return true;
}

/* ── all of it ── */

static bool same_denoiser(const denoiser_config *a, const denoiser_config *b)
{
	if (a->kind != b->kind) return false;
	if (a->kind == MMDIT) {
		const mmdit_config *x = &a->mmdit, *y = &b->mmdit;
		return x->depth == y->depth && x->width == y->width && x->positions == y->positions &&
		       x->qk_norm == y->qk_norm && x->context == y->context && x->channels == y->channels;
	}
	const unet_config *x = &a->unet, *y = &b->unet;
	return x->in_channels == y->in_channels && x->channels == y->channels && x->context == y->context &&
	       x->guidance == y->guidance && x->levels == y->levels;
}

/* The known family with these networks gives the name and the guidance. */
static void set_name(family *f)
{
	strcpy(f->name, "custom");
	const family *known;
	for (int i = 0; (known = family_at(i)); i++) {
		if (!same_denoiser(&known->denoiser, &f->denoiser) || known->prediction != f->prediction) continue;
		strcpy(f->name, known->name);
		f->guidance = known->guidance;
		return;
	}
	if (f->denoiser.kind == MMDIT)
		f->guidance = family_by_name("sd1", NULL)->guidance; /* as where JSON does not say it */
}

static const char *row_of(const diffusers_files *files)
{
	if (files->transformer) return "sd3-medium";
	const char *added = json_string_value(json_object_get(files->unet, "addition_embed_type"));
	if (!added || strcmp(added, "text_time")) return "sd1";
	return files->text[0] ? "sdxl" : "sdxl-refiner";
}

static bool read_denoiser(const diffusers_files *files, family *f, error *e)
{
	f->denoiser = (denoiser_config){ .kind = files->transformer ? MMDIT : UNET };
	return files->transformer ? read_transformer(files->transformer, &f->denoiser.mmdit, e)
	                          : read_unet(files->unet, &f->denoiser.unet, e);
}

bool family_from_diffusers(const diffusers_files *files, family *f, error *e)
{
	error own = { 0 };
	if (!e) e = &own;
	const json_t *denoiser = files->transformer ? files->transformer : files->unet;
	*f = *family_by_name(row_of(files), e);
	if (!read_denoiser(files, f, e) || (files->vae && !read_vae(files->vae, f, e)) || !read_texts(files, f, e) ||
	    !read_tokenizers(files, f, e) || !conditioning_is_sound(f, e))
		return false;
	if (f->conditioning == ONE_CONTEXT && denoiser_sizes_of(&f->denoiser).context && f->text[0].kind == NO_TEXT)
		return fail(e, BAD_FILE, "no text_encoder/config.json, and the denoiser reads a prompt");
	if (files->scheduler && !read_scheduler(files->scheduler, f, e)) return false;
	int sides[2] = { 64, 64 };
	json_list(denoiser, "sample_size", sides, 2, e); /* one number, or height and width */
	int side = sides[0];
	if (side < 1 || side > 4096) return fail(e, BAD_FILE, "configuration: 'sample_size' is %d", side);
	f->size = side * vae_factor(&f->autoencoder);
	set_name(f);
	return !failed(e);
}

void diffusers_files_free(diffusers_files *files)
{
	json_t **json;
	for (int i = 0; diffusers_file_at(files, i, &json); i++) json_decref(*json);
	*files = (diffusers_files){ 0 };
}

const char *diffusers_file_at(diffusers_files *y, int i, json_t ***json)
{
	const struct {
		const char *name;
		json_t **json;
	} all[] = {
		{ "unet/config.json", &y->unet },
		{ "transformer/config.json", &y->transformer },
		{ "vae/config.json", &y->vae },
		{ "text_encoder/config.json", &y->text[0] },
		{ "text_encoder_2/config.json", &y->text[1] },
		{ "text_encoder_3/config.json", &y->text[2] },
		{ "scheduler/scheduler_config.json", &y->scheduler },
		{ "tokenizer/special_tokens_map.json", &y->special[0] },
		{ "tokenizer/tokenizer_config.json", &y->words[0] },
		{ "tokenizer_2/special_tokens_map.json", &y->special[1] },
		{ "tokenizer_2/tokenizer_config.json", &y->words[1] },
		{ "tokenizer_3/special_tokens_map.json", &y->special[2] },
		{ "tokenizer_3/tokenizer_config.json", &y->words[2] },
	};
	if (i < 0 || (size_t)i >= sizeof all / sizeof *all) return NULL;
	*json = all[i].json;
	return all[i].name;
}
