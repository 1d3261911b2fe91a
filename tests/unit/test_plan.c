/* test_plan.c - compiling: no two live values overlap, results take the place of what dies, views and constants cost
 * nothing in a run, fusion changes no value; on graphs made by hand and at random. */
#include "../plan_check.h"
#include "../weights.h"
#include "backend/backend.h"
#include "base/random.h"
#include "graph/internal.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

static void test_chain_runs_in_place(void **state)
{
	(void)state;
	weights w = { .dtype = REAL };
	graph *g = graph_new(REAL);
	tensor x = input(g, "x", REAL, shape1(256)), y = x;
	for (int i = 0; i < 10; i++) y = affine(g, y, 1, 1);
	keep(g, y);
	make_ready(g, &w, backend_reference());
	run(g);
	assert_int_equal(graph_arena_bytes(g), 2 * 256 * sizeof(real)); /* the input stays */
	assert_int_equal(check_plan(g), 9);
	for (size_t i = 0; i < 256; i++) assert_true(fabs((double)(at(g, y, i) - at(g, x, i)) - 10) < 1e-5);
	run(g); /* the input has not been written over */
	for (size_t i = 0; i < 256; i++) assert_true(fabs((double)(at(g, y, i) - at(g, x, i)) - 10) < 1e-5);
	graph_free(g);
}

static void test_views_cost_nothing(void **state)
{
	(void)state;
	weights w = { .dtype = REAL };
	graph *g = graph_new(REAL);
	tensor x = affine(g, input(g, "x", REAL, shape3(4, 2, 3)), 1, 0);
	tensor middle = slice(g, x, 0, 1, 2), flat = reshape(g, middle, shape1(-1)), tail = view(g, flat, 9, shape1(3));
	assert_int_equal(node_of(g, middle)->op, VIEW);
	keep(g, tail);
	tensor y = affine(g, tail, 2, 0);
	keep(g, y);
	make_ready(g, &w, backend_reference());
	run(g);
	assert_int_equal(g->step_count, 2);
	assert_ptr_equal((real *)graph_address(g, x) + 15, graph_address(g, tail));
	for (size_t i = 0; i < 3; i++) assert_true(at(g, y, i) == 2 * at(g, x, 15 + i));
	check_plan(g);
	graph_free(g);
}

static void test_dead_nodes_are_dropped(void **state)
{
	(void)state;
	weights w = { .dtype = REAL };
	graph *g = graph_new(REAL);
	tensor x = input(g, "x", REAL, shape1(8));
	affine(g, activate(g, x, EXP), 2, 0); /* not kept */
	keep(g, affine(g, x, 3, 0));
	make_ready(g, &w, backend_reference());
	assert_int_equal(g->step_count, 1);
	graph_free(g);
}

/* ── fusion and folding ── */

static void test_fusion_changes_no_value(void **state)
{
	(void)state;
	weights w = { .dtype = REAL };
	graph *g[2];
	tensor y[2];
	for (int whole = 0; whole < 2; whole++) {
		graph *h = g[whole] = graph_new(REAL);
		tensor x = input(h, "x", REAL, shape4(2, 5, 5, 8));
		tensor c = conv2d(h, x, weight(h, "conv", shape4(8, 8, 3, 3)), weight(h, "bias", shape1(8)), 1, 1, 1, 1, 1);
		tensor sum = add(h, x, c), l = linear(h, sum, weight(h, "linear", shape2(8, 8)), 0);
		tensor m = add(h, matmul(h, l, weight(h, "m", shape2(8, 8)), false, false, REAL), l);
		y[whole] = activate(h, m, SILU);
		keep(h, y[whole]);
		for (int i = 1; whole && i <= node_count(h); i++) keep(h, (tensor)i);
		make_ready(h, &w, backend_reference());
		run(h);
	}
	assert_int_equal(g[0]->step_count, 3); /* conv + residual, linear, matmul + residual + activation */
	assert_true(difference(g[0], y[0], g[1], y[1]) < 1e-5);
	graph_free(g[0]);
	graph_free(g[1]);
	free_weights(&w);
}

static int casts_in(const graph *g)
{
	int n = 0;
	for (int s = 0; s < g->step_count; s++) n += g->steps[s].call.y->op == CAST;
	return n;
}

