/* families.c - the table of families, and recognition. */
#include "models/families.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── the networks that families share ── */
#define SD_UNET                                                                                               \
	.out_channels = 4, .channels = 320, .levels = 4, .multiplier = { 1, 2, 4, 4 }, .blocks = { 2, 2, 2, 2 },  \
	.attends = { true, true, true }, .depth = { 1, 1, 1, 1 }, .middle_depth = 1, .spatial_transformer = true, \
	.groups = 32
#define SD1_UNET SD_UNET, .heads = 8, .context = 768
#define SD2_UNET SD_UNET, .head_width = 64, .linear_projection = true, .context = 1024

#define KL_F8                                                                                                         \
	{                                                                                                                 \
		.in_channels = 3, .out_channels = 3, .channels = 128, .levels = 4, .multiplier = { 1, 2, 4, 4 }, .blocks = 2, \
		.z_channels = 4, .latent_channels = 4, .quant = true, .groups = 32                                            \
	}

#define CLIP_L                                                                                                \
	{                                                                                                         \
		.kind = CLIP_TEXT, .tokenizer = "clip", .length = 77, .begin = 49406, .end = 49407, .padding = 49407, \
		.clip = {                                                                                             \
			.vocabulary = 49408,                                                                              \
			.positions = 77,                                                                                  \
			.width = 768,                                                                                     \
			.layers = 12,                                                                                     \
			.heads = 12,                                                                                      \
			.inner = 3072,                                                                                    \
			.activation = GELU_QUICK,                                                                         \
			.epsilon = 1e-5f                                                                                  \
		}                                                                                                     \
	}
#define OPEN_CLIP_H                                                                                                  \
	{                                                                                                                \
		.kind = CLIP_TEXT, .tokenizer = "clip", .length = 77, .begin = 49406, .end = 49407, .padding = 0, .skip = 1, \
		.clip = {                                                                                                    \
			.fused = true,                                                                                           \
			.vocabulary = 49408,                                                                                     \
			.positions = 77,                                                                                         \
			.width = 1024,                                                                                           \
			.layers = 24,                                                                                            \
			.heads = 16,                                                                                             \
			.inner = 4096,                                                                                           \
			.activation = GELU,                                                                                      \
			.epsilon = 1e-5f,                                                                                        \
			.projection = 1024                                                                                       \
		}                                                                                                            \
	}
#define LDM_BERT                                                                                                  \
	{                                                                                                             \
		.kind = TRANSFORMER_TEXT, .tokenizer = "wordpiece", .length = 77, .begin = 101, .end = 102, .padding = 0, \
		.transformer = {                                                                                          \
			.vocabulary = 30522,                                                                                  \
			.positions = 77,                                                                                      \
			.width = 1280,                                                                                        \
			.layers = 32,                                                                                         \
			.heads = 8,                                                                                           \
			.head_width = 64,                                                                                     \
			.widening = 4,                                                                                        \
			.epsilon = 1e-5f,                                                                                     \
			.start = 0.02f,                                                                                       \
			.logits = true                                                                                        \
		}                                                                                                         \
	}

/* The model that ships with Sumi: most of its parameters work on maps of 8×8 and 4×4. The vocabulary is as large as
 * its training's captions made it; a file tells its own. */
#define EMOJI_UNET                                                                                                  \
	{                                                                                                               \
		.in_channels = 4, .out_channels = 4, .channels = 64, .levels = 3, .multiplier = { 1, 2, 3 },                \
		.blocks = { 2, 1, 1 }, .attends = { false, true, true }, .depth = { 1, 1, 1 }, .spatial_transformer = true, \
		.linear_projection = true, .head_width = 32, .context = 192, .scale_shift = true, .pooled_context = true,   \
		.groups = 8                                                                                                 \
	}
#define EMOJI_VAE                                                                                                    \
	{                                                                                                                \
		.in_channels = 3, .out_channels = 3, .channels = 32, .levels = 4, .multiplier = { 1, 1, 2, 4 }, .blocks = 1, \
		.z_channels = 4, .latent_channels = 4, .quant = true, .groups = 8                                            \
	}
#define EMOJI_TEXT                                                                                            \
	{                                                                                                         \
		.kind = TRANSFORMER_TEXT, .tokenizer = "wordpiece", .length = 24, .begin = 2, .end = 3, .padding = 0, \
		.transformer = {                                                                                      \
			.vocabulary = 2000,                                                                               \
			.positions = 24,                                                                                  \
			.width = 192,                                                                                     \
			.layers = 3,                                                                                      \
			.heads = 4,                                                                                       \
			.head_width = 48,                                                                                 \
			.widening = 4,                                                                                    \
			.epsilon = 1e-5f,                                                                                 \
			.start = 1                                                                                        \
		}                                                                                                     \
	}

