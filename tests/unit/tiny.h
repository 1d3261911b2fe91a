/* tiny.h - for tests that draw: small models, pictures of them, and how pictures are compared. The goldens hold a small
 * Stable Diffusion 1; SDXL, its refiner and Stable Diffusion 3 are written by sumi_init() from the configurations here,
 * with random weights. */
#ifndef SUMI_TESTS_TINY_H
#define SUMI_TESTS_TINY_H
#include "scratch.h"
#include <sumi.h>

#define TINY_SD1 GOLDEN_DIR "/sd1/model.safetensors"
#define TINY_CLIP                                                                                                   \
	"\"hidden_size\":16,\"intermediate_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"vocab_size\":" \
	"49408,\"skip\":1,\"final_norm\":false"
#define TINY_OPEN_CLIP                                                                                             \
	"\"width\":24,\"heads\":2,\"layers\":2,\"embed_dim\":24,\"vocab_size\":49408,\"skip\":1,\"final_norm\":false," \
	"\"pooled\":true"
#define TINY_UNET                                                                                                 \
	"\"model_channels\":32,\"channel_mult\":[1,2],\"num_res_blocks\":1,\"attention_resolutions\":[2],\"num_head_" \
	"channels\":16,"                                                                                              \
	"\"use_linear_in_transformer\":true,\"num_classes\":\"sequential\""
#define TINY_VAE(more) "\"dd\":{\"ch\":32,\"ch_mult\":[1,1,1,1],\"num_res_blocks\":1" more "}"

#define TINY_SDXL                                                                                             \
	"{\"name\":\"tiny-sdxl\",\"unet\":{" TINY_UNET ",\"context_dim\":40,\"adm_in_channels\":1560}," TINY_VAE( \
	    "") ",\"text\":{" TINY_CLIP "},\"text_2\":{" TINY_OPEN_CLIP "},\"conditioning\":\"side_by_side\","    \
	        "\"scale_factor\":0.13025,\"size\":64}"
/* Nine channels: the latent, the mask and what it leaves of the picture. */
#define TINY_SDXL_INPAINTING                                                                             \
	"{\"name\":\"tiny-sdxl-inpainting\",\"unet\":{\"in_channels\":9," TINY_UNET                          \
	",\"context_dim\":40,\"adm_in_channels\":1560}," TINY_VAE("") ",\"text\":{" TINY_CLIP                \
	                                                              "},\"text_2\":{" TINY_OPEN_CLIP        \
	                                                              "},\"conditioning\":\"side_by_side\"," \
	                                                              "\"scale_factor\":0.13025,\"size\":64}"
#define TINY_REFINER                                                                                             \
	"{\"name\":\"tiny-refiner\",\"unet\":{" TINY_UNET ",\"context_dim\":24,\"adm_in_channels\":1304}," TINY_VAE( \
	    "") ",\"text\":{" TINY_OPEN_CLIP "},\"conditioning\":\"side_by_side\",\"scale_factor\":0.13025,\"size\":64}"
#define TINY_SD3                                                                                                       \
	"{\"name\":\"tiny-sd3\",\"mmdit\":{\"depth\":4,\"hidden_size\":32,\"num_heads\":2,\"pos_embed_max_size\":24,"      \
	"\"context_dim\":48,\"adm_in_channels\":40,\"qk_norm\":\"rms\",\"x_block_self_attn_layers\":[0,1]}," TINY_VAE(     \
	    ",\"z_channels\":16,\"quant\":false") ",\"text\":{" TINY_CLIP ",\"projection\":16,\"pooled\":true},"           \
	                                          "\"text_2\":{" TINY_OPEN_CLIP ",\"tokenizer\":\"openclip\"},"            \
	                                          "\"text_3\":{\"d_model\":48,\"num_layers\":2,\"d_ff\":64,\"num_heads\":" \
	                                          "2,\"d_kv\":16},"                                                        \
	                                          "\"conditioning\":\"stacked\",\"prediction_type\":\"flow\",\"shift\":3," \
	                                          "\"scale_factor\":1.5305,"                                               \
	                                          "\"shift_factor\":0.0609,\"size\":64}"

/* Its file in the scratch folder. */
__attribute__((unused)) static const char *tiny_file(const char *name, const char *config)
{
	sumi_error e = { 0 };
	char json[80], file[80];
	snprintf(json, sizeof json, "%s.json", name);
	snprintf(file, sizeof file, "%s.safetensors", name);
	const char *path = scratch_path(file);
	if (access(path, R_OK) && !sumi_init(scratch_write(json, config, strlen(config)), 1, "f32", false, path, NULL, &e))
		fail_saying("%s\n", e.text);
	return path;
}

