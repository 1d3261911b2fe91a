/* config.c - configurations of networks from JSON. */
#include "models/config.h"
#include <string.h>

/* ── fields ── */
static const json_t *field(const json_t *j, const char *key)
{
	const json_t *v = json_object_get(j, key);
	return json_is_null(v) ? NULL : v;
}

/* Numbers above this are no size of anything and would overflow what is computed from them. */
enum { LARGEST = 1 << 24 };

static int to_int(const json_t *v, const char *key, error *e)
{
	if (!json_is_integer(v) || json_integer_value(v) > LARGEST || json_integer_value(v) < -LARGEST) {
		fail(e, BAD_FILE, "configuration: '%s' is not a whole number within ±%d", key, LARGEST);
		return 0;
	}
	return (int)json_integer_value(v);
}

int json_int(const json_t *j, const char *key, int absent, error *e)
{
	const json_t *v = field(j, key);
	return v ? to_int(v, key, e) : absent;
}

double json_number(const json_t *j, const char *key, double absent, error *e)
{
	const json_t *v = field(j, key);
	if (!v) return absent;
	if (!json_is_number(v)) fail(e, BAD_FILE, "configuration: '%s' is not a number", key);
	return json_number_value(v);
}

bool json_flag(const json_t *j, const char *key, bool absent, error *e)
{
	const json_t *v = field(j, key);
	if (!v) return absent;
	if (!json_is_boolean(v)) fail(e, BAD_FILE, "configuration: '%s' is not true or false", key);
	return json_is_true(v);
}

void json_text(const json_t *j, const char *key, const char *absent, char *to, size_t size, error *e)
{
	const json_t *v = field(j, key);
	const char *s = v ? json_string_value(v) : absent;
	if (!s || strlen(s) >= size) {
		fail(e, BAD_FILE, "configuration: '%s' is not a text of less than %zu bytes", key, size);
		*to = 0;
	} else if (s != to)
		strcpy(to, s);
}

int json_list(const json_t *j, const char *key, int *to, int most, error *e)
{
	const json_t *v = field(j, key);
	if (!v) return 0;
	if (!json_is_array(v)) {
		to[0] = to_int(v, key, e);
		return 1;
	}
	int n = (int)json_array_size(v);
	if (n > most) {
		fail(e, BAD_FILE, "configuration: '%s' has %d numbers, at most %d are possible", key, n, most);
		return 0;
	}
	for (int i = 0; i < n; i++) to[i] = to_int(json_array_get(v, (size_t)i), key, e);
	return n;
}

static bool in_range(const char *key, int value, int low, int high, error *e)
{
	return (value >= low && value <= high) ||
	       fail(e, BAD_FILE, "configuration: '%s' is %d, expected %d to %d", key, value, low, high);
}

static bool unsupported(const json_t *j, const char *key, error *e)
{
	return !json_is_true(json_object_get(j, key)) ||
	       fail(e, BAD_FILE, "configuration: '%s' is true, which Sumi cannot build", key);
}

/* One number for all levels, or one for each. */
static bool spread_list(const char *key, int *list, int given, int levels, int absent, error *e)
{
	if (!given) list[0] = absent;
	if (given > 1 && given != levels)
		return fail(e, BAD_FILE, "configuration: '%s' has %d numbers for %d levels", key, given, levels);
	for (int i = given > 1 ? given : 1; i < levels; i++) list[i] = list[0];
	return true;
}

/* ── the U-Net ── */

/* The depths of a level's blocks: one number for all, or one for each. */
static bool read_level(const char *key, const json_t *v, int *depths, int blocks, error *e)
{
	if (json_is_array(v) && (int)json_array_size(v) != blocks)
		return fail(e, BAD_FILE, "configuration: '%s' has %zu numbers for %d blocks", key, json_array_size(v), blocks);
	for (int i = 0; i < blocks; i++) {
		depths[i] = to_int(json_is_array(v) ? json_array_get(v, (size_t)i) : v, key, e);
		if (failed(e) || !in_range(key, depths[i], json_is_array(v) ? 1 : 0, 64, e)) return false;
	}
	return true;
}

