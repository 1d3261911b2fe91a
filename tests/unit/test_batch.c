/* test_batch.c - the size of a batch changes no bit: each item of N comes out as it does alone, of every kind of kernel
 * that sampling uses, in both types, for any number of threads. */
#include "scratch.h"
#include "backend/backend.h"
#include "base/random.h"
#include "graph/graph.h"

enum { MOST = 16 };

typedef struct trial {
	const char *name;
	tensor (*build)(graph *g, int items, const int *p, tensor *x);
	int p[5];
	size_t values; /* of an item */
} trial;

/* ── networks of one operation ── */

static tensor weight(graph *g, const char *name, shape s) { return cast(g, param(g, name, s), graph_compute(g)); }

/* p: rows of an item, inputs, outputs, activation */
static tensor build_linear(graph *g, int items, const int *p, tensor *x)
{
	*x = input(g, "x", F32, shape3(items, p[0], p[1]));
	tensor y =
	    linear(g, cast(g, *x, graph_compute(g)), weight(g, "w", shape2(p[2], p[1])), param(g, "b", shape1(p[2])));
	return activate(g, y, (activation)p[3]);
}

/* An embedded timestep: a matrix with a row for each item. p: inputs, outputs */
static tensor build_rows(graph *g, int items, const int *p, tensor *x)
{
	*x = input(g, "x", F32, shape2(items, p[0]));
	return linear(g, *x, cast(g, param(g, "w", shape2(p[1], p[0])), F32), param(g, "b", shape1(p[1])));
}

/* … with what is added: x·w + x. p: rows, width */
static tensor build_residual(graph *g, int items, const int *p, tensor *x)
{
	*x = input(g, "x", F32, shape3(items, p[0], p[1]));
	tensor y = linear(g, cast(g, *x, graph_compute(g)), weight(g, "w", shape2(p[1], p[1])), 0);
	return add(g, y, cast(g, *x, graph_compute(g)));
}

/* p: side, inputs, outputs, taps, stride */
static tensor build_conv(graph *g, int items, const int *p, tensor *x)
{
	int pad = p[3] / 2;
	*x = input(g, "x", F32, shape4(items, p[0], p[0], p[1]));
	tensor w = weight(g, "w", shape4(p[2], p[1], p[3], p[3]));
	return conv2d(g, cast(g, *x, graph_compute(g)), w, param(g, "b", shape1(p[2])), p[4], pad, pad, pad, pad);
}

/* p: tokens, width, heads, causal */
static tensor build_attention(graph *g, int items, const int *p, tensor *x)
{
	*x = input(g, "x", F32, shape3(items, p[0], p[1]));
	tensor t = cast(g, *x, graph_compute(g));
	return attention(g, t, t, t, p[2], 0.2f, p[3]);
}

/* p: side, channels, groups */
static tensor build_group_norm(graph *g, int items, const int *p, tensor *x)
{
	*x = input(g, "x", F32, shape4(items, p[0], p[0], p[1]));
	return group_norm(g, *x, param(g, "b", shape1(p[1])), param(g, "c", shape1(p[1])), p[2], 1e-5f, SILU);
}

/* p: rows, width */
static tensor build_layer_norm(graph *g, int items, const int *p, tensor *x)
{
	*x = input(g, "x", F32, shape3(items, p[0], p[1]));
	return layer_norm(g, *x, param(g, "b", shape1(p[1])), param(g, "c", shape1(p[1])), 1e-5f);
}

