/* test_gradient_graph.c - differentiation as a pass: recomputation, several calls, types, watched gradients. The values
 * of the rules are proved by test_gradients. */
#include "../plan_check.h"
#include "../weights.h"
#include "backend/backend.h"
#include "graph/internal.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

/* ── gradients ── */

/* Three blocks with everything that a block has: norm, convolution, residual, attention, a gated layer. */
static tensor network(graph *g)
{
	tensor x = input(g, "x", REAL, shape4(2, 6, 6, 8));
	for (int i = 0; i < 3; i++) {
		push(g, "blocks.%d", i);
		block_begin(g);
		tensor h = group_norm(g, x, weight(g, "norm", shape1(8)), weight(g, "shift", shape1(8)), 4, 1e-5f, SILU);
		h = conv2d(g, h, weight(g, "conv", shape4(8, 8, 3, 3)), weight(g, "bias", shape1(8)), 1, 1, 1, 1, 1);
		x = add(g, x, h);
		tensor t = layer_norm(g, reshape(g, x, shape3(2, 36, 8)), 0, 0, 1e-5f);
		tensor q = linear(g, t, weight(g, "q", shape2(8, 8)), 0), k = linear(g, t, weight(g, "k", shape2(8, 8)), 0);
		t = add(g, t, attention(g, q, k, t, 2, 0.5f, false));
		t = geglu(g, linear(g, t, weight(g, "gate", shape2(16, 8)), 0));
		x = add(g, x, reshape(g, t, shape4(2, 6, 6, 8)));
		block_end(g);
		pop(g);
	}
	return mean_squared_error(g, x, input(g, "target", REAL, shape4(2, 6, 6, 8)));
}

enum { NETWORK_WEIGHTS = 21 };

static tensor differentiated(graph *g, tensor *wrt, tensor *d)
{
	tensor loss = network(g);
	keep(g, loss);
	int n = 0;
	for (int i = 1; i <= node_count(g); i++)
		if (node_of(g, (tensor)i)->op == PARAM) wrt[n++] = (tensor)i, set_trainable(g, (tensor)i, true);
	assert_int_equal(n, NETWORK_WEIGHTS);
	assert_true(gradients(g, loss, wrt, n, d));
	return loss;
}

static void test_recomputation_gives_the_same_gradients(void **state)
{
	(void)state;
	weights w = { .dtype = REAL };
	graph *g[2];
	tensor wrt[NETWORK_WEIGHTS], d[2][NETWORK_WEIGHTS], loss[2];
	for (int on = 0; on < 2; on++) {
		g[on] = graph_new(REAL);
		graph_recompute(g[on], on);
		loss[on] = differentiated(g[on], wrt, d[on]);
		make_ready(g[on], &w, backend_reference());
		run(g[on]);
		check_plan(g[on]);
	}
	assert_true(g[1]->step_count > g[0]->step_count);
	assert_true(at(g[0], loss[0], 0) == at(g[1], loss[1], 0));
	for (int i = 0; i < NETWORK_WEIGHTS; i++) assert_true(difference(g[1], d[1][i], g[0], d[0][i]) == 0);
	print_message("arena %zu bytes, with recomputation %zu\n", graph_arena_bytes(g[0]), graph_arena_bytes(g[1]));
	assert_true(graph_arena_bytes(g[1]) < graph_arena_bytes(g[0]) * 7 / 10);
	graph_free(g[0]);
	graph_free(g[1]);
	free_weights(&w);
}

static void test_gradients_twice(void **state)
{
	(void)state;
	weights w = { .dtype = REAL };
	graph *g = graph_new(REAL);
	tensor x = input(g, "x", REAL, shape1(5)), z = input(g, "z", REAL, shape1(5));
	tensor f = sum_to(g, mul(g, x, mul(g, x, x)), shape1(1)), h = sum_to(g, activate(g, x, SQUARE), shape1(1));
	tensor wrt[] = { x, z }, d[2], e[2], second;
	assert_true(gradients(g, f, wrt, 2, d));
	assert_true(gradients(g, h, wrt, 2, e));
	assert_int_equal(d[1], 0); /* does not depend on z */
	assert_int_equal(e[1], 0);
	assert_true(gradients(g, sum_to(g, d[0], shape1(1)), &x, 1, &second)); /* gradients are nodes: 6x */
	make_ready(g, &w, backend_reference());
	run(g);
	for (size_t i = 0; i < 5; i++) {
		double v = (double)at(g, x, i);
		assert_true(fabs((double)at(g, d[0], i) - 3 * v * v) < 1e-5);
		assert_true(fabs((double)at(g, e[0], i) - 2 * v) < 1e-5);
		assert_true(fabs((double)at(g, second, i) - 6 * v) < 1e-5);
	}
	graph_free(g);
}

static void test_operation_without_gradient(void **state)
{
	(void)state;
	graph *g = graph_new(REAL);
	tensor t = input(g, "t", REAL, shape1(3)), d;
	push(g, "time_embed");
	tensor y = timestep_embedding(g, t, 8, 10000);
	pop(g);
	assert_false(gradients(g, mean_all(g, y), &t, 1, &d));
	assert_string_equal(graph_error(g)->text, "time_embed: timestep_embedding has no gradient");
	graph_free(g);
}