/* A list of the levels, of which some have a list of their own. */
static bool read_levels_of(const json_t *v, const char *key, unet_config *c, bool up, error *e)
{
	if (json_array_size(v) != (size_t)c->levels)
		return fail(e, BAD_FILE, "configuration: '%s' has %zu parts for %d levels", key, json_array_size(v), c->levels);
	for (int level = 0; level < c->levels; level++) {
		int blocks = c->blocks[level] + up;
		int *to = up ? c->depth_up[level] : c->depth_down[level];
		if (blocks > UNET_BLOCKS + up || !read_level(key, json_array_get(v, (size_t)level), to, blocks, e))
			return false;
		if (!up) c->depth[level] = to[0];
	}
	return true;
}

/* "transformer_depth_output": of the blocks on the way up, where they have others; levels from the top. */
static bool read_depths(const json_t *j, unet_config *c, error *e)
{
	const json_t *down = field(j, "transformer_depth"), *up = field(j, "transformer_depth_output");
	bool nested = false;
	for (size_t i = 0; i < json_array_size(down); i++) nested |= json_is_array(json_array_get(down, i));
	if (nested) {
		if (!read_levels_of(down, "transformer_depth", c, false, e)) return false;
	} else {
		int n = json_list(j, "transformer_depth", c->depth, UNET_LEVELS, e);
		if (!spread_list("transformer_depth", c->depth, n, c->levels, 1, e)) return false;
	}
	if (up && !read_levels_of(up, "transformer_depth_output", c, true, e)) return false;
	for (int i = 0; i < c->levels; i++) /* as `depth` says: nothing of their own */
		for (int k = 0; k <= UNET_BLOCKS; k++) {
			if (k < UNET_BLOCKS && c->depth_down[i][k] == c->depth[i]) c->depth_down[i][k] = 0;
			if (c->depth_up[i][k] == c->depth[i]) c->depth_up[i][k] = 0;
		}
	return !failed(e);
}

static bool read_levels(const json_t *j, unet_config *c, error *e)
{
	c->levels = json_list(j, "channel_mult", c->multiplier, UNET_LEVELS, e);
	if (failed(e)) return false;
	if (!c->levels) {
		c->levels = 4;
		memcpy(c->multiplier, (int[]){ 1, 2, 4, 8 }, 4 * sizeof(int));
	}
	int factors[UNET_LEVELS], n = json_list(j, "attention_resolutions", factors, UNET_LEVELS, e);
	for (int level = 0; level < c->levels; level++)
		for (int i = 0; i < n; i++) c->attends[level] |= factors[i] == 1 << level;
	n = json_list(j, "num_res_blocks", c->blocks, UNET_LEVELS, e);
	if (!spread_list("num_res_blocks", c->blocks, n, c->levels, 2, e)) return false;
	if (!read_depths(j, c, e)) return false;
	c->middle_depth = json_int(j, "transformer_depth_middle", c->depth[c->levels - 1], e);
	if (c->middle_depth == -1 || c->middle_depth == -2) {
		c->middle = c->middle_depth == -1 ? MIDDLE_RESIDUAL : NO_MIDDLE;
		c->middle_depth = 0;
	}
	for (int i = 0; i < c->levels; i++)
		if (!in_range("channel_mult", c->multiplier[i], 1, 64, e) ||
		    !in_range("num_res_blocks", c->blocks[i], 1, 16, e) ||
		    !in_range("transformer_depth", c->depth[i], 0, 64, e))
			return false;
	return in_range("transformer_depth_middle", c->middle_depth, 0, 64, e);
}

static bool read_condition(const json_t *j, unet_config *c, error *e)
{
	const json_t *classes = field(j, "num_classes");
	if (classes && (!json_is_string(classes) || strcmp(json_string_value(classes), "sequential")))
		return fail(e, BAD_FILE, "configuration: 'num_classes' is not \"sequential\", the only kind that Sumi builds");
	c->vector = classes ? json_int(j, "adm_in_channels", 0, e) : 0;
	c->pooled_context = json_flag(j, "pooled_context", false, e);
	c->guidance = json_int(j, "time_cond_proj_dim", 0, e);
	c->context = json_int(j, "context_dim", 0, e);
	if (c->vector && c->pooled_context)
		return fail(e, BAD_FILE, "configuration: both 'num_classes' and 'pooled_context', which Sumi cannot build");
	if (c->pooled_context && !c->context)
		return fail(e, BAD_FILE, "configuration: 'pooled_context' without 'context_dim'");
	return in_range("adm_in_channels", c->vector, classes ? 1 : 0, LARGEST, e) &&
	       in_range("time_cond_proj_dim", c->guidance, 0, 65536, e) && c->guidance % 2 == 0 &&
	       in_range("context_dim", c->context, 0, LARGEST, e);
}

