/* test_brownian.c - seeds against NumPy's, noise against torchsde's tree (run once in Python with PyTorch's generator),
 * and what makes it Brownian. */
#include "base/seed_sequence.h"
#include "diffusion/brownian.h"
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

static void seeds_are_numpys(void **unused)
{
	(void)unused;
	static const struct {
		uint64_t entropy, keys[2];
		int key_count, pool;
		uint32_t first[3];
	} known[] = {
		{ 0, { 0 }, 0, 4, { 2968811710u, 3677149159u, 745650761u } },
		{ 42, { 0 }, 0, 24, { 387750627u, 2536650517u, 4078839648u } },
		{ 42, { 5, 3 }, 2, 24, { 3084123560u, 468215949u, 242942938u } },
		{ 123456789012345u, { 6000000000u, 33 }, 2, 24, { 104931646u, 855837662u, 4245752553u } },
	};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		uint32_t words[3];
		seed_sequence(known[i].entropy, known[i].keys, known[i].key_count, known[i].pool, words, 3);
		for (int k = 0; k < 3; k++) assert_int_equal(words[k], known[i].first[k]);
	}
}

/* 16 values of a tree over 0.029168 … 14.614642: numbers 0, 7 and 15 */
static const struct {
	uint64_t seed;
	double from, to;
	float noise[3];
} recorded[] = {
	{ 42, 14.614642, 7.839883, { -1.0805266f, 0.2914618f, 0.8919600f } },
	{ 42, 1.9501615, 1.3449278, { 0.5516412f, -0.3664671f, -1.7840322f } },
	{ 42, 0.368658, 0.029168, { 0.0158101f, -1.2068219f, -0.0071645f } },
	{ 42, 14.614642, 0.029168, { -1.1561832f, -0.7365993f, 1.3585265f } },
	{ 42, 3.3, 1.1, { -0.8393882f, -1.1172365f, -1.4991394f } },
	{ 123456789012345, 14.614642, 7.839883, { -0.2527031f, -0.9876844f, 0.9705096f } },
	{ 123456789012345, 1.9501615, 1.3449278, { -1.5004139f, 0.6082457f, -0.0279511f } },
	{ 123456789012345, 0.368658, 0.029168, { 0.4833035f, -0.6088189f, -0.1810562f } },
	{ 123456789012345, 14.614642, 0.029168, { 0.6666666f, -0.0138107f, 1.3928821f } },
	{ 123456789012345, 3.3, 1.1, { 0.9876873f, 1.4342494f, -0.1797737f } },
};

static void noise_is_torchsdes(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
		brownian_tree tree = { recorded[i].seed, 0.029168, 14.614642 };
		float x[16];
		assert_true(brownian_noise(&tree, recorded[i].from, recorded[i].to, x, 16, NULL));
		assert_true(fabsf(x[0] - recorded[i].noise[0]) < 5e-6f);
		assert_true(fabsf(x[7] - recorded[i].noise[1]) < 5e-6f);
		assert_true(fabsf(x[15] - recorded[i].noise[2]) < 5e-6f);
	}
}

/* Increments over two neighbouring intervals add up to that over both, and each has unit variance. */
static void increments_add_up(void **unused)
{
	(void)unused;
	enum { N = 20000 };
	brownian_tree tree = { 7, 0.03, 15 };
	float *x = malloc(3 * N * sizeof *x);
	double square = 0;
	assert_true(brownian_noise(&tree, 9, 4, x, N, NULL));
	assert_true(brownian_noise(&tree, 4, 2.5, x + N, N, NULL));
	assert_true(brownian_noise(&tree, 9, 2.5, x + 2 * N, N, NULL));
	for (size_t i = 0; i < N; i++) {
		double sum = sqrt(5) * (double)x[i] + sqrt(1.5) * (double)x[N + i];
		assert_true(fabs(sum / sqrt(6.5) - (double)x[2 * N + i]) < 1e-5);
		square += (double)x[i] * (double)x[i];
	}
	assert_true(fabs(square / N - 1) < 0.03);
	free(x);
}

static void tree_spans_the_run(void **unused)
{
	(void)unused;
	noise_schedule s;
	trajectory p;
	const double sigmas[] = { 14.5, 3, 0.2, 0 };
	assert_true(noise_schedule_make(&s, &stable_diffusion_schedule, NULL));
	assert_true(trajectory_from_sigmas(&p, VARIANCE_EXPLODING, &s, sigmas, 3, NULL));
	brownian_tree tree = brownian_tree_over(&p, 5);
	assert_true(tree.seed == 5 && tree.high == 14.5 && tree.low == 0.2);
	trajectory_free(&p);
	noise_schedule_free(&s);
}

static void rises_are_refused(void **unused)
{
	(void)unused;
	brownian_tree tree = { 7, 0.03, 15 };
	float x[16];
	error e = { 0 };
	assert_false(brownian_noise(&tree, 1, 2, x, 16, &e));
	assert_int_equal(e.status, BAD_USAGE);
	e = (error){ 0 };
	assert_false(brownian_noise(&tree, NAN, NAN, x, 16, &e));
	assert_true(brownian_noise(&tree, 1.000001, 1, x, 16, NULL)); /* the finest there is */
	for (int i = 0; i < 16; i++) assert_true(isfinite(x[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(seeds_are_numpys),
		cmocka_unit_test(noise_is_torchsdes),
		cmocka_unit_test(increments_add_up),
		cmocka_unit_test(tree_spans_the_run),
		cmocka_unit_test(rises_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