/* In bf16 the gradient of a weight is full precision, that of an input is bf16. */
static void test_gradient_dtypes(void **state)
{
	(void)state;
	weights w = { .dtype = REAL };
	graph *g = graph_new(BF16);
	tensor x = input(g, "x", BF16, shape2(4, 8)),
	       y = linear(g, x, weight(g, "w", shape2(6, 8)), param(g, "b", shape1(6)));
	tensor wrt[] = { x, find(g, "w"), find(g, "b") }, d[3];
	assert_int_equal(dtype_of(g, y), BF16);
	assert_true(gradients(g, mean_all(g, y), wrt, 3, d));
	assert_int_equal(dtype_of(g, d[0]), BF16);
	assert_int_equal(dtype_of(g, d[1]), REAL);
	assert_int_equal(dtype_of(g, d[2]), REAL);
	make_ready(g, &w, backend_reference());
	run(g);
	for (size_t i = 0; i < 6; i++) assert_true(fabs((double)at(g, d[2], i) - 1.0 / 6) < 1e-3);
	graph_free(g);
	free_weights(&w);
}

/* ── watching ── */

typedef struct seen {
	graph *g, *kept;
	const tensor *d;
	int count, stop_after;
	double worst;
} seen;

static bool see(void *context, tensor t, error *e)
{
	seen *s = context;
	(void)e;
	s->count++;
	assert_non_null(graph_address(s->g, t));
	if (s->kept) s->worst = fmax(s->worst, difference(s->g, t, s->kept, t));
	return !s->stop_after || s->count < s->stop_after;
}

static void test_watched_gradients_need_less_memory(void **state)
{
	(void)state;
	error e = { OK, "" };
	weights w = { .dtype = REAL };
	graph *g[2];
	tensor wrt[NETWORK_WEIGHTS], d[NETWORK_WEIGHTS];
	for (int watch = 0; watch < 2; watch++) {
		g[watch] = graph_new(REAL);
		differentiated(g[watch], wrt, d);
		for (int i = 0; watch && i < NETWORK_WEIGHTS; i++) graph_watch(g[watch], d[i]);
		make_ready(g[watch], &w, backend_reference());
		check_plan(g[watch]);
	}
	run(g[0]);
	seen s = { g[1], g[0], d, 0, 0, 0 };
	assert_true(graph_run(g[1], see, &s, &e));
	assert_int_equal(s.count, NETWORK_WEIGHTS);
	assert_true(s.worst < 1e-5);
	assert_true(graph_arena_bytes(g[1]) < graph_arena_bytes(g[0]));
	s = (seen){ g[1], NULL, d, 0, 5, 0 };
	assert_false(graph_run(g[1], see, &s, &e));
	assert_int_equal(s.count, 5);
	graph_free(g[0]);
	graph_free(g[1]);
	free_weights(&w);
}

/* A gradient that does not change from run to run is reported in each of them all the same. */
static void test_watched_constants_are_told(void **state)
{
	(void)state;
	error e = { OK, "" };
	weights w = { .dtype = REAL };
	graph *g = graph_new(REAL);
	tensor a = param(g, "a", shape2(2, 3)), x = input(g, "x", REAL, shape2(2, 3)), d;
	set_trainable(g, a, true);
	tensor sum = add(g, reshape(g, x, shape1(6)), reshape(g, cast(g, a, REAL), shape1(6)));
	assert_true(gradients(g, mean_all(g, sum), &a, 1, &d));
	graph_watch(g, d);
	make_ready(g, &w, backend_reference());
	seen s = { g, NULL, &d, 0, 0, 0 };
	assert_true(graph_run(g, see, &s, &e) && graph_run(g, see, &s, &e));
	assert_int_equal(s.count, 2);
	graph_free(g);
	free_weights(&w);
}

/* What is detached is a constant: d (x · [x²]) = [x²], and a gradient can stand in a loss. */
static void test_detached(void **state)
{
	(void)state;
	weights w = { .dtype = REAL };
	graph *g = graph_new(REAL);
	tensor x = input(g, "x", REAL, shape1(5)), d[2], inner, wrt[2] = { x, 0 };
	tensor squares = mul(g, x, x);
	assert_true(gradients(g, mean_all(g, mul(g, squares, x)), &x, 1, &inner)); /* 3x²/5 */
	assert_true(gradients(g, mean_all(g, mul(g, x, detach(g, squares))), wrt, 2, d));
	tensor through;
	assert_true(gradients(g, mean_all(g, mul(g, x, detach(g, inner))), &x, 1, &through));
	assert_int_equal(d[1], 0);
	make_ready(g, &w, backend_reference());
	float *values = graph_address(g, x);
	for (int i = 0; i < 5; i++) values[i] = (float)(i - 2);
	run(g);
	for (int i = 0; i < 5; i++) {
		double v = i - 2;
		assert_true(fabs(at(g, d[0], i) - v * v / 5) < 1e-6);
		assert_true(fabs(at(g, through, i) - 3 * v * v / 25) < 1e-6);
	}
	graph_free(g);
	free_weights(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recomputation_gives_the_same_gradients),
		cmocka_unit_test(test_gradients_twice),
		cmocka_unit_test(test_operation_without_gradient),
		cmocka_unit_test(test_gradient_dtypes),
		cmocka_unit_test(test_watched_gradients_need_less_memory),
		cmocka_unit_test(test_watched_constants_are_told),
		cmocka_unit_test(test_detached),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