static bool read_heads(const json_t *j, unet_config *c, error *e)
{
	c->head_width = json_int(j, "num_head_channels", -1, e);
	if (c->head_width < 0) c->head_width = 0;
	c->heads = c->head_width ? 0 : json_int(j, "num_heads", -1, e);
	/* generative-models dropped the flag: there a context means transformers */
	c->spatial_transformer = json_flag(j, "use_spatial_transformer", c->context > 0, e);
	c->legacy = json_flag(j, "legacy", true, e);
	c->new_order = json_flag(j, "use_new_attention_order", false, e);
	c->linear_projection = json_flag(j, "use_linear_in_transformer", false, e);
	c->scale_shift = json_flag(j, "use_scale_shift_norm", false, e);
	c->groups = json_int(j, "norm_num_groups", 32, e);
	for (int i = 0; i < c->levels; i++) {
		int width = c->channels * c->multiplier[i];
		if (width % c->groups)
			return fail(e, BAD_FILE, "configuration: %d channels do not part into %d groups", width, c->groups);
		if (c->heads ? width % c->heads : c->head_width > width)
			return fail(e, BAD_FILE, "configuration: %d channels do not part into heads", width);
	}
	return c->head_width || in_range("num_heads", c->heads, 1, 1024, e);
}

bool unet_config_from_json(const json_t *j, unet_config *c, error *e)
{
	error own = { 0 };
	if (!e) e = &own;
	*c = (unet_config){ 0 };
	if (!json_is_object(j)) return fail(e, BAD_FILE, "configuration: the U-Net's is not an object");
	if (!unsupported(j, "disable_middle_self_attn", e)) return false;
	bool convolves = json_flag(j, "conv_resample", true, e), blocks = json_flag(j, "resblock_updown", false, e);
	c->resampling = blocks ? BY_RESIDUAL_BLOCK : convolves ? BY_CONVOLUTION : BY_POOLING;
	c->in_channels = json_int(j, "in_channels", 4, e);
	c->out_channels = json_int(j, "out_channels", 4, e);
	c->channels = json_int(j, "model_channels", 0, e);
	if (!in_range("in_channels", c->in_channels, 1, 4096, e) ||
	    !in_range("out_channels", c->out_channels, 1, 4096, e) ||
	    !in_range("model_channels", c->channels, 1, 65536, e) ||
	    !in_range("norm_num_groups", json_int(j, "norm_num_groups", 32, e), 1, 4096, e))
		return false;
	return read_levels(j, c, e) && read_condition(j, c, e) && read_heads(j, c, e) && !failed(e);
}

/* ── the transformer of Stable Diffusion 3 ── */
static bool read_twice(const json_t *j, mmdit_config *c, error *e)
{
	int list[MMDIT_BLOCKS], n = json_list(j, "x_block_self_attn_layers", list, MMDIT_BLOCKS, e);
	for (int i = 0; i < n; i++) {
		if (!in_range("x_block_self_attn_layers", list[i], 0, c->depth - 1, e)) return false;
		c->twice[list[i]] = true;
	}
	return true;
}

bool mmdit_config_from_json(const json_t *j, mmdit_config *c, error *e)
{
	error own = { 0 };
	if (!e) e = &own;
	if (!json_is_object(j)) return fail(e, BAD_FILE, "configuration: the transformer's is not an object");
	*c = (mmdit_config){ .channels = json_int(j, "in_channels", 16, e),
		.patch = json_int(j, "patch_size", 2, e),
		.depth = json_int(j, "depth", 24, e),
		.positions = json_int(j, "pos_embed_max_size", 192, e),
		.spacing = (float)json_number(j, "pos_spacing", 1.0 / 3, e),
		.context = json_int(j, "context_dim", 4096, e),
		.vector = json_int(j, "adm_in_channels", 2048, e) };
	if (!in_range("depth", c->depth, 1, MMDIT_BLOCKS, e)) return false;
	c->width = json_int(j, "hidden_size", 64 * c->depth, e);
	c->heads = json_int(j, "num_heads", c->depth, e);
	char norm[8];
	json_text(j, "qk_norm", "", norm, sizeof norm, e);
	c->qk_norm = !strcmp(norm, "rms");
	if (*norm && !c->qk_norm)
		return fail(e, BAD_FILE, "configuration: 'qk_norm' is '%s', expected rms, the only one that Sumi builds", norm);
	return in_range("in_channels", c->channels, 1, 4096, e) && in_range("patch_size", c->patch, 1, 16, e) &&
	       in_range("pos_embed_max_size", c->positions, 1, 4096, e) &&
	       in_range("context_dim", c->context, 1, 65536, e) && in_range("adm_in_channels", c->vector, 1, 65536, e) &&
	       in_range("hidden_size", c->width, 4, 65536, e) && in_range("num_heads", c->heads, 1, c->width, e) &&
	       (c->width % c->heads == 0 ||
	           fail(e, BAD_FILE, "configuration: a width of %d does not part into %d heads", c->width, c->heads)) &&
	       read_twice(j, c, e) && !failed(e);
}

