/* operations.c - the table of the operation tests, and how each operation is built from a line of it. */
#include "operations.h"
#include "graph/ops.h"
#include <stdio.h>
#include <string.h>

/* An input in what layers compute in, and one in full precision. */
static tensor values(graph *g, const char *name, shape s) { return input(g, name, graph_compute(g), s); }
static tensor full(graph *g, const char *name, shape s) { return input(g, name, REAL, s); }

/* Reads "how many axes, then each" from sizes and moves on. */
static shape next_shape(const int **sizes)
{
	shape s = { *(*sizes)++, { 0 } };
	for (int i = 0; i < s.n; i++) s.d[i] = *(*sizes)++;
	return s;
}

/* ── builders ── */

/* shape, shape */
static tensor build_add(graph *g, const int *s)
{
	tensor a = values(g, "a", next_shape(&s));
	return add(g, a, values(g, "b", next_shape(&s)));
}

static tensor build_mul(graph *g, const int *s)
{
	tensor a = values(g, "a", next_shape(&s));
	return mul(g, a, values(g, "b", next_shape(&s)));
}

static tensor build_sum_to(graph *g, const int *s)
{
	tensor x = values(g, "x", next_shape(&s));
	return sum_to(g, x, next_shape(&s));
}

static tensor build_spread(graph *g, const int *s)
{
	tensor x = values(g, "x", next_shape(&s));
	return spread(g, x, next_shape(&s));
}

static tensor build_affine(graph *g, const int *s) { return affine(g, values(g, "x", next_shape(&s)), -1.75f, 0.3f); }

/* to full precision and back */
static tensor build_cast(graph *g, const int *s)
{
	return cast(g, affine(g, cast(g, values(g, "x", next_shape(&s)), REAL), 3, 0), graph_compute(g));
}

/* first element, shape, shape of the view */
static tensor build_view(graph *g, const int *s)
{
	int first = *s++;
	tensor x = affine(g, values(g, "x", next_shape(&s)), 2, 0);
	return view(g, x, (size_t)first, next_shape(&s));
}

/* activation, shape */
static tensor build_activation(graph *g, const int *s)
{
	activation a = (activation)*s++;
	bool positive = a == LOG || a == SQRT || a == RECIPROCAL;
	return activate(g, values(g, positive ? "positive" : "x", next_shape(&s)), a);
}

static tensor build_geglu(graph *g, const int *s) { return geglu(g, values(g, "x", next_shape(&s))); }

/* the permutation (four numbers), shape */
static tensor build_permute(graph *g, const int *s)
{
	const int *a = s;
	s += 4;
	return permute(g, values(g, "x", next_shape(&s)), a[0], a[1], a[2], a[3]);
}

/* axis, first, length, shape */
static tensor build_slice(graph *g, const int *s)
{
	const int *a = s;
	s += 3;
	return slice(g, values(g, "x", next_shape(&s)), a[0], a[1], a[2]);
}

/* axis, before, whole length, shape */
static tensor build_pad(graph *g, const int *s)
{
	const int *a = s;
	s += 3;
	return pad(g, values(g, "x", next_shape(&s)), a[0], a[1], a[2]);
}

/* axis, length of the second, shape of the first */
static tensor build_concat(graph *g, const int *s)
{
	int axis = *s++, length = *s++;
	shape a = next_shape(&s), b = a;
	b.d[axis] = length;
	return concat(g, values(g, "a", a), values(g, "b", b), axis);
}

/* N H W C, height, width */
static tensor build_resize(graph *g, const int *s)
{
	return resize_nearest(g, values(g, "x", shape4(s[0], s[1], s[2], s[3])), s[4], s[5]);
}

/* N H W C, maximum, window */
static tensor build_pool(graph *g, const int *s)
{
	return pool(g, values(g, "x", shape4(s[0], s[1], s[2], s[3])), s[4], s[5]);
}

/* What a product takes with it: 1 a bias, 2 a residual. */
enum { PLAIN, BIAS, RESIDUAL, BOTH };

