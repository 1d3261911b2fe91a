/* families.c - the table of families, and what follows from a row of it. */
#include "models/families.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ── the networks that families share ── */
#define SD_UNET                                                                                               \
	.out_channels = 4, .channels = 320, .levels = 4, .multiplier = { 1, 2, 4, 4 }, .blocks = { 2, 2, 2, 2 },  \
	.attends = { true, true, true }, .depth = { 1, 1, 1, 1 }, .middle_depth = 1, .spatial_transformer = true, \
	.groups = 32
#define SD1_UNET SD_UNET, .heads = 8, .context = 768
#define SD2_UNET SD_UNET, .head_width = 64, .linear_projection = true, .context = 1024

/* Autoencoders of this kind and size. */
#define KL(...)                                                                                                       \
	{                                                                                                                 \
		.in_channels = 3, .out_channels = 3, .channels = 128, .levels = 4, .multiplier = { 1, 2, 4, 4 }, .blocks = 2, \
		.groups = 32, __VA_ARGS__                                                                                     \
	}
#define KL_F8 KL(.z_channels = 4, .latent_channels = 4, .quant = true)
#define KL_16 KL(.z_channels = 16, .latent_channels = 16)

/* CLIP's tokens, which ids and what padding; then its network. */
#define CLIP_TOKENS(ids, pad) \
	.kind = CLIP_TEXT, .tokenizer = ids, .length = 77, .begin = 49406, .end = 49407, .padding = pad
#define CLIP_SIZES(channels, blocks, count, act)                                                                      \
	.vocabulary = 49408, .positions = 77, .width = channels, .layers = blocks, .heads = count, .inner = 4 * channels, \
	.activation = act, .epsilon = 1e-5f
#define CLIP_L_SIZES CLIP_SIZES(768, 12, 12, GELU_QUICK)
#define CLIP_H_SIZES CLIP_SIZES(1024, 24, 16, GELU), .projection = 1024
#define CLIP_BIG_G_SIZES CLIP_SIZES(1280, 32, 20, GELU), .projection = 1280

#define CLIP_L                                                                 \
	{                                                                          \
		CLIP_TOKENS(CLIP, 49407), .final_norm = true, .clip = { CLIP_L_SIZES } \
	}
#define OPEN_CLIP_H                                                                                      \
	{                                                                                                    \
		CLIP_TOKENS(OPENCLIP, 0), .skip = 1, .final_norm = true, .clip = { CLIP_H_SIZES, .fused = true } \
	}
/* The encoders of SDXL and of Stable Diffusion 3 give the state before the last block, without the final norm. */
#define SDXL_CLIP_L                                                   \
	{                                                                 \
		CLIP_TOKENS(CLIP, 49407), .skip = 1, .clip = { CLIP_L_SIZES } \
	}
#define OPEN_CLIP_BIG_G                                                                                  \
	{                                                                                                    \
		CLIP_TOKENS(OPENCLIP, 0), .skip = 1, .pooled = true, .clip = { CLIP_BIG_G_SIZES, .fused = true } \
	}
#define SD3_CLIP_L                                                                                       \
	{                                                                                                    \
		CLIP_TOKENS(CLIP, 49407), .skip = 1, .pooled = true, .clip = { CLIP_L_SIZES, .projection = 768 } \
	}
#define SD3_CLIP_G                                                                        \
	{                                                                                     \
		CLIP_TOKENS(OPENCLIP, 0), .skip = 1, .pooled = true, .clip = { CLIP_BIG_G_SIZES } \
	}
#define LDM_BERT                                                                                                \
	{                                                                                                           \
		.kind = TRANSFORMER_TEXT, .tokenizer = WORDPIECE, .length = 77, .begin = 101, .end = 102, .padding = 0, \
		.transformer = {                                                                                        \
			.vocabulary = 30522,                                                                                \
			.positions = 77,                                                                                    \
			.width = 1280,                                                                                      \
			.layers = 32,                                                                                       \
			.heads = 8,                                                                                         \
			.head_width = 64,                                                                                   \
			.widening = 4,                                                                                      \
			.epsilon = 1e-5f,                                                                                   \
			.start = 0.02f,                                                                                     \
			.logits = true                                                                                      \
		}                                                                                                       \
	}

#define SDXL_SIZES                                                                                              \
	.out_channels = 4, .channels = 320, .levels = 3, .multiplier = { 1, 2, 4 }, .blocks = { 2, 2, 2 },          \
	.attends = { false, true, true }, .spatial_transformer = true, .head_width = 64, .linear_projection = true, \
	.context = 2048, .vector = 2816, .groups = 32