/* ── the autoencoder ── */
bool vae_config_from_json(const json_t *j, vae_config *c, error *e)
{
	error own = { 0 };
	if (!e) e = &own;
	*c = (vae_config){ 0 };
	if (!json_is_object(j)) return fail(e, BAD_FILE, "configuration: the autoencoder's is not an object");
	if (!unsupported(j, "tanh_out", e) || !unsupported(j, "use_linear_attn", e)) return false;
	if (json_is_false(json_object_get(j, "double_z")))
		return fail(e, BAD_FILE, "configuration: 'double_z' is false, which a KL autoencoder cannot be");
	c->in_channels = json_int(j, "in_channels", 3, e);
	c->out_channels = json_int(j, "out_ch", 3, e);
	c->channels = json_int(j, "ch", 128, e);
	c->levels = json_list(j, "ch_mult", c->multiplier, VAE_LEVELS, e);
	c->blocks = json_int(j, "num_res_blocks", 2, e);
	c->z_channels = json_int(j, "z_channels", 4, e);
	c->latent_channels = json_int(j, "embed_dim", c->z_channels, e);
	c->quant = json_flag(j, "quant", true, e);
	c->groups = json_int(j, "norm_num_groups", 32, e);
	int resolution = json_int(j, "resolution", 256, e), sides[VAE_LEVELS];
	int n = json_list(j, "attn_resolutions", sides, VAE_LEVELS, e);
	for (int level = 0; level < c->levels; level++)
		for (int i = 0; i < n; i++) c->attends[level] |= sides[i] == resolution >> level;
	if (!in_range("in_channels", c->in_channels, 1, 4096, e) || !in_range("out_ch", c->out_channels, 1, 4096, e) ||
	    !in_range("ch", c->channels, 1, 65536, e) || !in_range("number of ch_mult", c->levels, 1, VAE_LEVELS, e) ||
	    !in_range("num_res_blocks", c->blocks, 1, 16, e) || !in_range("z_channels", c->z_channels, 1, 4096, e) ||
	    !in_range("embed_dim", c->latent_channels, 1, 4096, e) || !in_range("norm_num_groups", c->groups, 1, 4096, e))
		return false;
	if (!c->quant && c->latent_channels != c->z_channels)
		return fail(e, BAD_FILE, "configuration: 'embed_dim' differs from 'z_channels' without quant convolutions");
	for (int i = 0; i < c->levels; i++)
		if (!in_range("ch_mult", c->multiplier[i], 1, 64, e)) return false;
	for (int i = 0; i < c->levels; i++)
		if (c->channels * c->multiplier[i] % c->groups || c->channels % c->groups)
			return fail(e, BAD_FILE, "configuration: the autoencoder's channels do not part into %d groups", c->groups);
	return !failed(e);
}

/* ── text encoders ── */
static bool read_activation(const json_t *j, activation *a, error *e)
{
	char name[32];
	json_text(j, "hidden_act", "quick_gelu", name, sizeof name, e);
	if (!strcmp(name, "quick_gelu"))
		*a = GELU_QUICK;
	else if (!strcmp(name, "gelu"))
		*a = GELU;
	else if (!strcmp(name, "gelu_new") || !strcmp(name, "gelu_pytorch_tanh"))
		*a = GELU_TANH;
	else
		return fail(e, BAD_FILE, "configuration: 'hidden_act' is '%s', expected quick_gelu or gelu", name);
	return true;
}