/* A block as sampling builds it: sums in full precision, products in bf16. Values that are kept are rounded where they
 * stand; those that are not go from sum to sum unrounded, so that the two differ by what bf16 rounds off. */
static void test_casts_move_into_what_is_before_them(void **state)
{
	(void)state;
	weights w = { .dtype = F32 };
	graph *g[2];
	tensor y[2];
	for (int whole = 0; whole < 2; whole++) {
		graph *h = g[whole] = graph_new(BF16);
		tensor x = input(h, "x", REAL, shape3(2, 40, 64));
		tensor gamma = cast(h, param(h, "gamma", shape1(64)), REAL), beta = cast(h, param(h, "beta", shape1(64)), REAL);
		tensor linear_in = cast(h, layer_norm(h, x, gamma, beta, 1e-5f), BF16);
		tensor sum = add(h, cast(h, linear(h, linear_in, weight(h, "w", shape2(64, 64)), beta), REAL), x);
		tensor both = cast(h, add(h, sum, x), BF16);
		y[whole] = cast(h, linear(h, both, weight(h, "v", shape2(64, 64)), 0), REAL);
		keep(h, y[whole]);
		for (int i = 1; whole && i <= node_count(h); i++) keep(h, (tensor)i);
		make_ready(h, &w, backend_cpu());
		run(h);
	}
	if (backend_cpu()->fuses_casts) {
		assert_int_equal(casts_in(g[0]), 0);
		assert_int_equal(g[0]->step_count, 4); /* norm, product + residual, sum, product */
		check_plan(g[0]);
	}
	assert_true(difference(g[0], y[0], g[1], y[1]) < 1e-2);
	graph_free(g[0]);
	graph_free(g[1]);
	free_weights(&w);
}

/* LoRA as layers write it: w + scale·B·A is computed once, with frozen weights, and in every run where A trains. */
static tensor merged(graph *g, bool train)
{
	tensor a = param(g, "a", shape2(2, 6)), b = param(g, "b", shape2(5, 2));
	set_trainable(g, a, train);
	tensor product = matmul(g, cast(g, b, REAL), cast(g, a, REAL), false, false, REAL);
	tensor w = add(g, weight(g, "w", shape2(5, 6)), affine(g, product, 0.5f, 0));
	tensor y = linear(g, input(g, "x", REAL, shape2(3, 6)), w, 0);
	keep(g, y);
	return y;
}

static int unused_count;
static void count_unused(void *context, const void *data, size_t bytes)
{
	(void)context;
	assert_non_null(data);
	assert_true(bytes > 0);
	unused_count++;
}

static void test_constants_are_folded(void **state)
{
	(void)state;
	error e = { OK, "" };
	for (int d = 0; d < 2; d++) {
		weights w = { .dtype = d ? BF16 : REAL };
		graph *frozen = graph_new(REAL), *trained = graph_new(REAL);
		tensor y = merged(frozen, false), z = merged(trained, true);
		make_ready(trained, &w, backend_reference());
		assert_true(graph_bind(frozen, bind_weights, &w, &e) && graph_compile(frozen, backend_reference(), 1, &e));
		unused_count = 0;
		assert_true(graph_allocate(frozen, count_unused, NULL, &e));
		assert_int_equal(unused_count, 3); /* no run reads a parameter any more */
		make_values("x", REAL, 18, graph_address(frozen, find(frozen, "x")));
		assert_int_equal(frozen->step_count, 1);
		assert_true(trained->step_count > 1);
		assert_true(graph_constant_bytes(frozen) >= 30 * sizeof(real));
		run(frozen);
		run(trained);
		assert_true(difference(frozen, y, trained, z) < 1e-6);
		graph_free(frozen);
		graph_free(trained);
		free_weights(&w);
	}
}

/* ── graphs made at random: what is planned, fused and run in place gives what a graph that keeps everything does ── */

