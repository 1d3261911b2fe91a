/* test_graph.c - building a graph: names and scopes, the errors and what they say, weights of every type, the dump. */
#include "../weights.h"
#include "backend/backend.h"
#include <math.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

static void test_scopes_name_parameters(void **state)
{
	(void)state;
	graph *g = graph_new(REAL);
	assert_string_equal(scope_of(g), "");
	push(g, "input_blocks.%d", 1);
	push(g, "%s", "");
	push(g, "0");
	tensor w = param(g, "weight", shape2(3, 4));
	assert_string_equal(scope_of(g), "input_blocks.1.0.");
	assert_string_equal(node_of(g, w)->name, "input_blocks.1.0.weight");
	tensor y = affine(g, cast(g, w, REAL), 2, 0);
	assert_string_equal(node_of(g, y)->name, "input_blocks.1.0");
	assert_int_equal(param(g, "weight", shape2(3, 4)), w);
	pop(g), pop(g), pop(g);
	assert_string_equal(scope_of(g), "");
	assert_int_equal(find(g, "input_blocks.1.0.weight"), w);
	assert_int_equal(find(g, "input_blocks.1.0"), 0);
	assert_int_equal(failed(graph_error(g)), false);
	graph_free(g);
}

static void test_first_error_sticks(void **state)
{
	(void)state;
	graph *g = graph_new(REAL);
	tensor x = input(g, "x", REAL, shape4(1, 4, 4, 8));
	push(g, "decoder");
	tensor y = conv2d(g, x, input(g, "w", REAL, shape4(4, 9, 3, 3)), 0, 1, 1, 1, 1, 1);
	pop(g);
	assert_int_equal(y, 0);
	assert_string_equal(graph_error(g)->text, "decoder: conv: 8 channels, the weight is for 9");
	int nodes = node_count(g);
	assert_int_equal(add(g, activate(g, y, SILU), y), 0); /* nothing more is built, nothing more is reported */
	assert_int_equal(matmul(g, x, x, true, true, REAL), 0);
	assert_int_equal(node_count(g), nodes);
	error e = { OK, "" };
	assert_false(graph_compile(g, backend_reference(), 1, &e));
	assert_string_equal(e.text, "decoder: conv: 8 channels, the weight is for 9");
	graph_free(g);
}

/* Each wrong call, and a part of what it must say. */
static void expect_error(tensor (*build)(graph *g, tensor x), const char *text)
{
	graph *g = graph_new(REAL);
	tensor x = input(g, "x", REAL, shape3(2, 4, 6));
	assert_int_equal(build(g, x), 0);
	assert_true(failed(graph_error(g)));
	if (!strstr(graph_error(g)->text, text)) print_error("%s\n", graph_error(g)->text);
	assert_non_null(strstr(graph_error(g)->text, text));
	graph_free(g);
}

static tensor bad_add(graph *g, tensor x) { return add(g, x, input(g, "y", REAL, shape2(4, 5))); }
static tensor bad_matmul(graph *g, tensor x)
{
	return matmul(g, x, input(g, "y", REAL, shape2(5, 7)), false, false, REAL);
}
static tensor bad_reshape(graph *g, tensor x) { return reshape(g, x, shape2(5, -1)); }
static tensor bad_slice(graph *g, tensor x) { return slice(g, x, 1, 3, 2); }
static tensor bad_permute(graph *g, tensor x) { return permute(g, x, 0, 1, 1, 0); }
static tensor bad_concat(graph *g, tensor x) { return concat(g, x, input(g, "y", REAL, shape3(2, 5, 6)), 2); }
static tensor bad_geglu(graph *g, tensor x) { return geglu(g, slice(g, x, 2, 0, 3)); }
static tensor bad_heads(graph *g, tensor x) { return attention(g, x, x, x, 4, 1, false); }
static tensor bad_embedding(graph *g, tensor x) { return embedding(g, input(g, "t", REAL, shape2(3, 4)), x); }
static tensor bad_resize(graph *g, tensor x) { return resize_nearest(g, x, 4, 4); }
static tensor bad_pool(graph *g, tensor x) { return pool(g, reshape(g, x, shape4(2, 2, 2, 6)), false, 3); }
static tensor bad_window(graph *g, tensor x) { return pool(g, reshape(g, x, shape4(2, 2, 2, 6)), false, 0); }
static tensor bad_view(graph *g, tensor x) { return view(g, x, 40, shape1(9)); }
static tensor bad_shape(graph *g, tensor x) { return spread(g, x, shape3(0, 4, 6)); }
static tensor bad_size(graph *g, tensor x)
{
	(void)x;
	return input(g, "y", REAL, shape2(-1, 4));
}
static tensor bad_twice(graph *g, tensor x)
{
	(void)x;
	return input(g, "x", REAL, shape2(2, 4));
}
static tensor bad_groups(graph *g, tensor x)
{
	tensor c = input(g, "c", REAL, shape1(6));
	return group_norm(g, x, c, c, 4, 1e-5f, SILU);
}
static tensor bad_gamma(graph *g, tensor x)
{
	tensor c = input(g, "c", REAL, shape1(5));
	return layer_norm(g, x, c, c, 1e-5f);
}
static tensor bad_bias(graph *g, tensor x)
{
	return linear(g, x, input(g, "w", REAL, shape2(3, 6)), input(g, "b", REAL, shape1(4)));
}
static tensor bad_loss(graph *g, tensor x)
{
	tensor d;
	assert_false(gradients(g, x, &x, 1, &d));
	return d;
}