#define PREFIXES(text) .unet_prefix = "model.diffusion_model", .vae_prefix = "first_stage_model", .text_prefix = text
#define TRAINED_FOR(what, pixels, strength)                                                                            \
	.beta_schedule = "scaled_linear", .beta_start = 0.00085, .beta_end = 0.012, .timesteps = 1000, .prediction = what, \
	.latent_scale = 0.18215f, .guidance = strength, .size = pixels
#define TRAINED(what, pixels) TRAINED_FOR(what, pixels, 7)
#define HUGGING_FACE "cond_stage_model.transformer"
#define OPEN_CLIP "cond_stage_model.model"

static const family families[] = {
	{ .name = "sd1",
	    .unet = { SD1_UNET, .in_channels = 4 },
	    .vae = KL_F8,
	    .text = CLIP_L,
	    PREFIXES(HUGGING_FACE),
	    TRAINED("epsilon", 512) },
	{ .name = "sd1-inpainting",
	    .unet = { SD1_UNET, .in_channels = 9 },
	    .vae = KL_F8,
	    .text = CLIP_L,
	    PREFIXES(HUGGING_FACE),
	    TRAINED("epsilon", 512) },
	{ .name = "sd1-lcm",
	    .unet = { SD1_UNET, .in_channels = 4, .guidance = 256 },
	    .vae = KL_F8,
	    .text = CLIP_L,
	    PREFIXES(HUGGING_FACE),
	    TRAINED("epsilon", 512) },
	{ .name = "sd2.1",
	    .unet = { SD2_UNET, .in_channels = 4 },
	    .vae = KL_F8,
	    .text = OPEN_CLIP_H,
	    PREFIXES(OPEN_CLIP),
	    TRAINED("v_prediction", 768) },
	{ .name = "sd2.1-base",
	    .unet = { SD2_UNET, .in_channels = 4 },
	    .vae = KL_F8,
	    .text = OPEN_CLIP_H,
	    PREFIXES(OPEN_CLIP),
	    TRAINED("epsilon", 512) },
	{ .name = "sd2-inpainting",
	    .unet = { SD2_UNET, .in_channels = 9 },
	    .vae = KL_F8,
	    .text = OPEN_CLIP_H,
	    PREFIXES(OPEN_CLIP),
	    TRAINED("epsilon", 512) },
	{ .name = "ldm-txt2img",
	    .unet = { SD_UNET, .in_channels = 4, .heads = 8, .context = 1280 },
	    .vae = KL_F8,
	    .text = LDM_BERT,
	    PREFIXES(HUGGING_FACE),
	    TRAINED("epsilon", 256) },
	{ .name = "emoji",
	    .unet = EMOJI_UNET,
	    .vae = EMOJI_VAE,
	    .text = EMOJI_TEXT,
	    PREFIXES(HUGGING_FACE),
	    TRAINED_FOR("flow", 128, 3.5f) },
};
enum { FAMILIES = sizeof families / sizeof *families };

/* Other names of the same data. */
static const char *const aliases[][2] = {
	{ "sd1.4", "sd1" },
	{ "sd1.5", "sd1" },
	{ "lcm", "sd1-lcm" },
	{ "sd2", "sd2.1" },
	{ "sd2.0", "sd2.1" },
	{ "sd2.0-base", "sd2.1-base" },
	{ "sd-turbo", "sd2.1-base" },
	{ "ldm", "ldm-txt2img" },
};

const family *family_at(int i) { return i >= 0 && i < FAMILIES ? &families[i] : NULL; }

const family *family_by_name(const char *name, error *e)
{
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		if (!strcmp(name, aliases[i][0])) name = aliases[i][1];
	char list[FAMILIES * (NAME_LENGTH + 2)] = "";
	for (int i = 0; i < FAMILIES; i++) {
		if (!strcmp(name, families[i].name)) return &families[i];
		if (i) strcat(list, ", ");
		strcat(list, families[i].name);
	}
	fail(e, BAD_USAGE, "no model family '%s': known are %s", name, list);
	return NULL;
}

