/* diffusers_config.c - a family from the configurations in a diffusers folder. */
#include "models/config.h"
#include "models/diffusers.h"
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

static bool read_unet(const json_t *j, unet_config *c, error *e)
{
	int channels, multiplier[UNET_LEVELS], levels = multiples(j, &channels, multiplier, UNET_LEVELS, e);
	if (!levels || !expect_text(j, "act_fn", "silu", e)) return false;
	json_t *out = json_object();
	json_object_set_new(out, "model_channels", json_integer(channels));
	json_object_set_new(out, "channel_mult", json_list_of(multiplier, levels));
	json_object_set_new(out, "attention_resolutions", attention_factors(j));
	json_object_set_new(out, "legacy", json_false());
	take(out, "in_channels", j, "in_channels");
	take(out, "out_channels", j, "out_channels");
	take(out, "num_res_blocks", j, "layers_per_block");
	take(out, "transformer_depth", j, "transformer_layers_per_block");
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
	if (!levels || !expect_text(j, "act_fn", "silu", e)) return false;
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
	f->prediction = PREDICT_NOISE; /* where the file does not say */
	return noise_from_json(j, &f->betas, &f->prediction, e) &&
	       ((f->betas.count >= 2 && f->betas.count <= 100000) ||
	           fail(e, BAD_FILE, "configuration: 'num_train_timesteps' is %d, expected 2 to 100000", f->betas.count));
}

/* The known family with these networks gives the name. */
static void set_name(family *f)
{
	strcpy(f->name, "custom");
	const family *known;
	for (int i = 0; (known = family_at(i)); i++) {
		const unet_config *a = &known->denoiser.unet, *b = &f->denoiser.unet;
		if (a->in_channels != b->in_channels || a->channels != b->channels || a->context != b->context ||
		    a->guidance != b->guidance || a->levels != b->levels || known->prediction != f->prediction)
			continue;
		strcpy(f->name, known->name);
		return;
	}
}

bool family_from_diffusers(
    const json_t *unet, const json_t *vae, const json_t *text, const json_t *scheduler, family *f, error *e)
{
	error own = { 0 };
	if (!e) e = &own;
	*f = *family_by_name("sd1", e);
	if (!read_unet(unet, &f->denoiser.unet, e) || !read_vae(vae, f, e)) return false;
	text_config *t = &f->text[0];
	t->kind = NO_TEXT;
	if (text) {
		if (!text_config_from_json(text, t, e)) return false;
		/* SD 2's encoder, without the blocks that it skips */
		if (t->kind == CLIP_TEXT && t->clip.activation == GELU) t->padding = 0;
	}
	if (scheduler && !read_scheduler(scheduler, f, e)) return false;
	int side = json_int(unet, "sample_size", 64, e);
	if (side < 1 || side > 4096) return fail(e, BAD_FILE, "configuration: 'sample_size' is %d", side);
	f->size = side * vae_factor(&f->autoencoder);
	set_name(f);
	return !failed(e);
}

static const char *token_text(const json_t *token)
{
	return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

bool family_from_tokenizer(const json_t *special, const json_t *config, family *f, error *e)
{
	error own = { 0 };
	if (!e) e = &own;
	text_config *t = &f->text[0];
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
