/* test_random.c - the generators: what the goldens cannot say (state, ranges, extremes). */
#include "base/philox.h"
#include "base/random.h"
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void known_words(void **unused)
{
	(void)unused;
	generator g;
	generator_seed(&g, 5489); /* the reference seed of the authors: the 10000th output is in the C++ standard */
	uint32_t word = 0;
	for (int i = 0; i < 10000; i++) word = random_u32(&g);
	assert_int_equal(word, 4123659995u);
}

static void seed_is_cut_to_32_bits(void **unused)
{
	(void)unused;
	generator a, b;
	generator_seed(&a, 5);
	generator_seed(&b, (1ull << 32) + 5);
	assert_int_equal(random_u32(&a), random_u32(&b));
}

static void saved_state_continues(void **unused)
{
	(void)unused;
	for (size_t warm = 0; warm < 40; warm++) {
		generator a, b;
		float x[40], y[40];
		uint8_t bytes[GENERATOR_BYTES];
		generator_seed(&a, 99);
		random_normal(&a, x, warm);
		random_normal(&a, x, 3); /* leaves a spare */
		generator_save(&a, bytes);
		generator_seed(&b, 0);
		assert_true(generator_load(&b, bytes));
		for (size_t n = 1; n <= 40; n += 13) {
			random_normal(&a, x, n);
			random_normal(&b, y, n);
			assert_memory_equal(x, y, n * sizeof *x);
		}
	}
}

static void broken_state_is_refused(void **unused)
{
	(void)unused;
	generator g;
	uint8_t bytes[GENERATOR_BYTES];
	generator_seed(&g, 1);
	generator_save(&g, bytes);
	bytes[624 * 4 + 1] = 0x7f; /* position far beyond the state */
	generator before = g;
	assert_false(generator_load(&g, bytes));
	assert_memory_equal(before.state, g.state, sizeof g.state);
	generator_save(&g, bytes);
	memset(bytes + GENERATOR_BYTES - 8, 0xff, 8); /* a spare that is not a number */
	assert_false(generator_load(&g, bytes));
}

static void permutation_is_one(void **unused)
{
	(void)unused;
	generator g;
	generator_seed(&g, 3);
	for (size_t n = 0; n < 50; n++) {
		int64_t p[50];
		bool seen[50] = { false };
		random_permutation(&g, p, n);
		for (size_t i = 0; i < n; i++) {
			assert_in_range(p[i], 0, n - 1);
			assert_false(seen[p[i]]);
			seen[p[i]] = true;
		}
	}
}

static void integers_stay_in_range(void **unused)
{
	(void)unused;
	static const int64_t ranges[][2] = { { 0, 1 }, { -5, 5 }, { 0, 1000 }, { INT64_MIN, INT64_MAX }, { 0, 1ll << 40 } };
	generator g;
	generator_seed(&g, 3);
	for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
		int64_t v[100];
		random_integers(&g, ranges[r][0], ranges[r][1], v, 100);
		for (size_t i = 0; i < 100; i++) assert_true(v[i] >= ranges[r][0] && v[i] < ranges[r][1]);
	}
}

static void moments(const float *x, size_t n)
{
	double sum = 0, squares = 0;
	for (size_t i = 0; i < n; i++) {
		assert_true(isfinite(x[i]));
		sum += (double)x[i];
		squares += (double)x[i] * (double)x[i];
	}
	assert_true(fabs(sum / (double)n) < 0.01);
	assert_true(fabs(squares / (double)n - 1) < 0.01);
}

static void normals_are_normal(void **unused)
{
	(void)unused;
	size_t n = 200000;
	float *x = malloc(n * sizeof *x);
	generator g;
	generator_seed(&g, 11);
	random_normal(&g, x, n);
	moments(x, n);
	philox p = { .seed = 11 };
	philox_normal(&p, x, n);
	moments(x, n);
	assert_int_equal(p.calls, 1);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_words),
		cmocka_unit_test(seed_is_cut_to_32_bits),
		cmocka_unit_test(saved_state_continues),
		cmocka_unit_test(broken_state_is_refused),
		cmocka_unit_test(permutation_is_one),
		cmocka_unit_test(integers_stay_in_range),
		cmocka_unit_test(normals_are_normal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
