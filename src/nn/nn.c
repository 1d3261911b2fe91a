/* nn.c - layers: parameters by name, cast, and the graph's operations on them. */
#include "nn/nn.h"
#include <math.h>
#include <stdio.h>

/* PyTorch's start of a linear or convolution layer, weight and bias alike: uniform within ±1/√fan_in. */
static initial fan_in(size_t n) { return (initial){ UNIFORM_START, n ? 1 / sqrtf((float)n) : 0 }; }
static const initial zeros = { CONSTANT_START, 0 }, ones = { CONSTANT_START, 1 };

dtype nn_sums(const nn *n) { return n->wide_sums ? REAL : graph_compute(n->g); }

/* In full precision: a cast to it and back changes nothing. */
static tensor joined(nn *n, const char *name, shape s, const row_piece *pieces, int count)
{
	graph *g = n->g;
	char own[280];
	tensor all = 0;
	for (int i = 0; i < count; i++) {
		int half = pieces[i].rows / 2;
		snprintf(own, sizeof own, "%.250s#%d", name, i);
		s.d[0] = pieces[i].rows;
		tensor t = cast(g, param(g, own, s), REAL);
		if (pieces[i].swapped) t = concat(g, slice(g, t, 0, half, pieces[i].rows - half), slice(g, t, 0, 0, half), 0);
		all = i ? concat(g, all, t, 0) : t;
	}
	return all;
}

tensor nn_parameter(nn *n, const char *name, shape s, initial i)
{
	char whole[1024];
	row_piece pieces[NN_PIECES];
	snprintf(whole, sizeof whole, "%s%s", scope_of(n->g), name);
	if (n->parameter) n->parameter(n->context, whole, s, i);
	int count = n->pieces ? n->pieces(n->file, whole, s, pieces) : 0;
	return count ? joined(n, name, s, pieces, count) : param(n->g, name, s);
}

static tensor weight_as(nn *n, const char *name, shape s, initial i, dtype d)
{
	tensor w = nn_parameter(n, name, s, i);
	w = lora_merge(n->g, n->adapters, n->adapter_count, name, w);
	return cast(n->g, w, d);
}

tensor nn_weight(nn *n, const char *name, shape s, initial i) { return weight_as(n, name, s, i, graph_compute(n->g)); }

tensor nn_vector(nn *n, const char *name, int count, initial i)
{
	tensor p = nn_parameter(n, name, shape1(count), i);
	return cast(n->g, lora_merge(n->g, n->adapters, n->adapter_count, name, p), REAL);
}

void nn_block(nn *n, tensor result)
{
	if (n->block) n->block(n->context, scope_of(n->g), result);
}

static tensor product(nn *n, const char *name, tensor x, shape s, bool bias)
{
	graph *g = n->g;
	push(g, "%s", name);
	tensor w = weight_as(n, "weight", s, fan_in((size_t)s.d[1]), dtype_of(g, x));
	if (s.n == 3) w = reshape(g, w, shape2(s.d[0], s.d[1]));
	tensor y = linear(g, x, w, bias ? nn_vector(n, "bias", s.d[0], fan_in((size_t)s.d[1])) : 0);
	y = lora_linear(g, n->training, "weight", x, y);
	pop(g);
	return y;
}

tensor nn_linear(nn *n, const char *name, tensor x, int out, bool bias)
{
	return product(n, name, x, shape2(out, dim(n->g, x, -1)), bias);
}

tensor nn_pointwise(nn *n, const char *name, tensor x, int out, int axes)
{
	return product(n, name, x, (shape){ axes, { out, dim(n->g, x, -1), 1, 1 } }, true);
}

