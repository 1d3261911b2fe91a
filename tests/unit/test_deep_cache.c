/* test_deep_cache.c - DeepCache: which calls are whole, that a shallow call goes on from what the last whole one made,
 * pictures in batches, sessions and another memory, and what is refused. The shallow network itself is in the goldens.
 */
#include "tiny.h"
#include "../protected.h"
#include "backend/backend.h"
#include "pipeline/denoise.h"
#include "pipeline/encode.h"
#include <math.h>

enum { CALLS = 7 };
static const int latents[CALLS] = { 0, 0, 1, 2, 2, 0, 2 }; /* which latent each call reads */

/* What each of the calls gives, [CALLS][n]. The caller frees. */
static float *answers(model *m, const sumi_options *o, size_t *n)
{
	error e = { 0 };
	job one = { 0 }, *j = &one;
	session *s = session_open(m, 0, false, &e);
	if (!s || !job_prepare(j, s, NULL, o, &e) || !encode_prompts(s, &j, 1, NULL, &e)) fail_saying("%s\n", e.text);
	denoiser d = { .session = s, .jobs = &j, .count = 1, .steps = j->path.count };
	*n = j->positions * (size_t)j->channels;
	float *x = malloc(*n * sizeof *x), *out = malloc(CALLS * *n * sizeof *out);
	path_point at = { 700, 0.3, 0.7 };
	if (!denoiser_begin(&d, NULL, &e)) fail_saying("%s\n", e.text);
	for (int c = 0; c < CALLS; c++) {
		for (size_t i = 0; i < *n; i++) x[i] = (float)sin((double)i * (1 + latents[c]));
		if (!denoiser_call(&d, c, at, x, out + (size_t)c * *n, NULL, &e)) fail_saying("%s\n", e.text);
	}
	denoiser_end(&d);
	job_free(j);
	session_close(s);
	free(x);
	return out;
}

/* The share of the plain outputs by which two differ. */
static double off(const float *a, const float *b, size_t n)
{
	double wrong = 0, all = 0;
	for (size_t i = 0; i < n; i++) {
		wrong += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
		all += (double)b[i] * (double)b[i];
	}
	return sqrt(wrong / all);
}

static void which_calls_are_whole(void **state)
{
	(void)state;
	static const char *const branches[] = { "3:0", "3:2", "3:11" };
	model *m = tiny_open(TINY_SD1);
	sumi_options o = tiny_options(CALLS);
	size_t n;
	float *plain = answers(m, &o, &n);
	for (size_t b = 0; b < sizeof branches / sizeof *branches; b++) {
		o.deep_cache = branches[b];
		float *cached = answers(m, &o, &n);
		for (int c = 0; c < CALLS; c++) {
			double d = off(cached + (size_t)c * n, plain + (size_t)c * n, n);
			bool whole = c % 3 == 0, same_latent = latents[c] == latents[c - c % 3];
			if (whole)
				assert_memory_equal(cached + (size_t)c * n, plain + (size_t)c * n, n * sizeof *plain);
			else if (same_latent)
				assert_true(d < 1e-5);
			else
				assert_true(d > 1e-4);
		}
		free(cached);
	}
	free(plain);
	sumi_close(m);
}

static void in_batches_and_sessions(void **state)
{
	(void)state;
	static const char *const given[] = { NULL, "2", "2", "2:3", "3", "2" };
	enum { MANY = sizeof given / sizeof *given };
	unsigned char stripes[3 * 64 * 64];
	for (size_t i = 0; i < sizeof stripes; i++) stripes[i] = i / 24 % 2 ? 230 : 20;
	const sumi_image hint = { .size = sizeof hint, .width = 64, .height = 64, .pixels = stripes };
	sumi_control c = sumi_control_defaults();
	c.path = GOLDEN_DIR "/controlnet/sd1.safetensors";
	c.image = &hint;
	c.to = 0.5; /* so that the last steps have none */
	const sumi_control *const controls[] = { &c };
	sumi_model *m = tiny_open(TINY_SD1);
	sumi_options o[MANY];
	for (int i = 0; i < MANY; i++) {
		o[i] = tiny_options(5);
		o[i].width = o[i].height = 64;
		o[i].seed = i;
		o[i].deep_cache = given[i];
		o[i].controls = i == 5 ? controls : NULL;
		o[i].control_count = i == 5;
	}
	tiny_alike(m, o, MANY);
	o[0].seed = 1;
	sumi_image *plain = tiny_picture(m, &o[0]), *cached = tiny_picture(m, &o[1]);
	assert_false(tiny_same(plain, cached));
	assert_true(tiny_farthest(plain, cached) < 64);
	assert_non_null(strstr(cached->parameters, "DeepCache: 2"));
	assert_null(strstr(plain->parameters, "DeepCache"));
	sumi_image_free(plain);
	sumi_image_free(cached);
	sumi_close(m);
}