static tensor random_node(graph *g, generator *r, const tensor *made, int n)
{
	tensor a = made[random_u32(r) % (uint32_t)n], b = made[random_u32(r) % (uint32_t)n];
	shape s = shape4(2, 4, 4, 8);
	char name[16];
	snprintf(name, sizeof name, "w%u", random_u32(r) % 4);
	switch (random_u32(r) % 15) {
	case 0: return add(g, a, b);
	case 1: return mul(g, activate(g, a, SIGMOID), b);
	case 2: return affine(g, a, -0.5f, 0.25f);
	case 3: return activate(g, a, SILU);
	case 4: return add(g, conv2d(g, a, weight(g, "k", shape4(8, 8, 3, 3)), 0, 1, 1, 1, 1, 1), b);
	case 5: return activate(g, linear(g, a, weight(g, name, shape2(8, 8)), weight(g, "b", shape1(8))), GELU);
	case 6: return group_norm(g, a, weight(g, "g", shape1(8)), weight(g, "b", shape1(8)), 4, 1e-5f, SILU);
	case 7: return layer_norm(g, a, 0, 0, 1e-5f);
	case 8: return concat(g, slice(g, a, 3, 2, 5), slice(g, b, 3, 0, 3), 3);
	case 9: return concat(g, slice(g, a, 0, 1, 1), slice(g, b, 0, 0, 1), 0);
	case 10: return permute(g, a, 0, 2, 1, 3);
	case 11: return pool(g, resize_nearest(g, a, 8, 8), random_u32(r) % 2, 2);
	case 12: {
		tensor q = reshape(g, a, shape3(2, 16, 8)), k = reshape(g, b, shape3(2, 16, 8));
		return reshape(g, attention(g, q, k, q, 2, 0.3f, false), s);
	}
	case 13: return geglu(g, concat(g, a, b, 3));
	default: return mul(g, a, weight(g, "g", shape1(8)));
	}
}

enum { RANDOM_NODES = 30 };

/* The same graph for the same seed; returns the loss, and the gradients of every parameter in d. */
static tensor random_graph(graph *g, uint64_t seed, tensor *d, int *count)
{
	generator r;
	generator_seed(&r, seed);
	tensor list[RANDOM_NODES + 2], wrt[16];
	list[0] = input(g, "x", REAL, shape4(2, 4, 4, 8));
	list[1] = input(g, "z", REAL, shape4(2, 4, 4, 8));
	int n = 2;
	while (n < RANDOM_NODES + 2) {
		bool block = n % 6 == 0;
		if (block) block_begin(g);
		do {
			list[n] = random_node(g, &r, list, n);
			n++;
		} while (block && n % 6 != 3 && n < RANDOM_NODES + 2);
		if (block) block_end(g);
	}
	tensor loss = mean_squared_error(g, layer_norm(g, add(g, list[n - 1], list[n - 2]), 0, 0, 1e-3f), list[1]);
	keep(g, loss);
	*count = 0;
	for (int i = 1; i <= node_count(g); i++)
		if (node_of(g, (tensor)i)->op == PARAM) {
			set_trainable(g, (tensor)i, random_u32(&r) % 4 > 0);
			wrt[(*count)++] = (tensor)i;
		}
	gradients(g, loss, wrt, *count, d);
	return loss;
}

/* A frozen weight is packed for the forward and for the backward pass while it is unpacked once: of many layers only
 * one unpacked weight at a time is in memory. */
static void test_weights_are_packed_one_by_one(void **state)
{
	(void)state;
	enum { LAYERS = 12, WIDTH = 256 };
	weights w = { .dtype = F16 };
	graph *g = graph_new(BF16);
	tensor x = input(g, "x", BF16, shape2(64, WIDTH)), y = x, dx;
	for (int i = 0; i < LAYERS; i++) {
		char name[16];
		snprintf(name, sizeof name, "w%d", i);
		y = activate(g, linear(g, y, cast(g, param(g, name, shape2(WIDTH, WIDTH)), BF16), 0), SILU);
	}
	assert_true(gradients(g, mean_all(g, activate(g, y, SQUARE)), &x, 1, &dx));
	make_ready(g, &w, backend_cpu());
	run(g);
	assert_true(graph_setup_bytes(g) <= 3 * WIDTH * WIDTH * dtype_size(BF16));
	graph_free(g);
	free_weights(&w);
}