tensor nn_conv2d_strided(
    nn *n, const char *name, tensor x, int out, int size, int stride, int before, int after, bool bias)
{
	graph *g = n->g;
	int in = dim(g, x, -1);
	initial start = fan_in((size_t)in * (size_t)size * (size_t)size);
	push(g, "%s", name);
	tensor w = weight_as(n, "weight", shape4(out, in, size, size), start, dtype_of(g, x));
	tensor b = bias ? nn_vector(n, "bias", out, start) : 0;
	tensor y;
	if (size == 1 && stride == 1 && !before && !after) {
		y = linear(g, x, w, b);
		y = lora_linear(g, n->training, "weight", x, y);
	} else {
		y = conv2d(g, x, w, b, stride, before, before, after, after);
		y = lora_conv2d(g, n->training, "weight", x, y, size, stride, before, after);
	}
	pop(g);
	return y;
}

tensor nn_conv2d(nn *n, const char *name, tensor x, int out, int size)
{
	return nn_conv2d_strided(n, name, x, out, size, 1, size / 2, size / 2, true);
}

/* [1,2,C] of `given`: mean and deviation as they are, or relative to those of the input, rows 2 and 3 of sums. */
static tensor given_statistics(graph *g, tensor given, tensor sums, tensor relative)
{
	tensor absolute = affine(g, relative, -1, 1), own[2], of[2];
	for (int row = 0; row < 2; row++) {
		own[row] = mul(g, slice(g, sums, 1, 2 + row, 1), relative);
		of[row] = slice(g, given, 1, row, 1);
	}
	tensor deviation = mul(g, of[1], add(g, own[1], absolute));
	tensor unit = add(g, mul(g, activate(g, deviation, RECIPROCAL), relative), absolute);
	return concat(g, add(g, own[0], mul(g, of[0], unit)), deviation, 1);
}

static tensor shared_group_norm(nn *n, tensor x, tensor gamma, tensor beta, int groups, float epsilon, activation a)
{
	graph *g = n->g;
	shared_norms *all = n->shared;
	shape s = shape_of(g, x);
	if (all->count == MOST_SHARED_NORMS || s.n != 4) {
		graph_fail(g, "%s: too many group norms for tiles, or not of a picture", scope_of(g));
		return 0;
	}
	tensor own = cast(g, resize_nearest(g, all->own, s.d[1], s.d[2]), dtype_of(g, x));
	tensor sums = group_norm_sums(g, x, mul(g, x, own), gamma, beta, groups, epsilon);
	tensor given = input(g, "statistics", REAL, shape3(1, 2, s.d[3]));
	double places = (double)s.d[1] * s.d[2] / ((double)dim(g, all->own, 1) * dim(g, all->own, 2));
	keep(g, sums);
	all->of[all->count++] = (shared_norm){ given, sums, groups, places, epsilon };
	return group_norm_given(g, x, gamma, beta, given_statistics(g, given, sums, all->relative), groups, a);
}

tensor nn_group_norm(nn *n, const char *name, tensor x, int groups, float epsilon, activation a)
{
	graph *g = n->g;
	int width = dim(g, x, -1);
	push(g, "%s", name);
	tensor gamma = nn_vector(n, "weight", width, ones), beta = nn_vector(n, "bias", width, zeros);
	tensor y = n->shared ? shared_group_norm(n, x, gamma, beta, groups, epsilon, a)
	                     : group_norm(g, x, gamma, beta, groups, epsilon, a);
	pop(g);
	return y;
}

tensor nn_layer_norm(nn *n, const char *name, tensor x, float epsilon)
{
	graph *g = n->g;
	int width = dim(g, x, -1);
	push(g, "%s", name);
	tensor gamma = nn_vector(n, "weight", width, ones), beta = nn_vector(n, "bias", width, zeros);
	tensor y = layer_norm(g, x, gamma, beta, epsilon);
	pop(g);
	return y;
}

tensor nn_rms_norm(nn *n, const char *name, tensor x, float epsilon)
{
	graph *g = n->g;
	push(g, "%s", name);
	tensor y = rms_norm(g, x, nn_vector(n, "weight", dim(g, x, -1), ones), epsilon);
	pop(g);
	return y;
}