__attribute__((unused)) static sumi_model *tiny_open(const char *path)
{
	sumi_error e = { 0 };
	sumi_model_options o = sumi_model_defaults();
	o.type = "f32";
	sumi_model *m = sumi_open(path, &o, &e);
	if (!m) fail_saying("%s\n", e.text);
	return m;
}

__attribute__((unused)) static sumi_options tiny_options(int steps)
{
	sumi_options o = sumi_defaults();
	o.prompt = "a red fox";
	o.steps = steps;
	o.sampler = "Euler";
	return o;
}

/* What adapters are tried with: a picture of stripes, options for a square of 64 pixels in four steps. */
__attribute__((unused)) static const sumi_image *tiny_stripes(void)
{
	static unsigned char pixels[3 * 64 * 64];
	static const sumi_image striped = { .size = sizeof striped, .width = 64, .height = 64, .pixels = pixels };
	for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = i / 24 % 2 ? 230 : 20;
	return &striped;
}

__attribute__((unused)) static sumi_options tiny_square(void)
{
	sumi_options o = tiny_options(4);
	o.width = o.height = 64;
	return o;
}

__attribute__((unused)) static sumi_control tiny_control(const char *path, double strength)
{
	sumi_control c = sumi_control_defaults();
	c.path = path;
	c.image = tiny_stripes();
	c.strength = strength;
	return c;
}

__attribute__((unused)) static sumi_options tiny_controlled(const sumi_control *const *controls, int count)
{
	sumi_options o = tiny_square();
	o.controls = controls;
	o.control_count = count;
	return o;
}

__attribute__((unused)) static sumi_image *tiny_picture(sumi_model *m, const sumi_options *o)
{
	sumi_error e = { 0 };
	sumi_image *p = sumi_generate(m, o, &e);
	if (!p) fail_saying("%s\n", e.text);
	return p;
}

__attribute__((unused)) static bool tiny_same(const sumi_image *a, const sumi_image *b)
{
	return a->width == b->width && a->height == b->height &&
	       !memcmp(a->pixels, b->pixels, (size_t)a->width * (size_t)a->height * 3);
}

/* The largest difference of a byte. */
__attribute__((unused)) static int tiny_farthest(const sumi_image *a, const sumi_image *b)
{
	int most = 0;
	assert_int_equal(a->width, b->width);
	assert_int_equal(a->height, b->height);
	for (int i = 0; i < a->width * a->height * 3; i++) {
		int d = abs(a->pixels[i] - b->pixels[i]);
		if (d > most) most = d;
	}
	return most;
}

__attribute__((unused)) static sumi_image *tiny_controlled_picture(
    sumi_model *m, const sumi_control *const *controls, int count)
{
	sumi_options o = tiny_controlled(controls, count);
	return tiny_picture(m, &o);
}

/* To the byte, and said to be made in the same way. */
__attribute__((unused)) static void tiny_expect_same(const sumi_image *a, const sumi_image *b)
{
	assert_true(tiny_same(a, b));
	assert_string_equal(a->parameters, b->parameters);
}

/* Drawn all at once, and each by itself: alone, and every second in the session. */
__attribute__((unused)) static void tiny_alike(sumi_model *m, const sumi_options *o, int count)
{
	enum { MOST = 16 };
	sumi_error e = { 0 };
	const sumi_options *list[MOST];
	sumi_image *many[MOST];
	sumi_session *s = sumi_session_open(m, NULL, &e);
	assert_true(s && count <= MOST);
	for (int i = 0; i < count; i++) list[i] = &o[i];
	if (!sumi_session_draw_batch(s, list, count, many, &e)) fail_saying("%s\n", e.text);
	for (int i = 0; i < count; i++) {
		sumi_image *one = i % 2 ? sumi_session_draw(s, &o[i], &e) : sumi_generate(m, &o[i], &e);
		if (!one) fail_saying("%s\n", e.text);
		tiny_expect_same(one, many[i]);
		sumi_image_free(one);
		sumi_image_free(many[i]);
	}
	assert_true(sumi_session_bytes(s) > 0);
	sumi_session_trim(s, 0);
	assert_int_equal(sumi_session_bytes(s), 0);
	sumi_session_close(s);
}

__attribute__((unused)) static void tiny_refused(
    sumi_model *m, const sumi_options *o, sumi_status expected, const char *words)
{
	sumi_error e = { 0 };
	assert_null(sumi_generate(m, o, &e));
	if (e.status != expected) fail_saying("status %d: %s\n", e.status, e.text);
	assert_says(e, words);
}

#endif