/* What fusion would make of a product and what follows it: builders have no way to say so. */
static tensor fused(graph *g, tensor product, int parts, activation a)
{
	if (!product || (!(parts & RESIDUAL) && !a)) return product;
	node n = *node_of(g, product);
	n.in[3] = parts & RESIDUAL ? input(g, "residual", n.dtype, n.shape) : 0;
	n.a[n.op == MATMUL ? 2 : 5] = (int)a;
	return emit(g, 2, n);
}

/* M K N, transposed A, transposed B, parts, activation */
static tensor build_matmul(graph *g, const int *s)
{
	tensor a = values(g, "a", s[3] ? shape2(s[1], s[0]) : shape2(s[0], s[1]));
	tensor b = values(g, "b", s[4] ? shape2(s[2], s[1]) : shape2(s[1], s[2])), y;
	if (s[5] & BIAS)
		y = linear(g, a, b, full(g, "bias", shape1(s[2])));
	else
		y = matmul(g, a, b, s[3], s[4], graph_compute(g));
	return fused(g, y, s[5], (activation)s[6]);
}

/* N T K M: tokens through a layer without bias */
static tensor build_linear(graph *g, const int *s)
{
	return linear(g, values(g, "x", shape3(s[0], s[1], s[2])), values(g, "w", shape2(s[3], s[2])), 0);
}

/* What conv2d pads: the same on all sides, or as the autoencoder's downsampling does. */
enum { ASYMMETRIC = -1 };

/* N H W in out, kernel height, width, stride, pad, parts, activation */
static tensor build_conv(graph *g, const int *s)
{
	int before = s[8] == ASYMMETRIC ? 0 : s[8], after = s[8] == ASYMMETRIC ? 1 : s[8];
	tensor x = values(g, "x", shape4(s[0], s[1], s[2], s[3])), w = values(g, "w", shape4(s[4], s[3], s[5], s[6]));
	tensor bias = s[9] & BIAS ? full(g, "bias", shape1(s[4])) : 0;
	tensor y = conv2d(g, x, w, bias, s[7], before, before, after, after);
	return fused(g, y, s[9], (activation)s[10]);
}

/* groups, activation, shape */
static tensor build_group_norm(graph *g, const int *s)
{
	int groups = *s++;
	activation a = (activation)*s++;
	tensor x = values(g, "x", next_shape(&s));
	tensor gamma = full(g, "gamma", shape1(dim(g, x, -1))), beta = full(g, "beta", shape1(dim(g, x, -1)));
	return group_norm(g, x, gamma, beta, groups, 1e-5f, a);
}

/* groups, activation, shape; the statistics are any numbers */
static tensor build_given_norm(graph *g, const int *s)
{
	int groups = *s++;
	activation a = (activation)*s++;
	tensor x = values(g, "x", next_shape(&s));
	int channels = dim(g, x, -1);
	tensor gamma = full(g, "gamma", shape1(channels)), beta = full(g, "beta", shape1(channels));
	return group_norm_given(g, x, gamma, beta, full(g, "statistics", shape3(dim(g, x, 0), 2, channels)), groups, a);
}

/* with gamma and beta, shape */
static tensor build_layer_norm(graph *g, const int *s)
{
	bool affine_too = *s++;
	tensor x = values(g, "x", next_shape(&s));
	shape c = shape1(dim(g, x, -1));
	return layer_norm(g, x, affine_too ? full(g, "gamma", c) : 0, affine_too ? full(g, "beta", c) : 0, 1e-5f);
}

/* N, queries, keys, heads, width of a head, causal */
static tensor build_attention(graph *g, const int *s)
{
	tensor q = values(g, "q", shape3(s[0], s[1], s[3] * s[4])), k = values(g, "k", shape3(s[0], s[2], s[3] * s[4]));
	tensor v = values(g, "v", shape3(s[0], s[2], s[3] * s[4]));
	float root = 1;
	while (root * root < (float)s[4]) root += 0.25f;
	return attention(g, q, k, v, s[3], 1 / root, s[5]);
}