/* A token is of one table or of the other: row 0 of the further table is zeros, and `old` is 1 where it is meant. */
static tensor with_new_words(nn *n, tensor y, int width)
{
	graph *g = n->g;
	tensor rows = cast(g, param(g, "new_words", shape2(n->new_words, width)), REAL);
	tensor old = concat(g, fill(g, REAL, shape2(1, 1), 1), fill(g, REAL, shape2(n->new_words, 1), 0), 0);
	rows = concat(g, fill(g, REAL, shape2(1, width), 0), rows, 0);
	y = mul(g, y, embedding(g, old, n->new_word_ids));
	return add(g, y, embedding(g, rows, n->new_word_ids));
}

tensor nn_embedding(nn *n, const char *name, tensor ids, int rows, int width, float deviation)
{
	graph *g = n->g;
	push(g, "%s", name);
	tensor table = nn_parameter(n, "weight", shape2(rows, width), (initial){ NORMAL_START, deviation });
	tensor y = embedding(g, table, ids); /* the rows alone are converted, not the table */
	if (n->new_words) y = with_new_words(n, y, width);
	pop(g);
	return cast(g, y, graph_compute(g));
}

tensor nn_feed_forward_geglu(nn *n, const char *name, tensor x, int inner)
{
	graph *g = n->g;
	int width = dim(g, x, -1);
	push(g, "%s", name);
	tensor h = geglu(g, nn_linear(n, "net.0.proj", x, 2 * inner, true));
	h = nn_linear(n, "net.2", h, width, true);
	pop(g);
	return h;
}

/* How much of what an image gives each place takes: [N,1,1] or [N,places,1]. */
static tensor image_strength(nn *n, const image_prompt *p, int places)
{
	graph *g = n->g;
	int items = dim(g, p->tokens, 0), i = 0;
	tensor strength = view(g, p->strengths, (size_t)n->image_block * (size_t)items, shape3(items, 1, 1));
	if (!p->mask_count) return strength;
	while (i < p->mask_count - 1 && dim(g, p->masks[i], 1) != places) i++;
	return mul(g, p->masks[i], strength);
}

/* Adds what the same queries find in images. */
static tensor attend_to_images(nn *n, tensor y, tensor q, int heads, int head_width)
{
	graph *g = n->g;
	char name[32];
	for (int i = 0; i < n->image_count; i++) {
		const image_prompt *p = &n->images[i];
		if (p->absent >> n->image_block & 1) continue;
		snprintf(name, sizeof name, "to_k_ip.%d", p->weights);
		tensor k = nn_linear(n, name, p->tokens, heads * head_width, false);
		snprintf(name, sizeof name, "to_v_ip.%d", p->weights);
		tensor v = nn_linear(n, name, p->tokens, heads * head_width, false);
		tensor found = attention(g, q, k, v, heads, 1 / sqrtf((float)head_width), false);
		y = add(g, y, mul(g, found, cast(g, image_strength(n, p, dim(g, q, 1)), dtype_of(g, found))));
	}
	return y;
}

tensor nn_attention(nn *n, const char *name, tensor x, tensor context, int heads, int head_width, const char *out_name)
{
	graph *g = n->g;
	int width = dim(g, x, -1), inner = heads * head_width;
	tensor keep_attention = context ? 0 : n->keep_attention;
	word_maps *maps = context ? n->maps : NULL;
	bool sees = context != 0;
	if (!context) context = x;
	push(g, "%s", name);
	tensor q = nn_linear(n, "to_q", x, inner, false);
	tensor k = nn_linear(n, "to_k", context, inner, false);
	tensor v = nn_linear(n, "to_v", context, inner, false);
	tensor y = attention(g, q, k, v, heads, 1 / sqrtf((float)head_width), false);
	word_maps_add(g, maps, q, k, heads, 1 / sqrtf((float)head_width));
	if (sees) y = attend_to_images(n, y, q, heads, head_width);
	if (keep_attention) y = add(g, v, mul(g, sub(g, y, v), cast(g, keep_attention, dtype_of(g, y))));
	y = nn_linear(n, out_name, y, width, true);
	pop(g);
	return y;
}
