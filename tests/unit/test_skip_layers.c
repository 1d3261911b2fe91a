/* test_skip_layers.c - skip-layer guidance: its formula against a network that is built without the blocks, its steps,
 * and what is refused. */
#include "tiny.h"
#include "pipeline/denoise.h"
#include "pipeline/encode.h"
#include <math.h>

/* What the denoiser gives for a fixed latent in this step. The caller frees. */
static float *answer(model *m, const sumi_options *o, int step, size_t *n)
{
	error e = { 0 };
	job one = { 0 }, *j = &one;
	session *s = session_open(m, 0, false, &e);
	if (!s || !job_prepare(j, s, NULL, o, &e) || !encode_prompts(s, &j, 1, NULL, &e)) fail_saying("%s\n", e.text);
	denoiser d = { .session = s, .jobs = &j, .count = 1, .steps = j->path.count };
	*n = j->positions * (size_t)j->channels;
	float *x = malloc(*n * sizeof *x), *out = malloc(*n * sizeof *out);
	for (size_t i = 0; i < *n; i++) x[i] = (float)sin((double)i);
	path_point at = { 700, 0.3, 0.7 };
	if (!denoiser_begin(&d, NULL, &e) || !denoiser_call(&d, step, at, x, out, NULL, &e)) fail_saying("%s\n", e.text);
	denoiser_end(&d);
	job_free(j);
	session_close(s);
	free(x);
	return out;
}

/* guided + scale·(conditional − conditional without the blocks) */
static void the_formula(void **state)
{
	(void)state;
	model *m = tiny_open(tiny_file("sd3", TINY_SD3));
	sumi_options o = tiny_options(8);
	size_t n;
	float *guided = answer(m, &o, 3, &n);
	o.guidance = 1;
	float *conditional = answer(m, &o, 3, &n);
	m->family.denoiser.mmdit.left_out[1] = m->family.denoiser.mmdit.left_out[2] = true;
	float *without = answer(m, &o, 3, &n);
	m->family.denoiser.mmdit.left_out[1] = m->family.denoiser.mmdit.left_out[2] = false;
	for (int unguided = 0; unguided < 2; unguided++) {
		o.guidance = unguided ? 1 : -1;
		o.skip_layers = "[1, 2]";
		o.slg_scale = 1.7;
		o.skip_layer_end = 0.5;
		float *out = answer(m, &o, 3, &n), *early = answer(m, &o, 0, &n), *late = answer(m, &o, 4, &n);
		o.skip_layers = NULL;
		o.slg_scale = 0;
		float *plain_early = answer(m, &o, 0, &n), *plain_late = answer(m, &o, 4, &n);
		double moved = 0, off = 0;
		for (size_t i = 0; i < n; i++) {
			const float *base = unguided ? conditional : guided;
			double expected = (double)base[i] + 1.7 * ((double)conditional[i] - (double)without[i]);
			off = fmax(off, fabs(expected - (double)out[i]));
			moved = fmax(moved, fabs((double)base[i] - (double)out[i]));
		}
		assert_true(off < 1e-5);
		assert_true(moved > 1e-2);
		assert_memory_equal(early, plain_early, n * sizeof *early);
		assert_memory_equal(late, plain_late, n * sizeof *late);
		free(out), free(early), free(late), free(plain_early), free(plain_late);
	}
	free(guided), free(conditional), free(without);
	sumi_close(m);
}

static void in_pictures_and_batches(void **state)
{
	(void)state;
	enum { MANY = 4 };
	sumi_error e = { 0 };
	sumi_model *m = tiny_open(tiny_file("sd3", TINY_SD3));
	sumi_options o[MANY];
	const sumi_options *list[MANY];
	sumi_image *many[MANY];
	for (int i = 0; i < MANY; i++) {
		o[i] = tiny_options(6);
		o[i].skip_layers = i ? "1,2" : NULL;
		o[i].skip_layer_end = 0.6;
		o[i].slg_scale = i == 2 ? 4 : i == 3 ? 0 : -1;
		list[i] = &o[i];
	}
	sumi_session *s = sumi_session_open(m, NULL, &e);
	if (!sumi_session_draw_batch(s, list, MANY, many, &e)) fail_saying("%s\n", e.text);
	for (int i = 0; i < MANY; i++) {
		sumi_image *one = tiny_picture(m, &o[i]);
		tiny_expect_same(one, many[i]);
		sumi_image_free(one);
	}
	assert_true(tiny_same(many[0], many[3]));
	assert_false(tiny_same(many[0], many[1]));
	assert_false(tiny_same(many[1], many[2]));
	assert_non_null(strstr(
	    many[1]->parameters, "SLG scale: 2.5, Skip layers: \"1,2\", Skip layer start: 0.01, Skip layer end: 0.6"));
	assert_null(strstr(many[0]->parameters, "SLG"));
	for (int i = 0; i < MANY; i++) sumi_image_free(many[i]);
	sumi_session_close(s);
	sumi_close(m);
}

static void what_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "1,x", "4", "-1", "1;2", "99999999999999999999" };
	sumi_model *sd3 = tiny_open(tiny_file("sd3", TINY_SD3)), *sdxl = tiny_open(tiny_file("sdxl", TINY_SDXL));
	sumi_options o = tiny_options(2);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		o.skip_layers = bad[i];
		tiny_refused(sd3, &o, SUMI_BAD_USAGE, "0 … 3");
	}
	o.skip_layers = "1";
	tiny_refused(sdxl, &o, SUMI_BAD_USAGE, "has a U-Net");
	sumi_close(sd3);
	sumi_close(sdxl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(the_formula),
		IN_SCRATCH(in_pictures_and_batches),
		IN_SCRATCH(what_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