#define SDXL_UNET SDXL_SIZES, .depth = { 1, 2, 10 }, .middle_depth = 10
/* Segmind's distillations: fewer transformers, and a middle of one residual block. */
#define SSD_1B_UNET                                                                                            \
	SDXL_SIZES, .in_channels = 4, .depth = { 1, 2, 4 }, .depth_up = { [1] = { 0, 1, 1 }, [2] = { 0, 0, 10 } }, \
	            .middle = MIDDLE_RESIDUAL
#define VEGA_UNET SDXL_SIZES, .in_channels = 4, .depth = { 1, 1, 2 }, .middle = MIDDLE_RESIDUAL
#define SMALL_SD                                                                                                     \
	.in_channels = 4, .out_channels = 4, .channels = 320, .blocks = { 1, 1, 1, 1 }, .attends = { true, true, true }, \
	.depth = { 1, 1, 1, 1 }, .spatial_transformer = true, .groups = 32, .heads = 8, .context = 768

#define REFINER_UNET                                                                                               \
	.in_channels = 4, .out_channels = 4, .channels = 384, .levels = 4, .multiplier = { 1, 2, 4, 4 },               \
	.blocks = { 2, 2, 2, 2 }, .attends = { false, true, true, false }, .depth = { 4, 4, 4, 4 }, .middle_depth = 4, \
	.spatial_transformer = true, .head_width = 64, .linear_projection = true, .context = 1280, .vector = 2560,     \
	.groups = 32

#define T5_XXL                                                                                             \
	{                                                                                                      \
		.kind = T5_TEXT, .tokenizer = T5, .length = 77, .begin = NO_TOKEN, .end = 1, .padding = 0, .t5 = { \
			.vocabulary = 32128,                                                                           \
			.width = 4096,                                                                                 \
			.layers = 24,                                                                                  \
			.inner = 10240,                                                                                \
			.heads = 64,                                                                                   \
			.head_width = 64,                                                                              \
			.buckets = 32,                                                                                 \
			.distance = 128,                                                                               \
			.epsilon = 1e-6f                                                                               \
		}                                                                                                  \
	}

/* The model that ships with Sumi: most of its parameters work on maps of 8×8 and 4×4. The vocabulary is as large as
 * its training's captions made it; a file holds its own. */
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
#define EMOJI_TEXT                                                                                          \
	{                                                                                                       \
		.kind = TRANSFORMER_TEXT, .tokenizer = WORDPIECE, .length = 24, .begin = 2, .end = 3, .padding = 0, \
		.transformer = {                                                                                    \
			.vocabulary = 2000,                                                                             \
			.positions = 24,                                                                                \
			.width = 192,                                                                                   \
			.layers = 3,                                                                                    \
			.heads = 4,                                                                                     \
			.head_width = 48,                                                                               \
			.widening = 4,                                                                                  \
			.epsilon = 1e-5f,                                                                               \
			.start = 1                                                                                      \
		}                                                                                                   \
	}

#define PREFIXES(...) \
	.prefix = { [DENOISER] = "model.diffusion_model", [AUTOENCODER] = "first_stage_model", __VA_ARGS__ }
#define BETAS .betas = { SCALED_LINEAR_BETAS, 0.00085, 0.012, 1000, false }
#define TRAINED_FOR(what, pixels, strength) \
	BETAS, .prediction = what, .latent_scale = 0.18215f, .guidance = strength, .size = pixels
#define TRAINED(what, pixels) TRAINED_FOR(what, pixels, 7)
#define HUGGING_FACE [TEXT_ENCODER] = "cond_stage_model.transformer"
#define OPEN_CLIP [TEXT_ENCODER] = "cond_stage_model.model"
#define SD1(what, ...) SD1_OF(what, SD1_UNET, __VA_ARGS__)
#define SD1_OF(what, ...)                                                                                             \
	.name = what, .denoiser.unet = { __VA_ARGS__ }, .autoencoder = KL_F8, .text = { CLIP_L }, PREFIXES(HUGGING_FACE), \
	TRAINED(PREDICT_NOISE, 512)
#define SD2(what, channels)                                                                     \
	.name = what, .denoiser.unet = { SD2_UNET, .in_channels = channels }, .autoencoder = KL_F8, \
	.text = { OPEN_CLIP_H }, PREFIXES(OPEN_CLIP)

#define SDXL_NOISE                                                                             \
	BETAS, .prediction = PREDICT_NOISE, .guidance = 7, .latent_scale = 0.13025f, .size = 1024, \
	       .conditioning = SIDE_BY_SIDE, .autoencoder = KL_F8
#define SDXL(what, ...) SDXL_OF(what, SDXL_UNET, __VA_ARGS__)
#define SDXL_OF(what, ...)                                                                                \
	.name = what, .denoiser.unet = { __VA_ARGS__ }, SDXL_NOISE, .text = { SDXL_CLIP_L, OPEN_CLIP_BIG_G }, \
	PREFIXES([TEXT_ENCODER] = "conditioner.embedders.0.transformer",                                      \
	    [TEXT_ENCODER + 1] = "conditioner.embedders.1.model")