/* N, queries, keys, heads, width, biases */
static tensor build_biased_attention(graph *g, const int *s)
{
	tensor q = values(g, "q", shape3(s[0], s[1], s[3] * s[4])), k = values(g, "k", shape3(s[0], s[2], s[3] * s[4]));
	tensor v = values(g, "v", shape3(s[0], s[2], s[3] * s[4]));
	return attention_biased(g, q, k, v, full(g, "bias", shape4(s[5], s[3], s[1], s[2])), s[3], 0.25f);
}

/* queries, keys, buckets, distance: read off a table, so that there is a number to compare */
static tensor build_relative_buckets(graph *g, const int *s)
{
	return embedding(g, values(g, "table", shape2(s[2], 3)), relative_buckets(g, s[0], s[1], s[2], s[3]));
}

/* gamma?, shape */
static tensor build_rms_norm(graph *g, const int *s)
{
	bool scaled = *s++;
	shape x = next_shape(&s);
	return rms_norm(g, values(g, "x", x), scaled ? full(g, "gamma", shape1(x.d[x.n - 1])) : 0, 1e-6f);
}

/* rows, width, N, T */
static tensor build_embedding(graph *g, const int *s)
{
	return embedding(g, values(g, "table", shape2(s[0], s[1])), input(g, "ids", I32, shape2(s[2], s[3])));
}

/* N, width */
static tensor build_timesteps(graph *g, const int *s)
{
	return timestep_embedding(g, full(g, "timesteps", shape1(s[0])), s[1], 10000);
}

/* ── the cases ── */