static void test_errors_name_what_is_wrong(void **state)
{
	(void)state;
	expect_error(bad_add, "broadcast");
	expect_error(bad_matmul, "6 columns against 5 rows");
	expect_error(bad_reshape, "reshape: 48 elements");
	expect_error(bad_slice, "slice: 3 to 5 of axis 1, which has 4");
	expect_error(bad_permute, "permute: axis 1");
	expect_error(bad_concat, "concat");
	expect_error(bad_geglu, "3 channels, expected an even number");
	expect_error(bad_heads, "6 channels");
	expect_error(bad_embedding, "ids of");
	expect_error(bad_resize, "3 axes, expected [N,H,W,C]");
	expect_error(bad_pool, "has 0 elements");
	expect_error(bad_window, "window");
	expect_error(bad_view, "view: elements 40 to 49 of 48");
	expect_error(bad_shape, "spread");
	expect_error(bad_size, "has -1 elements");
	expect_error(bad_twice, "'x' is asked for twice");
	expect_error(bad_groups, "6 channels in 4 groups");
	expect_error(bad_gamma, "6 channels");
	expect_error(bad_bias, "a bias of 4 for 3");
	expect_error(bad_loss, "a loss has 1 element, this one has 48");
}

static void test_nothing_is_built_after_compile(void **state)
{
	(void)state;
	error e = { OK, "" };
	graph *g = graph_new(REAL);
	tensor x = input(g, "x", REAL, shape1(4));
	keep(g, affine(g, x, 2, 0));
	assert_true(graph_compile(g, backend_reference(), 1, &e));
	assert_int_equal(affine(g, x, 2, 0), 0);
	assert_true(failed(graph_error(g)));
	graph_free(g);
}

static void test_weight_without_memory(void **state)
{
	(void)state;
	error e = { OK, "" };
	graph *g = graph_new(REAL);
	keep(g, affine(g, weight(g, "w", shape1(4)), 2, 0));
	assert_true(graph_compile(g, backend_reference(), 1, &e));
	assert_false(graph_allocate(g, NULL, NULL, &e));
	assert_string_equal(e.text, "the weight 'w' has no memory");
	graph_free(g);
}

static void test_weight_of_another_type_needs_a_cast(void **state)
{
	(void)state;
	error e = { OK, "" };
	weights w = { .dtype = F16 };
	graph *g = graph_new(REAL);
	keep(g, add(g, input(g, "x", REAL, shape1(4)), param(g, "w", shape1(4))));
	assert_true(graph_bind(g, bind_weights, &w, &e));
	assert_false(graph_compile(g, backend_reference(), 1, &e));
	assert_string_equal(e.text, "add reads the weight 'w', which is F16, without a cast");
	graph_free(g);
	free_weights(&w);
}

static void test_ids_outside_the_table_fail(void **state)
{
	(void)state;
	error e = { OK, "" };
	weights w = { .dtype = REAL };
	graph *g = graph_new(REAL);
	tensor ids = input(g, "ids", I32, shape1(3));
	push(g, "embeddings");
	keep(g, embedding(g, weight(g, "table", shape2(5, 4)), ids));
	pop(g);
	make_ready(g, &w, backend_reference());
	memcpy(graph_address(g, ids), (int32_t[]){ 0, 4, 1 }, 12);
	assert_true(graph_run(g, NULL, NULL, &e));
	memcpy(graph_address(g, ids), (int32_t[]){ 0, 5, 1 }, 12);
	assert_false(graph_run(g, NULL, NULL, &e));
	assert_non_null(strstr(e.text, "embeddings"));
	graph_free(g);
	free_weights(&w);
}

static void test_unaligned_weights(void **state)
{
	(void)state;
	double sum[2][4];
	for (int type = 0; type < 4; type++)
		for (int shift = 0; shift < 2; shift++) {
			static const dtype types[] = { REAL, F16, BF16, F64 };
			weights w = { .dtype = types[type], .shift = shift };
			graph *g = graph_new(REAL);
			tensor half = slice(g, param(g, "w", shape2(700, 4)), 0, 350, 350); /* a view of it, and then a cast */
			tensor y = sum_to(g, mul(g, cast(g, half, REAL), weight(g, "v", shape1(4))), shape1(1));
			keep(g, y);
			make_ready(g, &w, backend_reference());
			run(g);
			sum[shift][type] = (double)at(g, y, 0);
			graph_free(g);
			free_weights(&w);
		}
	for (int type = 0; type < 4; type++) assert_true(sum[0][type] == sum[1][type]);
	for (int type = 1; type < 4; type++) assert_true(fabs(sum[0][type] - sum[0][0]) < 1e-1);
}