#define SD3(what, blocks, table, apart, strength, ...)                                                    \
	.name = what,                                                                                         \
	.denoiser = { .kind = MMDIT,                                                                          \
		.mmdit = { .channels = 16,                                                                        \
		    .patch = 2,                                                                                   \
		    .depth = blocks,                                                                              \
		    .width = 64 * blocks,                                                                         \
		    .heads = blocks,                                                                              \
		    .positions = table,                                                                           \
		    .spacing = 1.0f / (apart),                                                                    \
		    .context = 4096,                                                                              \
		    .vector = 2048,                                                                               \
		    __VA_ARGS__ } },                                                                              \
	.autoencoder = KL_16, .text = { SD3_CLIP_L, SD3_CLIP_G, T5_XXL },                                     \
	PREFIXES([TEXT_ENCODER] = "text_encoders.clip_l.transformer",                                         \
	    [TEXT_ENCODER + 1] = "text_encoders.clip_g.transformer",                                          \
	    [TEXT_ENCODER + 2] = "text_encoders.t5xxl.transformer"),                                          \
	.conditioning = STACKED, .prediction = PREDICT_FLOW, BETAS, .flow_shift = 3, .latent_scale = 1.5305f, \
	.latent_shift = 0.0609f, .guidance = strength, .size = 1024
#define FIRST_13 .twice = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }

static const family families[] = {
	{ SD1("sd1", .in_channels = 4) },
	{ SD1("sd1-inpainting", .in_channels = 9) },
	{ SD1("sd1-lcm", .in_channels = 4, .guidance = 256) },
	{ SD1_OF("small-sd", SMALL_SD, .levels = 4, .multiplier = { 1, 2, 4, 4 }, .middle_depth = 1) },
	{ SD1_OF("tiny-sd", SMALL_SD, .levels = 3, .multiplier = { 1, 2, 4 }, .middle = NO_MIDDLE) },
	{ SD2("sd2.1", 4), TRAINED(PREDICT_VELOCITY, 768) },
	{ SD2("sd2.1-base", 4), TRAINED(PREDICT_NOISE, 512) },
	{ SD2("sd2-inpainting", 9), TRAINED(PREDICT_NOISE, 512) },
	{ .name = "ldm-txt2img",
	    .denoiser.unet = { SD_UNET, .in_channels = 4, .heads = 8, .context = 1280 },
	    .autoencoder = KL_F8,
	    .text = { LDM_BERT },
	    PREFIXES(HUGGING_FACE),
	    TRAINED(PREDICT_NOISE, 256) },
	{ SDXL("sdxl", .in_channels = 4) },
	{ SDXL("sdxl-inpainting", .in_channels = 9) },
	{ SDXL("sdxl-lcm", .in_channels = 4, .guidance = 256) },
	{ SDXL_OF("ssd-1b", SSD_1B_UNET) },
	{ SDXL_OF("segmind-vega", VEGA_UNET) },
	{ .name = "sdxl-refiner",
	    .denoiser.unet = { REFINER_UNET },
	    .text = { OPEN_CLIP_BIG_G },
	    PREFIXES([TEXT_ENCODER] = "conditioner.embedders.0.model"),
	    SDXL_NOISE },
	{ SD3("sd3-medium", 24, 192, 3, 5, .qk_norm = false) },
	{ SD3("sd3.5-medium", 24, 384, 6, 4.5f, .qk_norm = true, FIRST_13) },
	{ SD3("sd3.5-large", 38, 192, 3, 4.5f, .qk_norm = true) },
	{ .name = "emoji",
	    .denoiser.unet = EMOJI_UNET,
	    .autoencoder = EMOJI_VAE,
	    .text = { EMOJI_TEXT },
	    PREFIXES(HUGGING_FACE),
	    TRAINED_FOR(PREDICT_FLOW, 128, 3.5f) },
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
	{ "sdxl-base", "sdxl" },
	{ "sdxl-turbo", "sdxl" },
	{ "sdxl-lightning", "sdxl" },
	{ "sd3", "sd3-medium" },
	{ "sd3.5-large-turbo", "sd3.5-large" },
};

const family *family_at(int i) { return i >= 0 && i < FAMILIES ? &families[i] : NULL; }

const family *family_by_name(const char *name, error *e)
{
	for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
		if (!strcasecmp(name, aliases[i][0])) name = aliases[i][1];
	char list[FAMILIES * (NAME_LENGTH + 2)] = "";
	for (int i = 0; i < FAMILIES; i++) {
		if (!strcasecmp(name, families[i].name)) return &families[i];
		if (i) strcat(list, ", ");
		strcat(list, families[i].name);
	}
	fail(e, BAD_USAGE, "no model family '%s': known are %s", name, list);
	return NULL;
}