/* ── recognition ── */
static bool find_shape(tensor_lookup *lookup, void *context, const char *prefix, const char *name, shape *s)
{
	char key[256];
	dtype d;
	snprintf(key, sizeof key, "%s.%s", prefix, name);
	return lookup(context, key, &d, s, NULL);
}

static bool has(tensor_lookup *lookup, void *context, shape expected, const char *prefix, const char *name)
{
	shape s;
	return find_shape(lookup, context, prefix, name, &s) && shape_same(s, expected);
}

static bool text_matches(const family *f, tensor_lookup *lookup, void *context)
{
	const text_config *t = &f->text;
	if (t->kind == TRANSFORMER_TEXT)
		return has(lookup, context, shape2(t->transformer.vocabulary, t->transformer.width), f->text_prefix,
		    "token_emb.weight");
	const char *name = t->clip.fused ? "token_embedding.weight" : "text_model.embeddings.token_embedding.weight";
	return has(lookup, context, shape2(t->clip.vocabulary, t->clip.width), f->text_prefix, name);
}

static bool matches(const family *f, tensor_lookup *lookup, void *context)
{
	const unet_config *u = &f->unet;
	int level = 0, block = 1; /* where the U-Net attends first */
	while (!u->attends[level]) block += u->blocks[level++] + 1;
	char keys[2][96];
	snprintf(keys[0], sizeof keys[0], "input_blocks.%d.1.transformer_blocks.0.attn2.to_k.weight", block);
	snprintf(keys[1], sizeof keys[1], "input_blocks.%d.1.proj_in.weight", block);
	int width = u->channels * u->multiplier[level];
	shape guidance;
	bool guided = find_shape(lookup, context, f->unet_prefix, "time_embed.cond_proj.weight", &guidance);
	if (guided ? !shape_same(guidance, shape2(u->channels, u->guidance)) : u->guidance) return false;
	shape projection = { u->linear_projection ? 2 : 4, { width, width, 1, 1 } };
	return has(lookup, context, shape4(u->channels, u->in_channels, 3, 3), f->unet_prefix, "input_blocks.0.0.weight") &&
	       has(lookup, context, shape2(width, u->context), f->unet_prefix, keys[0]) &&
	       has(lookup, context, projection, f->unet_prefix, keys[1]) && text_matches(f, lookup, context);
}

/* Standard deviation of the bias by which SD 2 models that predict velocity are told: 0 where there is no such key. */
static double spread_of_bias(const family *f, tensor_lookup *lookup, void *context)
{
	char key[256];
	snprintf(key, sizeof key, "%s.output_blocks.11.1.transformer_blocks.0.norm1.bias", f->unet_prefix);
	dtype d;
	shape s;
	const void *data = NULL;
	if (!lookup(context, key, &d, &s, &data) || !data || !dtype_is_float(d)) return 0;
	size_t n = shape_count(s);
	float *values = malloc(n * sizeof *values);
	if (!values || !n) return free(values), 0;
	convert(values, F32, data, d, n);
	double sum = 0, squares = 0;
	for (size_t i = 0; i < n; i++) sum += values[i], squares += (double)values[i] * values[i];
	free(values);
	double mean = sum / (double)n;
	return sqrt(fmax(0, squares / (double)n - mean * mean));
}

const family *family_recognise(tensor_lookup *lookup, void *context, error *e)
{
	const family *found = NULL;
	for (int i = 0; i < FAMILIES; i++) {
		const family *f = &families[i];
		if (!matches(f, lookup, context)) continue;
		bool velocity = !strcmp(f->prediction, "v_prediction");
		if (!velocity || spread_of_bias(f, lookup, context) > 0.09) return f;
		if (!found) found = f; /* unless there is one of the same shapes that predicts noise */
	}
	if (!found) fail(e, BAD_FILE, "not a model that Sumi knows: no family's U-Net and text encoder are in it");
	return found;
}

bool family_ignores(const family *f, const char *key)
{
	static const char *const buffers[] = { "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
		"sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
		"sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1",
		"posterior_mean_coef2", "lvlb_weights", "logvar", "scale_factor" };
	for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
		if (!strcmp(key, buffers[i])) return true;
	if (!strncmp(key, "model_ema.", 10)) return true;
	size_t n = strlen(f->vae_prefix);
	if (!strncmp(key, f->vae_prefix, n) && !strncmp(key + n, ".loss.", 6)) return true;
	n = strlen(f->text_prefix);
	return !strncmp(key, f->text_prefix, n) && (!strcmp(key + n, ".attn_mask") || strstr(key + n, ".position_ids"));
}