static bool read_hugging_face(const json_t *j, text_config *t, error *e)
{
	clip_config *c = &t->clip;
	*c = (clip_config){ .vocabulary = json_int(j, "vocab_size", 49408, e),
		.positions = json_int(j, "max_position_embeddings", 77, e),
		.width = json_int(j, "hidden_size", 512, e),
		.layers = json_int(j, "num_hidden_layers", 12, e),
		.heads = json_int(j, "num_attention_heads", 8, e),
		.inner = json_int(j, "intermediate_size", 2048, e),
		.epsilon = (float)json_number(j, "layer_norm_eps", 1e-5, e),
		.projection = json_int(j, "projection", 0, e) }; /* "projection_dim" stands there with and without one */
	t->begin = json_int(j, "bos_token_id", 49406, e);
	t->end = json_int(j, "eos_token_id", 49407, e);
	/* what CLIP-L was trained with; Hugging Face's pad_token_id says otherwise and is not used */
	t->padding = json_int(j, "pad_id", t->end, e);
	return read_activation(j, &c->activation, e);
}

static bool read_open_clip(const json_t *j, text_config *t, error *e)
{
	int width = json_int(j, "width", 1024, e);
	t->clip = (clip_config){ .fused = true,
		.vocabulary = json_int(j, "vocab_size", 49408, e),
		.positions = json_int(j, "context_length", 77, e),
		.width = width,
		.layers = json_int(j, "layers", 24, e),
		.heads = json_int(j, "heads", 16, e),
		.inner = json_int(j, "inner", width <= LARGEST / 4 ? 4 * width : 0, e),
		.activation = GELU,
		.epsilon = (float)json_number(j, "layer_norm_eps", 1e-5, e),
		.projection = json_int(j, "embed_dim", width, e) };
	t->begin = json_int(j, "bos", 49406, e);
	t->end = json_int(j, "eos", 49407, e);
	t->padding = json_int(j, "pad_id", 0, e);
	t->skip = 1;
	return true;
}

static bool read_transformer(const json_t *j, text_config *t, error *e)
{
	t->transformer = (transformer_config){ .vocabulary = json_int(j, "vocab_size", 30522, e),
		.positions = json_int(j, "max_seq_len", 77, e),
		.width = json_int(j, "n_embed", 1280, e),
		.layers = json_int(j, "n_layer", 32, e),
		.heads = json_int(j, "heads", 8, e),
		.head_width = json_int(j, "dim_head", 64, e),
		.widening = json_int(j, "ff_mult", 4, e),
		.epsilon = (float)json_number(j, "layer_norm_eps", 1e-5, e),
		.start = (float)json_number(j, "initializer_range", 0.02, e),
		.logits = json_flag(j, "logits", true, e) };
	t->begin = json_int(j, "bos_token_id", 101, e);
	t->end = json_int(j, "eos_token_id", 102, e);
	t->padding = json_int(j, "pad_id", 0, e);
	return true;
}

static bool read_t5(const json_t *j, text_config *t, error *e)
{
	t->t5 = (t5_config){ .vocabulary = json_int(j, "vocab_size", 32128, e),
		.width = json_int(j, "d_model", 4096, e),
		.layers = json_int(j, "num_layers", 24, e),
		.inner = json_int(j, "d_ff", 10240, e),
		.heads = json_int(j, "num_heads", 64, e),
		.head_width = json_int(j, "d_kv", 64, e),
		.buckets = json_int(j, "relative_attention_num_buckets", 32, e),
		.distance = json_int(j, "relative_attention_max_distance", 128, e),
		.epsilon = (float)json_number(j, "layer_norm_epsilon", 1e-6, e) };
	char act[32];
	json_text(j, "feed_forward_proj", "gated-gelu", act, sizeof act, e);
	if (strcmp(act, "gated-gelu"))
		return fail(e, BAD_FILE, "configuration: 'feed_forward_proj' is '%s', expected gated-gelu (T5 1.1)", act);
	t->begin = NO_TOKEN;
	t->end = json_int(j, "eos_token_id", 1, e);
	t->padding = json_int(j, "pad_token_id", 0, e);
	const t5_config *c = &t->t5;
	return in_range("vocab_size", c->vocabulary, 1, LARGEST, e) && in_range("d_model", c->width, 1, 65536, e) &&
	       in_range("num_layers", c->layers, 1, 256, e) && in_range("d_ff", c->inner, 1, LARGEST, e) &&
	       in_range("num_heads", c->heads, 1, 1024, e) && in_range("d_kv", c->head_width, 1, 1024, e) &&
	       in_range("relative_attention_num_buckets", c->buckets, 4, 1024, e) &&
	       in_range("relative_attention_max_distance", c->distance, c->buckets / 4 + 1, 65536, e);
}