const char *family_kohya_name(const family *f)
{
	static const char *const known[][2] = {
		{ "sd1", "sd_v1" },
		{ "sd1-inpainting", "sd_v1" },
		{ "sd1-lcm", "sd_v1" },
		{ "small-sd", "sd_v1" },
		{ "tiny-sd", "sd_v1" },
		{ "sd2.1", "sd_v2" },
		{ "sd2.1-base", "sd_v2" },
		{ "sd2-inpainting", "sd_v2" },
		{ "sdxl", "sdxl_base_v1-0" },
		{ "sdxl-inpainting", "sdxl_base_v1-0" },
		{ "sdxl-lcm", "sdxl_base_v1-0" },
		{ "ssd-1b", "sdxl_base_v1-0" },
		{ "segmind-vega", "sdxl_base_v1-0" },
		{ "sdxl-refiner", "sdxl_refiner_v1-0" },
		{ "sd3-medium", "sd3_m" },
		{ "sd3.5-medium", "sd3.5-medium" },
		{ "sd3.5-large", "sd3.5-large" },
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(f->name, known[i][0])) return known[i][1];
	return f->name;
}

const char *role_name(role r)
{
	static const char *const names[ROLES] = { "denoiser", "autoencoder", "text encoder", "second text encoder",
		"third text encoder", "tiny autoencoder", "control network" };
	return names[r];
}

bool family_has(const family *f, role r)
{
	if (r == DENOISER || r == AUTOENCODER) return true;
	return r >= TEXT_ENCODER && r < FAMILY_ROLES && f->text[r - TEXT_ENCODER].kind != NO_TEXT;
}

const char *family_text_option(const family *f, int i)
{
	const text_config *t = &f->text[i];
	if (t->kind == T5_TEXT) return "t5xxl";
	if (t->kind != CLIP_TEXT) return NULL;
	return t->clip.activation == GELU_QUICK ? "clip_l" : "clip_g";
}

bool family_apart(const family *f, role r) { return f->conditioning == STACKED && r >= TEXT_ENCODER; }

role family_role_of(const family *f, const char *key)
{
	role found = ROLES;
	size_t longest = 0;
	for (role r = 0; r < FAMILY_ROLES; r++) {
		size_t n = strlen(f->prefix[r]);
		if (!family_has(f, r) || strncmp(key, f->prefix[r], n) || (n && key[n] != '.')) continue;
		if (found != ROLES && n <= longest) continue;
		found = r;
		longest = n;
	}
	return found;
}

const char *family_name_within(const family *f, role r, const char *key)
{
	size_t n = strlen(f->prefix[r]);
	return key + n + (n > 0);
}

int family_context_width(const family *f)
{
	switch (f->conditioning) {
	case ONE_CONTEXT: return text_width(&f->text[0]);
	case SIDE_BY_SIDE: return text_width(&f->text[0]) + text_width(&f->text[1]) + text_width(&f->text[2]);
	case STACKED: return denoiser_sizes_of(&f->denoiser).context;
	}
	return 0;
}

static const text_config *last_text(const family *f)
{
	int i = TEXT_ENCODERS - 1;
	while (i > 0 && f->text[i].kind == NO_TEXT) i--;
	return &f->text[i];
}

int family_size_numbers(const family *f)
{
	if (f->conditioning != SIDE_BY_SIDE) return 0;
	return (denoiser_sizes_of(&f->denoiser).vector - text_pooled_width(last_text(f))) / SIZE_SINUSOIDS;
}

int family_vector_width(const family *f)
{
	switch (f->conditioning) {
	case ONE_CONTEXT: return 0;
	case SIDE_BY_SIDE: return text_pooled_width(last_text(f)) + family_size_numbers(f) * SIZE_SINUSOIDS;
	case STACKED: return text_pooled_width(&f->text[0]) + text_pooled_width(&f->text[1]);
	}
	return 0;
}

/* ── keys ── */
bool family_ignores(const family *f, const char *key)
{
	static const char *const buffers[] = { "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
		"sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
		"sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1",
		"posterior_mean_coef2", "lvlb_weights", "logvar", "scale_factor", "denoiser.sigmas", "v_pred", "ztsnr" };
	for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
		if (!strcmp(key, buffers[i])) return true;
	if (!strncmp(key, "model_ema.", 10)) return true;
	role r = family_role_of(f, key);
	if (r == ROLES) return false;
	const char *name = family_name_within(f, r, key);
	if (r == AUTOENCODER) return !strncmp(name, "loss.", 5);
	return r >= TEXT_ENCODER &&
	       (!strcmp(name, "attn_mask") || strstr(name, "position_ids") || !strcmp(name, "spiece_model"));
}