/* A block that is recomputed reads the weights as the forward pass packed them: it keeps no copy of its own. */
static void test_recomputed_blocks_share_packed_weights(void **state)
{
	(void)state;
	enum { LAYERS = 6, WIDTH = 256 };
	weights w = { .dtype = F16 };
	graph *g[2];
	tensor dx[2];
	for (int i = 0; i < 2; i++) {
		g[i] = graph_new(BF16);
		graph_recompute(g[i], i == 1);
		tensor x = input(g[i], "x", BF16, shape2(64, WIDTH)), y = x;
		for (int k = 0; k < LAYERS; k++) {
			char name[32];
			block_begin(g[i]);
			for (int n = 0; n < 2; n++) {
				snprintf(name, sizeof name, "w%d.%d", k, n);
				y = linear(g[i], y, cast(g[i], param(g[i], name, shape2(WIDTH, WIDTH)), BF16), 0);
				y = layer_norm(g[i], y, 0, 0, 1e-5f);
			}
			block_end(g[i]);
		}
		assert_true(gradients(g[i], mean_all(g[i], activate(g[i], y, SQUARE)), &x, 1, &dx[i]));
		make_ready(g[i], &w, backend_cpu());
		run(g[i]);
	}
	assert_true(node_count(g[1]) > node_count(g[0]));
	assert_int_equal(graph_constant_bytes(g[1]), graph_constant_bytes(g[0]));
	assert_memory_equal(graph_address(g[1], dx[1]), graph_address(g[0], dx[0]), 64 * WIDTH * dtype_size(BF16));
	for (int i = 0; i < 2; i++) graph_free(g[i]);
	free_weights(&w);
}

/* Two products with two halves of one weight, as of a joint projection: each packs its own half. */
static void test_views_of_a_weight_are_packed_apart(void **state)
{
	(void)state;
	enum { ROWS = 80, WIDTH = 64 };
	weights w = { .dtype = F16 };
	graph *g[2];
	tensor y[2][2];
	for (int i = 0; i < 2; i++) {
		g[i] = graph_new(BF16);
		tensor x = input(g[i], "x", BF16, shape2(ROWS, WIDTH));
		tensor both = cast(g[i], param(g[i], "w", shape2(2 * WIDTH, WIDTH)), BF16);
		for (int k = 0; k < 2; k++) {
			y[i][k] = cast(g[i], linear(g[i], x, slice(g[i], both, 0, k * WIDTH, WIDTH), 0), REAL);
			keep(g[i], y[i][k]);
		}
		make_ready(g[i], &w, i ? backend_cpu() : backend_reference());
		run(g[i]);
	}
	assert_true(difference(g[1], y[1][0], g[1], y[1][1]) > 0.1);
	for (int k = 0; k < 2; k++) assert_true(difference(g[0], y[0][k], g[1], y[1][k]) < 1e-2);
	for (int i = 0; i < 2; i++) graph_free(g[i]);
	free_weights(&w);
}

static void test_random_graphs(void **state)
{
	(void)state;
	int in_place = 0;
	double worst = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		weights w = { .dtype = REAL };
		graph *g[4]; /* everything kept; planned; planned with recomputation; the same on the CPU backend */
		tensor d[4][16], loss[4];
		int count = 0;
		for (int i = 0; i < 4; i++) {
			g[i] = graph_new(REAL);
			graph_recompute(g[i], i >= 2);
			loss[i] = random_graph(g[i], seed, d[i], &count);
			for (int k = 1; i == 0 && k <= node_count(g[0]); k++) keep(g[0], (tensor)k);
			make_ready(g[i], &w, i == 3 ? backend_cpu() : backend_reference());
			in_place += check_plan(g[i]);
			run(g[i]);
			run(g[i]);
			worst = fmax(worst, difference(g[i], loss[i], g[0], loss[0]));
			for (int k = 0; k < count; k++)
				if (d[0][k]) worst = fmax(worst, difference(g[i], d[i][k], g[0], d[0][k]));
		}
		for (int i = 0; i < 4; i++) graph_free(g[i]);
		free_weights(&w);
	}
	print_message("60 graphs, %d results in place, worst difference %.1e\n", in_place, worst);
	assert_true(in_place > 100);
	assert_true(worst < 1e-3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain_runs_in_place),
		cmocka_unit_test(test_views_cost_nothing),
		cmocka_unit_test(test_dead_nodes_are_dropped),
		cmocka_unit_test(test_fusion_changes_no_value),
		cmocka_unit_test(test_casts_move_into_what_is_before_them),
		cmocka_unit_test(test_constants_are_folded),
		cmocka_unit_test(test_weights_are_packed_one_by_one),
		cmocka_unit_test(test_recomputed_blocks_share_packed_weights),
		cmocka_unit_test(test_views_of_a_weight_are_packed_apart),
		cmocka_unit_test(test_random_graphs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