/* ── quantised weights ── */

typedef struct blocks { /* of one parameter */
	float values[8 * 64];
	uint8_t bytes[1 + 16 * 34]; /* at an odd address */
} blocks;

static bool bind_blocks(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	(void)name, (void)s, (void)e;
	*d = Q8_0;
	*data = ((blocks *)context)->bytes + 1;
	return true;
}

static void make_blocks(blocks *b)
{
	for (int i = 0; i < 8 * 64; i++) b->values[i] = sinf((float)i * 0.37f);
	convert(b->bytes + 1, Q8_0, b->values, F32, 8 * 64);
	convert(b->values, F32, b->bytes + 1, Q8_0, 8 * 64);
}

/* A whole weight, rows of it, and rows that are looked up, each cast: the values of its blocks. */
static void test_quantised_weights(void **state)
{
	(void)state;
	blocks b;
	make_blocks(&b);
	const backend *backends[] = { backend_reference(), backend_cpu() };
	for (int k = 0; k < 2; k++) {
		error e = { OK, "" };
		graph *g = graph_new(REAL);
		tensor w = param(g, "w", shape2(8, 64)), ids = input(g, "ids", I32, shape1(2)), y[3];
		y[0] = affine(g, cast(g, w, REAL), 1, 0);
		y[1] = affine(g, cast(g, slice(g, w, 0, 3, 2), REAL), 1, 0);
		y[2] = cast(g, embedding(g, w, ids), REAL);
		for (int i = 0; i < 3; i++) keep(g, y[i]);
		bool fine = graph_bind(g, bind_blocks, &b, &e) && graph_compile(g, backends[k], 2, &e) &&
		            graph_allocate(g, NULL, NULL, &e);
		assert_string_equal(e.text, "");
		assert_true(fine);
		memcpy(graph_address(g, ids), (int32_t[]){ 7, 1 }, 8);
		run(g);
		for (int i = 0; i < 8 * 64; i++) assert_true((float)at(g, y[0], (size_t)i) == b.values[i]);
		for (int i = 0; i < 2 * 64; i++) assert_true((float)at(g, y[1], (size_t)i) == b.values[3 * 64 + i]);
		for (int i = 0; i < 2 * 64; i++)
			assert_true((float)at(g, y[2], (size_t)i) == b.values[(i < 64 ? 7 : 1) * 64 + i % 64]);
		graph_free(g);
	}
}

static void test_parts_begin_with_a_block(void **state)
{
	(void)state;
	error e = { OK, "" };
	blocks b;
	make_blocks(&b);
	graph *g = graph_new(REAL);
	keep(g, affine(g, cast(g, slice(g, param(g, "w", shape2(32, 16)), 0, 3, 2), REAL), 1, 0));
	assert_true(graph_bind(g, bind_blocks, &b, &e));
	assert_false(graph_compile(g, backend_reference(), 1, &e));
	assert_non_null(strstr(e.text, "which is Q8_0, begins at element 48, within a block of 32"));
	graph_free(g);
}

/* ── dump ── */

static void test_dump(void **state)
{
	(void)state;
	weights w = { .dtype = BF16 };
	graph *g = graph_new(REAL);
	push(g, "out");
	tensor x = input(g, "x", REAL, shape2(2, 6));
	keep(g, linear(g, x, weight(g, "weight", shape2(3, 6)), 0));
	pop(g);
	make_ready(g, &w, backend_reference());
	graph_profile(g, true);
	run(g);
	char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);
	graph_dump(g, to);
	fclose(to);
	const char *expected[] = { "matmul", "2×3", "reference", "out(", "1 steps", "1 folded", "arena", "ms", "100.0 %" };
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		if (!strstr(text, expected[i])) print_error("no '%s' in\n%s", expected[i], text);
		assert_non_null(strstr(text, expected[i]));
	}
	free(text);
	graph_free(g);
	free_weights(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scopes_name_parameters),
		cmocka_unit_test(test_first_error_sticks),
		cmocka_unit_test(test_errors_name_what_is_wrong),
		cmocka_unit_test(test_nothing_is_built_after_compile),
		cmocka_unit_test(test_weight_without_memory),
		cmocka_unit_test(test_weight_of_another_type_needs_a_cast),
		cmocka_unit_test(test_ids_outside_the_table_fail),
		cmocka_unit_test(test_unaligned_weights),
		cmocka_unit_test(test_quantised_weights),
		cmocka_unit_test(test_parts_begin_with_a_block),
		cmocka_unit_test(test_dump),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
