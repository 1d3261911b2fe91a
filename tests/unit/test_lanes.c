/* test_lanes.c - a graph with lanes gives what it gives without them, to the bit: each lane its own inputs' result. */
#include "../weights.h"
#include "backend/backend.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

enum { ITEMS = 2, SIDE = 8, CHANNELS = 32, LANES = 3, VALUES = ITEMS * SIDE * SIDE * CHANNELS };

typedef struct network {
	graph *g;
	tensor x, y;
	weights w;
} network;

static void drop(network *n)
{
	graph_free(n->g);
	free_weights(&n->w);
}

/* A convolution, a norm, attention and a product, with weights that the graph folds and packs. */
static network make(dtype compute, int lanes, int threads)
{
	network n = { .g = graph_new(compute), .w = { .dtype = BF16 } };
	graph *g = n.g;
	n.x = input(g, "x", REAL, shape4(ITEMS, SIDE, SIDE, CHANNELS));
	tensor w = cast(g, param(g, "conv.weight", shape4(CHANNELS, CHANNELS, 3, 3)), compute);
	tensor gamma = cast(g, param(g, "gamma", shape1(CHANNELS)), REAL);
	tensor h = conv2d(g, cast(g, n.x, compute), w, 0, 1, 1, 1, 1, 1);
	h = reshape(g, group_norm(g, h, gamma, gamma, 8, 1e-5f, SILU), shape3(ITEMS, SIDE * SIDE, CHANNELS));
	h = attention(g, h, h, h, 2, 0.25f, false);
	h = linear(g, h, cast(g, param(g, "linear.weight", shape2(48, CHANNELS)), compute), 0);
	n.y = cast(g, h, REAL);
	keep(g, n.y);
	if (lanes > 1) graph_lanes(g, lanes);
	error e = { OK, "" };
	assert_true(graph_bind(g, bind_weights, &n.w, &e));
	assert_true(graph_compile(g, backend_cpu(), threads, &e));
	if (!graph_allocate(g, NULL, NULL, &e)) fail_msg("%s", e.text);
	return n;
}

static void test_same_bytes(void **state)
{
	(void)state;
	static real values[LANES * VALUES];
	enum { OUT = ITEMS * SIDE * SIDE * 48 };
	static real together[LANES * OUT], alone[OUT];
	error e = { OK, "" };
	make_values("x", REAL, LANES * VALUES, values);
	for (int k = 0; k < 4; k++) {
		dtype compute = k % 2 ? BF16 : REAL;
		int threads = k < 2 ? 1 : 4;
		network many = make(compute, LANES, threads), one = make(compute, 1, threads);
		assert_true(graph_arena_bytes(many.g) >= LANES * graph_arena_bytes(one.g));
		assert_int_equal(graph_constant_bytes(many.g), graph_constant_bytes(one.g));
		for (int run = 0; run < 2; run++) {
			assert_true(graph_write_floats(many.g, many.x, values, &e));
			assert_true(graph_run(many.g, NULL, NULL, &e));
			assert_true(graph_read_floats(many.g, many.y, together, &e));
		}
		for (int lane = 0; lane < LANES; lane++) {
			assert_true(graph_write_floats(one.g, one.x, values + lane * VALUES, &e));
			assert_true(graph_run(one.g, NULL, NULL, &e));
			assert_true(graph_read_floats(one.g, one.y, alone, &e));
			assert_memory_equal(together + lane * OUT, alone, sizeof alone);
		}
		drop(&many);
		drop(&one);
	}
}

static bool never(void *context, tensor t, error *e)
{
	(void)context, (void)t, (void)e;
	return true;
}

static void test_a_watched_run_is_refused(void **state)
{
	(void)state;
	error e = { OK, "" };
	network n = make(REAL, LANES, 1);
	assert_false(graph_run(n.g, never, NULL, &e));
	assert_int_equal(e.status, BAD_USAGE);
	drop(&n);
}

/* An id outside of the table, in one lane alone: the run fails, and says why. */
static void test_a_failing_lane_is_told(void **state)
{
	(void)state;
	error e = { OK, "" };
	graph *g = graph_new(REAL);
	tensor ids = input(g, "ids", I32, shape1(2));
	keep(g, embedding(g, param(g, "table", shape2(4, 8)), ids));
	graph_lanes(g, LANES);
	weights w = { .dtype = REAL };
	assert_true(graph_bind(g, bind_weights, &w, &e));
	assert_true(graph_compile(g, backend_cpu(), 2, &e));
	assert_true(graph_allocate(g, NULL, NULL, &e));
	assert_true(graph_write(g, ids, (int32_t[2 * LANES]){ 0, 1, 2, 3, 3, 2 }, &e));
	assert_true(graph_run(g, NULL, NULL, &e));
	assert_true(graph_write(g, ids, (int32_t[2 * LANES]){ 0, 1, 2, 4, 3, 2 }, &e));
	assert_false(graph_run(g, NULL, NULL, &e));
	assert_non_null(strstr(e.text, "outside"));
	graph_free(g);
	free_weights(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_a_watched_run_is_refused),
		cmocka_unit_test(test_a_failing_lane_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
