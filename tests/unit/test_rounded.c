/* test_rounded.c - GELU in the registers of a product that is rounded to bf16, far from 0: the number itself or next to
 * nothing, where its cube is more than a float holds, and NaN for NaN. */
#include "scratch.h"
#include "backend/backend.h"
#include <math.h>
#include <string.h>

enum { ROWS = 128, IN = 64, OUT = 48 };

typedef struct linear_weights {
	uint16_t weight[OUT * IN]; /* 0: what comes out is the bias's */
	float bias[OUT];
} linear_weights;

static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const linear_weights *w = context;
	bool bias = !strcmp(name, "bias");
	(void)s, (void)e;
	*d = bias ? F32 : BF16;
	*data = bias ? (const void *)w->bias : w->weight;
	return true;
}

static void test_gelu_far_from_0(void **state)
{
	(void)state;
	static const float far[] = { 29, 31, 1e3f, 1e13f, 2e13f, 1e19f, 1e30f, 3e38f };
	enum { COUNT = sizeof far / sizeof *far };
	static linear_weights w;
	static float x[ROWS * IN], y[ROWS * OUT];
	error e = { 0 };
	for (int i = 0; i < COUNT; i++) {
		w.bias[i] = far[i];
		w.bias[COUNT + i] = -far[i];
	}
	w.bias[2 * COUNT] = NAN;
	graph *g = graph_new(BF16);
	tensor in = input(g, "x", REAL, shape2(ROWS, IN));
	tensor weight = cast(g, param(g, "weight", shape2(OUT, IN)), BF16), bias = param(g, "bias", shape1(OUT));
	tensor out = activate(g, linear(g, cast(g, in, BF16), weight, bias), GELU_TANH);
	keep(g, out);
	if (!graph_bind(g, bind, &w, &e) || !graph_compile(g, backend_cpu(), 1, &e) || !graph_allocate(g, NULL, NULL, &e) ||
	    !graph_write_floats(g, in, x, &e) || !graph_run(g, NULL, NULL, &e) || !graph_read_floats(g, out, y, &e))
		fail_saying("%s\n", e.text);
	for (int r = 0; r < ROWS; r++) {
		const float *row = y + r * OUT;
		for (int i = 0; i < COUNT; i++) {
			if (!(fabsf(row[i] / far[i] - 1) < 0x1p-7f)) fail_saying("%g of %g\n", (double)row[i], (double)far[i]);
			if (!(fabsf(row[COUNT + i]) < 1e-3f * far[i]))
				fail_saying("%g of %g\n", (double)row[COUNT + i], (double)-far[i]);
		}
		assert_true(isnan(row[2 * COUNT]));
		for (int i = 2 * COUNT + 1; i < OUT; i++) assert_true(row[i] == 0);
	}
	graph_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_gelu_far_from_0) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
