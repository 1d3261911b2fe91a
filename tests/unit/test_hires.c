/* test_hires.c - the second pass: it is image to image from the first picture made larger, its size is said, and
 * latents are enlarged as torch does it. */
#include "tiny.h"
#include "pipeline/latent.h"
#include <math.h>

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
	sumi_model *m = tiny_open(TINY_SD1);
	for (int i = 0; i < 3; i++) {
		sumi_options o = two_passes(upscalers[i]);
		sumi_image *p = tiny_picture(m, &o);
		assert_int_equal(p->width, 96);
		assert_int_equal(p->height, 64);
		assert_non_null(strstr(p->parameters, "Size: 48x32, "));
		assert_non_null(
		    strstr(p->parameters, "Denoising strength: 0.7, Hires upscale: 2, Hires steps: 4, Hires upscaler: La"));
		sumi_image_free(p);
	}
	sumi_close(m);
}

/* Image to image from what the first alone gives, in the larger size. */
static void second_pass_begins_from_the_first(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options o = two_passes("lanczos");
	sumi_image *both = tiny_picture(m, &o);
	o.hires_scale = 0;
	sumi_image *first = tiny_picture(m, &o);
	o.init = first;
	o.width = 96;
	o.height = 64;
	o.strength = 0.7;
	o.steps = 4;
	sumi_image *second = tiny_picture(m, &o);
	assert_memory_equal(both->pixels, second->pixels, 96 * 64 * 3);
	sumi_image_free(both);
	sumi_image_free(first);
	sumi_image_free(second);
	sumi_close(m);
}

static void batches_are_alike(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options each[2] = { two_passes(NULL), two_passes(NULL) };
	each[1].seed = 7;
	tiny_alike(m, each, 2);
	sumi_close(m);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options o = two_passes("bilinear");
	tiny_refused(m, &o, SUMI_BAD_USAGE, "Lanczos");
	o = two_passes("/nowhere/4x.pth");
	tiny_refused(m, &o, SUMI_BAD_FILE, "4x.pth");
	o = two_passes(NULL);
	o.hires_scale = 0.5;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "above 1");
	o.hires_scale = NAN;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "above 1");
	o.hires_scale = 2;
	o.hires_strength = 2;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "strength");
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