const operation_case operation_cases[] = {
	{ ADD, build_add, { 4, 2, 3, 5, 7, 4, 2, 3, 5, 7 } },
	{ ADD, build_add, { 1, 1, 1, 1 } },
	{ ADD, build_add, { 4, 3, 4, 5, 32, 1, 32 } },
	{ ADD, build_add, { 4, 3, 4, 5, 17, 4, 3, 1, 1, 17 } },
	{ ADD, build_add, { 3, 2, 77, 64, 3, 2, 1, 64 } },
	{ ADD, build_add, { 3, 2, 3, 5, 3, 2, 3, 1 } },
	{ ADD, build_add, { 2, 4, 9, 1, 1 } },
	{ MUL, build_mul, { 4, 2, 3, 5, 7, 4, 2, 3, 5, 7 } },
	{ MUL, build_mul, { 3, 3, 33, 24, 3, 3, 1, 24 } },
	{ MUL, build_mul, { 3, 2, 3, 5, 1, 1 } },
	{ AFFINE, build_affine, { 3, 3, 5, 7 } },
	{ AFFINE, build_affine, { 1, 1 } },
	{ AFFINE, build_affine, { 2, 64, 128 } },
	{ CAST, build_cast, { 3, 3, 5, 7 } },
	{ CAST, build_cast, { 2, 33, 129 } },
	{ VIEW, build_view, { 6, 2, 4, 6, 2, 3, 2 } },
	{ VIEW, build_view, { 5, 1, 40, 1, 1 } },
	{ ACTIVATION, build_activation, { SILU, 3, 3, 7, 19 } },
	{ ACTIVATION, build_activation, { SILU, 1, 1 } },
	{ ACTIVATION, build_activation, { GELU, 2, 13, 21 } },
	{ ACTIVATION, build_activation, { GELU_TANH, 2, 13, 21 } },
	{ ACTIVATION, build_activation, { GELU_QUICK, 2, 13, 21 } },
	{ ACTIVATION, build_activation, { RELU, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { LEAKY_RELU, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { TANH, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { SIGMOID, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { EXP, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { LOG, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { SQRT, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { RECIPROCAL, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { SQUARE, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { ABS, 2, 5, 40 } },
	{ ACTIVATION, build_activation, { CLAMP_LOGVAR, 2, 5, 40 } },
	{ GEGLU, build_geglu, { 3, 2, 9, 2 } },
	{ GEGLU, build_geglu, { 3, 3, 17, 128 } },
	{ GEGLU, build_geglu, { 2, 5, 46 } },
	{ GEGLU, build_geglu, { 2, 3, 1100 } },
	{ SUM_TO, build_sum_to, { 4, 2, 3, 5, 7, 1, 7 } },
	{ SUM_TO, build_sum_to, { 4, 3, 4, 5, 70, 4, 3, 1, 1, 70 } },
	{ SUM_TO, build_sum_to, { 3, 2, 3, 5, 3, 2, 3, 1 } },
	{ SUM_TO, build_sum_to, { 3, 2, 33, 65, 1, 1 } },
	{ SUM_TO, build_sum_to, { 4, 2, 3, 5, 7, 4, 1, 3, 1, 1 } },
	{ SPREAD, build_spread, { 1, 7, 4, 2, 3, 5, 7 } },
	{ SPREAD, build_spread, { 4, 3, 1, 1, 16, 4, 3, 4, 5, 16 } },
	{ SPREAD, build_spread, { 1, 1, 3, 2, 33, 65 } },
	{ SPREAD, build_spread, { 3, 2, 3, 1, 3, 2, 3, 5 } },
	{ PERMUTE, build_permute, { 0, 2, 3, 1, 4, 2, 4, 3, 5 } },
	{ PERMUTE, build_permute, { 0, 3, 1, 2, 4, 3, 7, 5, 16 } },
	{ PERMUTE, build_permute, { 0, 2, 1, 3, 4, 2, 9, 8, 40 } },
	{ PERMUTE, build_permute, { 1, 0, 0, 0, 2, 33, 17 } },
	{ PERMUTE, build_permute, { 2, 0, 1, 0, 3, 3, 4, 5 } },
	{ SLICE, build_slice, { 1, 1, 2, 3, 2, 5, 3 } },
	{ SLICE, build_slice, { -1, 3, 8, 4, 2, 3, 5, 17 } },
	{ SLICE, build_slice, { 0, 1, 2, 3, 4, 5, 3 } },
	{ PAD, build_pad, { -1, 2, 9, 3, 2, 3, 5 } },
	{ PAD, build_pad, { 1, 0, 9, 3, 2, 3, 5 } },
	{ CONCAT, build_concat, { 3, 5, 4, 2, 3, 4, 8 } },
	{ CONCAT, build_concat, { 3, 16, 4, 3, 5, 5, 32 } },
	{ CONCAT, build_concat, { 1, 1, 3, 2, 77, 8 } },
	{ CONCAT, build_concat, { 0, 2, 2, 3, 7 } },
	{ RESIZE, build_resize, { 1, 3, 4, 8, 6, 8 } },
	{ RESIZE, build_resize, { 3, 3, 5, 7, 7, 8 } },
	{ RESIZE, build_resize, { 2, 9, 8, 4, 4, 3 } },
	{ POOL, build_pool, { 1, 4, 6, 8, 0, 2 } },
	{ POOL, build_pool, { 3, 7, 5, 5, 0, 3 } },
	{ POOL, build_pool, { 1, 4, 6, 8, 1, 2 } },
	{ POOL, build_pool, { 3, 7, 5, 5, 1, 2 } },
	{ MATMUL, build_matmul, { 1, 1, 1, 0, 1 } },
	{ MATMUL, build_matmul, { 33, 40, 17, 0, 1, BIAS } },
	{ MATMUL, build_matmul, { 64, 64, 64, 0, 1, BIAS, SILU } },
	{ MATMUL, build_matmul, { 5, 300, 7, 0, 1, BIAS, GELU } },
	{ MATMUL, build_matmul, { 5, 64, 48, 0, 1, BIAS, GELU_TANH } },
	{ MATMUL, build_matmul, { 5, 64, 48, 0, 1, 0, GELU } },
	{ MATMUL, build_matmul, { 5, 64, 48, 0, 1, 0, GELU_TANH } },
	{ MATMUL, build_matmul, { 5, 64, 48, 0, 1, 0, SILU } },
	{ MATMUL, build_matmul, { 5, 64, 48, 0, 1, BIAS, GELU_QUICK } },
	{ MATMUL, build_matmul, { 77, 32, 96, 0, 1, RESIDUAL } },
	{ MATMUL, build_matmul, { 30, 32, 11, 0, 1, BOTH } },
	{ MATMUL, build_matmul, { 30, 32, 16, 0, 1, BOTH, SILU } },
	{ MATMUL, build_matmul, { 19, 23, 29, 0, 0 } },
	{ MATMUL, build_matmul, { 19, 23, 29, 1, 0 } },
	{ MATMUL, build_matmul, { 19, 23, 29, 1, 1 } },
	{ MATMUL, build_matmul, { 3, 16, 300, 0, 0, RESIDUAL } },
	{ MATMUL, build_matmul, { 100, 33, 45, 0, 1, BIAS } },
	{ MATMUL, build_matmul, { 70, 64, 40, 0, 0, RESIDUAL } },
	{ MATMUL, build_matmul, { 66, 30, 33, 0, 1, BIAS, GELU } },
	{ MATMUL, build_matmul, { 65, 64, 32, 0, 1, BIAS, GELU_TANH } },
	{ MATMUL, build_matmul, { 96, 32, 8, 0, 1, RESIDUAL, GELU_QUICK } },
	{ MATMUL, build_matmul, { 300, 1350, 50, 0, 1, RESIDUAL } },
	{ MATMUL, build_matmul, { 300, 330, 300, 0, 0 } },
	{ MATMUL, build_linear, { 2, 9, 24, 40 } },
	{ MATMUL, build_linear, { 3, 7, 13, 1 } },
	{ CONV, build_conv, { 1, 1, 1, 1, 1, 1, 1, 1, 0 } },
	{ CONV, build_conv, { 1, 8, 8, 4, 16, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 3, 7, 5, 16, 32, 3, 3, 1, 1, BIAS, SILU } },
	{ CONV, build_conv, { 2, 6, 6, 16, 16, 3, 3, 1, 1, BOTH } },
	{ CONV, build_conv, { 2, 6, 6, 16, 16, 3, 3, 1, 1, BOTH, GELU_QUICK } },
	{ CONV, build_conv, { 2, 6, 6, 5, 3, 3, 3, 1, 1, RESIDUAL, SILU } },
	{ CONV, build_conv, { 2, 9, 7, 8, 8, 3, 3, 2, ASYMMETRIC, BIAS } },
	{ CONV, build_conv, { 1, 8, 8, 8, 8, 3, 3, 2, ASYMMETRIC, BIAS } },
	{ CONV, build_conv, { 1, 9, 8, 8, 12, 3, 3, 2, 1, BIAS } },
	{ CONV, build_conv, { 2, 5, 6, 24, 40, 1, 1, 1, 0, BIAS } },
	{ CONV, build_conv, { 1, 16, 16, 7, 5, 4, 4, 4, 0, BIAS } },
	{ CONV, build_conv, { 1, 6, 9, 3, 5, 1, 3, 1, 1 } },
	{ CONV, build_conv, { 1, 3, 3, 130, 6, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 5, 4, 3, 17, 150, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 3, 7, 5, 20, 33, 3, 3, 2, 1 } },
	{ CONV, build_conv, { 1, 3, 260, 16, 16, 3, 3, 1, 1 } }, /* rows longer than the tiles of some CPUs hold */
	/* work enough to be cut: into strips of rows, with a stride and paddings that differ, and into ranges of channels
	 */
	{ CONV, build_conv, { 2, 41, 24, 64, 96, 3, 3, 1, 1, BOTH, SILU } },
	{ CONV, build_conv, { 1, 63, 40, 64, 64, 3, 3, 2, ASYMMETRIC, BIAS } },
	{ CONV, build_conv, { 2, 8, 8, 256, 448, 3, 3, 1, 1, BOTH, SILU } },
	{ CONV, build_conv, { 1, 170, 131, 33, 3, 3, 3, 1, 1, BOTH, SILU } }, /* too large for one map of the CPU's tiles */
	{ GROUP_NORM, build_group_norm, { 4, NO_ACTIVATION, 4, 2, 3, 5, 16 } },
	{ GROUP_NORM, build_group_norm, { 4, SILU, 4, 3, 5, 4, 12 } },
	{ GROUP_NORM, build_group_norm, { 1, SILU, 4, 1, 3, 3, 7 } },
	{ GROUP_NORM, build_group_norm, { 8, NO_ACTIVATION, 3, 2, 9, 8 } },
	{ GROUP_NORM, build_group_norm, { 32, SILU, 4, 2, 4, 4, 320 } },
	{ GROUP_NORM, build_group_norm, { 2, GELU, 4, 1, 1, 1, 6 } },
	{ GROUP_NORM, build_group_norm, { 8, SILU, 4, 2, 21, 27, 32 } },
	{ GROUP_NORM, build_group_norm, { 6, SILU, 4, 1, 18, 17, 72 } },
	{ GROUP_NORM, build_given_norm, { 4, SILU, 4, 2, 5, 4, 12 } },
	{ GROUP_NORM, build_given_norm, { 6, NO_ACTIVATION, 4, 1, 18, 17, 72 } },
	{ LAYER_NORM, build_layer_norm, { 1, 3, 2, 7, 40 } },
	{ LAYER_NORM, build_layer_norm, { 1, 2, 5, 33 } },
	{ LAYER_NORM, build_layer_norm, { 0, 3, 3, 5, 24 } },
	{ LAYER_NORM, build_layer_norm, { 1, 2, 1, 768 } },
	{ ATTENTION, build_attention, { 1, 1, 1, 1, 1 } },
	{ ATTENTION, build_attention, { 2, 17, 17, 3, 5 } },
	{ ATTENTION, build_attention, { 2, 16, 77, 8, 40 } },
	{ ATTENTION, build_attention, { 1, 9, 154, 2, 64 } },
	{ ATTENTION, build_attention, { 1, 70, 70, 2, 80 } },
	{ ATTENTION, build_attention, { 3, 8, 77, 2, 160 } },
	{ ATTENTION, build_attention, { 1, 20, 20, 1, 512 } },
	{ ATTENTION, build_attention, { 2, 77, 77, 2, 64, 1 } },
	{ ATTENTION, build_attention, { 1, 13, 13, 3, 24, 1 } },
	{ ATTENTION, build_attention, { 1, 333, 333, 2, 40 } },
	{ ATTENTION, build_attention, { 1, 300, 300, 1, 64, 1 } },
	{ ATTENTION, build_attention, { 2, 131, 257, 1, 48 } },
	{ ATTENTION, build_attention, { 1, 33, 513, 2, 33 } },
	{ ATTENTION, build_attention, { 1, 137, 40, 1, 80 } },
	{ ATTENTION, build_attention, { 1, 70, 70, 1, 160 } },
	{ ATTENTION, build_biased_attention, { 1, 1, 1, 1, 1, 1 } },
	{ ATTENTION, build_biased_attention, { 2, 77, 77, 4, 64, 1 } },
	{ ATTENTION, build_biased_attention, { 3, 50, 130, 3, 12, 3 } },
	{ RELATIVE_BUCKETS, build_relative_buckets, { 7, 40, 32, 128 } },
	{ RELATIVE_BUCKETS, build_relative_buckets, { 1, 300, 8, 20 } },
	{ RMS_NORM, build_rms_norm, { 1, 3, 2, 7, 40 } },
	{ RMS_NORM, build_rms_norm, { 0, 2, 5, 33 } },
	{ RMS_NORM, build_rms_norm, { 1, 4, 2, 3, 4, 64 } },
	{ RMS_NORM, build_rms_norm, { 1, 1, 5000 } },
	{ EMBEDDING, build_embedding, { 11, 8, 2, 7 } },
	{ EMBEDDING, build_embedding, { 3, 33, 3, 20 } },
	{ TIMESTEP_EMBEDDING, build_timesteps, { 3, 32 } },
	{ TIMESTEP_EMBEDDING, build_timesteps, { 2, 7 } },
	{ TIMESTEP_EMBEDDING, build_timesteps, { 1, 2 } },
};
const int operation_case_count = sizeof operation_cases / sizeof *operation_cases;

/* A small U-Net and an autoencoder in training; then SD 1.5 at 512×512: both halves of the guided pair, and the
 * decoder's large layers. */
const operation_case benchmark_cases[] = {
	{ MATMUL, build_matmul, { 4096, 256, 1024, 0, 1, BIAS } },
	{ MATMUL, build_matmul, { 1024, 384, 384, 0, 1, BIAS } },
	{ MATMUL, build_matmul, { 16, 512, 1280, 0, 1, BIAS } },
	{ CONV, build_conv, { 16, 16, 16, 128, 128, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 16, 8, 8, 256, 256, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 16, 4, 4, 384, 384, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 16, 8, 8, 512, 256, 1, 1, 1, 0, BIAS } },
	{ CONV, build_conv, { 16, 16, 16, 4, 128, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 32, 8, 8, 256, 128, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 32, 4, 4, 512, 256, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 8, 64, 64, 32, 32, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 8, 64, 64, 3, 32, 3, 3, 1, 1, BIAS } },
	{ GROUP_NORM, build_group_norm, { 32, SILU, 4, 16, 16, 16, 128 } },
	{ ATTENTION, build_attention, { 16, 256, 256, 4, 32 } },
	{ ATTENTION, build_attention, { 16, 64, 77, 4, 64 } },
	{ ADD, build_add, { 4, 2, 64, 64, 320, 4, 2, 64, 64, 320 } },
	{ ACTIVATION, build_activation, { SILU, 4, 2, 64, 64, 320 } },
	{ GEGLU, build_geglu, { 3, 2, 4096, 2560 } },
	{ CONCAT, build_concat, { 3, 320, 4, 2, 64, 64, 640 } },
	{ PERMUTE, build_permute, { 0, 3, 1, 2, 4, 2, 64, 64, 320 } },
	{ RESIZE, build_resize, { 2, 32, 32, 640, 64, 64 } },
	{ MATMUL, build_matmul, { 4096, 320, 320, 0, 1, BIAS } },
	{ MATMUL, build_matmul, { 8192, 320, 2560, 0, 1, BIAS } },
	{ MATMUL, build_matmul, { 512, 1280, 10240, 0, 1, BIAS } },
	{ MATMUL, build_matmul, { 154, 768, 320, 0, 1 } },
	{ CONV, build_conv, { 2, 64, 64, 320, 320, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 2, 32, 32, 640, 640, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 2, 16, 16, 1280, 1280, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 2, 8, 8, 1280, 1280, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 2, 64, 64, 320, 320, 3, 3, 2, 1, BIAS } },
	{ CONV, build_conv, { 1, 512, 512, 128, 128, 3, 3, 1, 1, BIAS } },
	{ CONV, build_conv, { 1, 512, 512, 128, 3, 3, 3, 1, 1, BIAS } },
	{ GROUP_NORM, build_group_norm, { 32, SILU, 4, 2, 64, 64, 320 } },
	{ GROUP_NORM, build_group_norm, { 32, SILU, 4, 1, 512, 512, 128 } },
	{ LAYER_NORM, build_layer_norm, { 1, 3, 2, 4096, 320 } },
	{ ATTENTION, build_attention, { 2, 4096, 4096, 8, 40 } },
	{ ATTENTION, build_attention, { 2, 1024, 1024, 8, 80 } },
	{ ATTENTION, build_attention, { 2, 4096, 77, 8, 40 } },
	{ ATTENTION, build_attention, { 1, 4096, 4096, 1, 512 } },
	{ ATTENTION, build_attention, { 2, 77, 77, 12, 64, 1 } },
	{ ATTENTION, build_biased_attention, { 2, 256, 256, 64, 64, 1 } },
	{ ATTENTION, build_attention, { 2, 4250, 4250, 24, 64 } },
	{ RMS_NORM, build_rms_norm, { 1, 4, 2, 4096, 24, 64 } },
};
const int benchmark_case_count = sizeof benchmark_cases / sizeof *benchmark_cases;

void print_case(const operation_case *c)
{
	int used = MAX_SIZES;
	while (used && !c->sizes[used - 1]) used--;
	printf("%s", operations[c->op].name);
	for (int i = 0; i < used; i++) printf(" %d", c->sizes[i]);
}

/* ── graphs and values ── */

/* A product with a residual or an activation is what fusion makes; no rule differentiates it, nor attention with a
 * bias. */
static bool lacks_gradient(const graph *g, tensor y)
{
	const node *n = node_of(g, y);
	return (n->op == MATMUL && (n->in[3] || n->a[2])) || (n->op == CONV && (n->in[3] || n->a[5])) ||
	       (n->op == ATTENTION && n->inputs > 3) || (n->op == GROUP_NORM && n->inputs > 3);
}

case_graph build_case(const operation_case *c, dtype compute, bool differentiate)
{
	case_graph r = { .g = graph_new(compute) };
	if (!r.g) return r;
	r.y = c->build(r.g, c->sizes);
	int inputs = node_count(r.g);
	tensor weighted = mul(r.g, cast(r.g, r.y, REAL), input(r.g, "r", REAL, shape_of(r.g, r.y)));
	r.loss = sum_to(r.g, weighted, shape1(1));
	for (int i = 1; r.y && i <= inputs && r.wrt_count < MAX_WRT; i++) {
		const node *n = node_of(r.g, (tensor)i);
		if (n->op == INPUT && dtype_is_float(n->dtype) && strcmp(n->name, "timesteps"))
			r.wrt[r.wrt_count++] = (tensor)i;
	}
	if (!differentiate || (r.y && lacks_gradient(r.g, r.y))) r.wrt_count = 0;
	if (r.wrt_count) gradients(r.g, r.loss, r.wrt, r.wrt_count, r.gradient);
	keep(r.g, r.y);
	keep(r.g, r.loss);
	return r;
}

static float value_for(const char *name, generator *random)
{
	float x;
	bool positive = !strcmp(name, "positive"), timesteps = !strcmp(name, "timesteps");
	if (!positive && !timesteps) {
		random_normal(random, &x, 1);
		return x;
	}
	random_uniform(random, &x, 1);
	return positive ? 0.5f + 1.5f * x : 999 * x;
}

void fill_input(const graph *g, tensor t, generator *random, void *data)
{
	const node *n = node_of(g, t);
	size_t size = dtype_size(n->dtype);
	for (size_t i = 0; i < shape_count(n->shape); i++) {
		if (n->dtype == I32) {
			int64_t id;
			random_integers(random, 0, dim(g, find(g, "table"), 0), &id, 1);
			((int32_t *)data)[i] = (int32_t)id;
		} else {
			float x = value_for(n->name, random);
			convert((char *)data + i * size, n->dtype, &x, F32, 1);
		}
	}
}

void fill_inputs(graph *g, uint64_t seed)
{
	generator random;
	generator_seed(&random, seed);
	for (int i = 1; i <= node_count(g); i++)
		if (node_of(g, (tensor)i)->op == INPUT) fill_input(g, (tensor)i, &random, graph_address(g, (tensor)i));
}