static const trial trials[] = {
	{ "linear, a row of each", build_linear, { 1, 320, 320 }, 320 },
	{ "linear, few rows", build_linear, { 16, 1280, 320, GELU }, 16 * 1280 },
	{ "linear, a text", build_linear, { 77, 768, 300 }, 77 * 768 },
	{ "linear, odd", build_linear, { 20, 100, 36, SILU }, 20 * 100 },
	{ "linear, a picture", build_linear, { 256, 256, 640 }, 256 * 256 },
	{ "linear, long sums", build_linear, { 64, 2560, 128 }, 64 * 2560 },
	{ "rows", build_rows, { 320, 640 }, 320 },
	{ "rows, long sums", build_rows, { 1280, 320 }, 1280 },
	{ "residual", build_residual, { 77, 128 }, 77 * 128 },
	{ "convolution", build_conv, { 8, 64, 96, 3, 1 }, 8 * 8 * 64 },
	{ "convolution, stride", build_conv, { 16, 32, 64, 3, 2 }, 16 * 16 * 32 },
	{ "convolution, thin", build_conv, { 16, 4, 64, 3, 1 }, 16 * 16 * 4 },
	{ "convolution to a picture", build_conv, { 16, 64, 3, 3, 1 }, 16 * 16 * 64 },
	{ "convolution, one tap", build_conv, { 4, 160, 96, 1, 1 }, 4 * 4 * 160 },
	{ "attention", build_attention, { 100, 96, 3, 0 }, 100 * 96 },
	{ "attention, causal", build_attention, { 77, 64, 2, 1 }, 77 * 64 },
	{ "group norm", build_group_norm, { 8, 64, 32 }, 8 * 8 * 64 },
	{ "layer norm", build_layer_norm, { 77, 96 }, 77 * 96 },
};

/* ── runs ── */

static float *weights_of[3]; /* w, b, c */

static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	int i = *name == 'w' ? 0 : *name == 'b' ? 1 : 2;
	size_t n = shape_count(s);
	(void)context, (void)e;
	if (!weights_of[i]) {
		generator g;
		generator_seed(&g, (uint64_t)i + 1);
		weights_of[i] = malloc(n * sizeof(float));
		random_normal(&g, weights_of[i], n);
		for (size_t k = 0; k < n; k++) weights_of[i][k] *= 0.05f;
	}
	*d = F32;
	*data = weights_of[i];
	return true;
}

/* The bytes of the result; *each: of an item. */
static char *run(const trial *t, dtype type, int items, int threads, const float *x, size_t *each)
{
	error e = { 0 };
	graph *g = graph_new(type);
	tensor in, y = t->build(g, items, t->p, &in);
	keep(g, y);
	if (!graph_bind(g, bind, NULL, &e) || !graph_compile(g, backend_cpu(), threads, &e) ||
	    !graph_allocate(g, NULL, NULL, &e) || !graph_write(g, in, x, &e) || !graph_run(g, NULL, NULL, &e))
		fail_saying("%s: %s\n", t->name, e.text);
	size_t all = shape_count(shape_of(g, y)) * dtype_size(dtype_of(g, y));
	char *out = malloc(all);
	if (!graph_read(g, y, out, &e)) fail_saying("%s: %s\n", t->name, e.text);
	graph_free(g);
	*each = all / (size_t)items;
	return out;
}

static void compare(const trial *t, dtype type)
{
	static const int sizes[] = { 2, 3, 5, MOST };
	size_t each, again;
	float *x = malloc(MOST * t->values * sizeof *x);
	char *alone[MOST];
	generator g;
	generator_seed(&g, 9);
	random_normal(&g, x, MOST * t->values);
	for (int i = 0; i < MOST; i++) alone[i] = run(t, type, 1, 1, x + (size_t)i * t->values, &each);
	for (int k = 0; k < 4; k++) {
		char *all = run(t, type, sizes[k], 1 + k % 2, x, &again);
		assert_int_equal(each, again);
		for (int i = 0; i < sizes[k]; i++)
			if (memcmp(all + (size_t)i * each, alone[i], each))
				fail_saying("%s, %s: item %d of %d differs\n", t->name, dtype_name(type), i, sizes[k]);
		free(all);
	}
	for (int i = 0; i < MOST; i++) free(alone[i]);
	for (int i = 0; i < 3; i++) {
		free(weights_of[i]);
		weights_of[i] = NULL;
	}
	free(x);
}

static void each_item_is_what_it_is_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
		compare(&trials[i], F32);
		compare(&trials[i], BF16);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_item_is_what_it_is_alone) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
