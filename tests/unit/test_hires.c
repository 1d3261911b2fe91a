/* test_hires.c - the second pass: it is image to image from the first picture made larger, its size is said, and latents
 * are enlarged as torch does it. */
#include "scratch.h"
#include "pipeline/latent.h"
#include <math.h>
#include <sumi.h>

static sumi_model *open_tiny(void)
{
	sumi_error e = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.type = "f32";
	how.threads = 2;
	sumi_model *m = sumi_open(GOLDEN_DIR "/sd1/model.safetensors", &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	return m;
}

static sumi_image *draw(sumi_model *m, const sumi_options *o)
{
	sumi_error e = { 0 };
	sumi_image *p = sumi_generate(m, o, &e);
	if (!p) fail_saying("%s\n", e.text);
	return p;
}

static sumi_options two_passes(const char *upscaler)
{
	sumi_options o = sumi_defaults();
	o.prompt = "a cat";
	o.steps = 3;
	o.width = 48;
	o.height = 32;
	o.hires_scale = 2;
	o.hires_steps = 4;
	o.hires_upscaler = upscaler;
	return o;
}

static void passes_are_said(void **state)
{
	(void)state;
	static const char *const upscalers[] = { "latent", "Latent (nearest-exact)", "Lanczos" };
	sumi_model *m = open_tiny();
	for (int i = 0; i < 3; i++) {
		sumi_options o = two_passes(upscalers[i]);
		sumi_image *p = draw(m, &o);
		assert_int_equal(p->width, 96);
		assert_int_equal(p->height, 64);
		assert_non_null(strstr(p->parameters, "Size: 48x32, "));
		assert_non_null(
		    strstr(p->parameters, "Denoising strength: 0.7, Hires upscale: 2, Hires steps: 4, Hires upscaler: La"));
		sumi_image_free(p);
	}
	sumi_close(m);
}

/* What is not changed at all is the first picture in the larger size, through the autoencoder. */
static void second_pass_begins_from_the_first(void **state)
{
	(void)state;
	sumi_model *m = open_tiny();
	sumi_options o = two_passes("lanczos");
	sumi_image *both = draw(m, &o);
	o.hires_scale = 0;
	sumi_image *first = draw(m, &o);
	o.init = first;
	o.width = 96;
	o.height = 64;
	o.strength = 0.7;
	o.steps = 4;
	sumi_image *second = draw(m, &o);
	assert_memory_equal(both->pixels, second->pixels, 96 * 64 * 3);
	sumi_image_free(both);
	sumi_image_free(first);
	sumi_image_free(second);
	sumi_close(m);
}

static void batches_are_alike(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	sumi_model *m = open_tiny();
	sumi_session *s = sumi_session_open(m, NULL, &e);
	sumi_options each[2] = { two_passes(NULL), two_passes(NULL) };
	const sumi_options *list[2] = { &each[0], &each[1] };
	sumi_image *many[2];
	each[1].seed = 7;
	assert_true(sumi_session_draw_batch(s, list, 2, many, &e));
	for (int i = 0; i < 2; i++) {
		sumi_image *one = draw(m, &each[i]);
		assert_memory_equal(one->pixels, many[i]->pixels, 96 * 64 * 3);
		sumi_image_free(one);
		sumi_image_free(many[i]);
	}
	sumi_session_close(s);
	sumi_close(m);
}

static void refused(sumi_model *m, const sumi_options *o, sumi_status status, const char *why)
{
	sumi_error e = { 0 };
	assert_null(sumi_generate(m, o, &e));
	if (e.status != status || !strstr(e.text, why)) fail_saying("\"%s\" (%d) has no \"%s\"\n", e.text, e.status, why);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	sumi_model *m = open_tiny();
	sumi_options o = two_passes("bilinear");
	refused(m, &o, SUMI_BAD_USAGE, "Lanczos");
	o = two_passes("/nowhere/4x.pth");
	refused(m, &o, SUMI_BAD_FILE, "4x.pth");
	o = two_passes(NULL);
	o.hires_scale = 0.5;
	refused(m, &o, SUMI_BAD_USAGE, "above 1");
	o.hires_scale = NAN;
	refused(m, &o, SUMI_BAD_USAGE, "above 1");
	o.hires_scale = 2;
	o.hires_strength = 2;
	refused(m, &o, SUMI_BAD_USAGE, "strength");
	sumi_close(m);
}

static void latents_are_enlarged(void **state)
{
	(void)state;
	const float in[4] = { 0, 1, 2, 3 }, nearest[8] = { 0, 0, 1, 1, 2, 2, 3, 3 },
	            linear[8] = { 0, 0.25f, 0.75f, 1.25f, 1.75f, 2.25f, 2.75f, 3 };
	float out[8];
	latent_resize(out, (latent_size){ 1, 8 }, in, (latent_size){ 1, 4 }, 1, true);
	assert_memory_equal(out, nearest, sizeof nearest);
	latent_resize(out, (latent_size){ 8, 1 }, in, (latent_size){ 4, 1 }, 1, false);
	assert_memory_equal(out, linear, sizeof linear);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(passes_are_said),
		cmocka_unit_test(second_pass_begins_from_the_first), cmocka_unit_test(batches_are_alike),
		cmocka_unit_test(nonsense_is_refused), cmocka_unit_test(latents_are_enlarged) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