/* What is kept goes from network to network within a device's memory. */
static void on_another_memory(void **state)
{
	(void)state;
	sumi_error e = { 0 };
	model *m = tiny_open(TINY_SD1);
	sumi_options o = tiny_options(5);
	o.deep_cache = "2";
	sumi_image *expected = tiny_picture(m, &o);
	m->backend = backend_protected();
	sumi_session *s = sumi_session_open(m, NULL, &e);
	for (int i = 0; i < 2; i++) {
		sumi_image *p = sumi_session_draw(s, &o, &e);
		if (!p) fail_saying("%s\n", e.text);
		assert_true(tiny_same(expected, p));
		sumi_image_free(p);
	}
	sumi_session_close(s);
	sumi_image_free(expected);
	sumi_close(m);
}

static void only_what_fits_is_passed(void **state)
{
	(void)state;
	error e = { 0 };
	float values[6] = { 1, 2, 3, 4, 5, 6 }, out[6];
	graph *a = graph_new(REAL), *b = graph_new(REAL);
	tensor x = input(a, "x", REAL, shape1(6)), twice = affine(a, x, 2, 0);
	tensor same = input(b, "same", REAL, shape1(6)), other = input(b, "other", REAL, shape2(2, 3));
	tensor sum = affine(b, same, 1, 1), rest = affine(b, other, 1, 1);
	keep(a, twice);
	keep(b, sum);
	keep(b, rest);
	if (!graph_compile(a, backend_cpu(), 1, &e) || !graph_allocate(a, NULL, NULL, &e) ||
	    !graph_compile(b, backend_cpu(), 1, &e) || !graph_allocate(b, NULL, NULL, &e) ||
	    !graph_write(a, x, values, &e) || !graph_run(a, NULL, NULL, &e) || !graph_pass(a, twice, b, same, &e) ||
	    !graph_run(b, NULL, NULL, &e) || !graph_read(b, sum, out, &e))
		fail_saying("%s\n", e.text);
	for (int i = 0; i < 6; i++) assert_true(fabs((double)out[i] - (2 * (double)values[i] + 1)) < 1e-6);
	assert_false(graph_pass(a, twice, b, other, &e));
	assert_says(e, "type and shape of 'other'");
	graph_free(a);
	graph_free(b);
}

static void what_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "1", "0", "-2", "1001", "2:12", "2:-1", "2:", "x", "", "2,1", "2:1:1" };
	sumi_model *m = tiny_open(TINY_SD1), *sd3 = tiny_open(tiny_file("sd3", TINY_SD3));
	sumi_options o = tiny_options(2);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		o.deep_cache = bad[i];
		tiny_refused(m, &o, SUMI_BAD_USAGE, "the branch 0 to 11");
	}
	o.deep_cache = "2";
	tiny_refused(sd3, &o, SUMI_BAD_USAGE, "DeepCache is for U-Nets");
	o.pag_scale = 2;
	tiny_refused(m, &o, SUMI_BAD_USAGE, "cannot be combined with perturbed");
	sumi_close(m);
	sumi_close(sd3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_calls_are_whole),
		cmocka_unit_test(in_batches_and_sessions),
		cmocka_unit_test(on_another_memory),
		cmocka_unit_test(only_what_fits_is_passed),
		IN_SCRATCH(what_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