static bool clip_is_sound(const clip_config *c, error *e)
{
	return in_range("vocab_size", c->vocabulary, 1, LARGEST, e) && in_range("hidden_size", c->width, 1, 65536, e) &&
	       in_range("max_position_embeddings", c->positions, 1, 65536, e) &&
	       in_range("num_hidden_layers", c->layers, 1, 256, e) &&
	       in_range("num_attention_heads", c->heads, 1, c->width, e) &&
	       in_range("intermediate_size", c->inner, 1, LARGEST, e) &&
	       in_range("projection_dim", c->projection, 0, 65536, e) &&
	       (c->width % c->heads == 0 ||
	           fail(e, BAD_FILE, "configuration: a width of %d does not part into %d heads", c->width, c->heads));
}

static bool transformer_is_sound(const transformer_config *c, error *e)
{
	return in_range("vocab_size", c->vocabulary, 1, LARGEST, e) && in_range("n_embed", c->width, 1, 65536, e) &&
	       in_range("max_seq_len", c->positions, 1, 65536, e) && in_range("n_layer", c->layers, 1, 256, e) &&
	       in_range("heads", c->heads, 1, 1024, e) && in_range("dim_head", c->head_width, 1, 1024, e) &&
	       in_range("ff_mult", c->widening, 1, 64, e);
}

/* "clip", "openclip" or "wordpiece". An OpenCLIP encoder's own is written as "clip" too. */
static void read_tokenizer(const json_t *j, text_config *t, error *e)
{
	static const struct {
		const char *name;
		tokenizer_kind kind;
	} known[] = { { "clip", CLIP }, { "openclip", OPENCLIP }, { "wordpiece", WORDPIECE }, { "t5", T5 } };
	bool open = t->kind == CLIP_TEXT && t->clip.fused;
	char name[32] = "";
	json_text(j, "tokenizer",
	    t->kind == CLIP_TEXT ? "clip"
	    : t->kind == T5_TEXT ? "t5"
	                         : "wordpiece",
	    name, sizeof name, e);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcmp(name, known[i].name)) {
			t->tokenizer = open && known[i].kind == CLIP ? OPENCLIP : known[i].kind;
			return;
		}
	fail(e, BAD_FILE, "configuration: 'tokenizer' is '%s', expected clip, openclip, wordpiece or t5", name);
}

bool text_config_from_json(const json_t *j, text_config *t, error *e)
{
	error own = { 0 };
	if (!e) e = &own;
	*t = (text_config){ .kind = CLIP_TEXT, .final_norm = true };
	if (json_object_get(j, "d_model")) {
		t->kind = T5_TEXT;
		if (!read_t5(j, t, e)) return false;
	} else if (json_object_get(j, "n_embed")) {
		t->kind = TRANSFORMER_TEXT;
		if (!read_transformer(j, t, e) || !transformer_is_sound(&t->transformer, e)) return false;
	} else {
		bool open = json_object_get(j, "width") != NULL;
		if (!open && !json_object_get(j, "hidden_size"))
			return fail(e, BAD_FILE,
			    "configuration: the text encoder has none of 'hidden_size', 'width', 'n_embed', 'd_model'");
		if (!(open ? read_open_clip : read_hugging_face)(j, t, e) || !clip_is_sound(&t->clip, e)) return false;
	}
	read_tokenizer(j, t, e);
	t->skip = json_int(j, "skip", t->skip, e);
	t->final_norm = json_flag(j, "final_norm", true, e);
	t->pooled = json_flag(j, "pooled", false, e);
	t->length = json_int(j, "length", t->kind == T5_TEXT ? TEXT_CONTEXT : text_positions(t), e);
	if (t->pooled && t->kind != CLIP_TEXT)
		return fail(e, BAD_FILE, "configuration: 'pooled', which CLIP's text encoders alone give");
	return in_range("skip", t->skip, 0, t->kind == CLIP_TEXT ? t->clip.layers : 0, e) &&
	       in_range("length", t->length, 1, text_positions(t), e) && !failed(e);
}
