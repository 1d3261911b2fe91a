/* attention.c - softmax attention as one operation: no score ever has a tensor of its own. */
#include "graph/internal.h"

static tensor attend(graph *g, tensor q, tensor k, tensor v, tensor bias, int heads, float scale, bool causal)
{
	if (!q || !k || !v) return 0;
	bool fits = axes(g, q) == 3 && axes(g, k) == 3 && shape_same(shape_of(g, k), shape_of(g, v)) &&
	            dim(g, q, 0) == dim(g, k, 0) && dim(g, q, 2) == dim(g, k, 2) && heads > 0 && dim(g, q, 2) % heads == 0;
	if (!fits) {
		graph_fail(g, "attention: queries of %d channels, keys of %d, %d heads", dim(g, q, -1), dim(g, k, -1), heads);
		return 0;
	}
	return emit(g, 3,
	    (node){
	        .op = ATTENTION, .inputs = bias ? 4 : 3, .in = { q, k, v, bias }, .a = { heads, causal }, .f = { scale } });
}

tensor attention(graph *g, tensor q, tensor k, tensor v, int heads, float scale, bool causal)
{
	return attend(g, q, k, v, 0, heads, scale, causal);
}

tensor attention_biased(graph *g, tensor q, tensor k, tensor v, tensor bias, int heads, float scale)
{
	if (!q || !k || !bias) return 0;
	shape s = shape_of(g, bias), expected = { 4, { s.d[0], heads, dim(g, q, 1), dim(g, k, 1) } };
	if (dtype_of(g, bias) != REAL || !shape_same(s, expected) || (s.d[0] != 1 && s.d[0] != dim(g, q, 0))) {
		graph_fail(g, "attention: a bias of %d axes [%d,%d,…], expected [1 or %d,%d,%d,%d] in full precision", s.n,
		    s.d[0], s.d[1], dim(g, q, 0), heads, dim(g, q, 1), dim(g, k, 1));
		return 0;
	}
	return attend(g, q, k, v, bias, heads, scale, false);
}

tensor relative_buckets(graph *g, int queries, int keys, int buckets, int distance)
{
	if (buckets < 4 || buckets % 4 || distance <= buckets / 4) {
		graph_fail(g,
		    "relative positions: %d buckets up to distance %d, expected a multiple of 4 buckets and a larger distance "
		    "than a quarter of them",
		    buckets, distance);
		return 0;
	}
	return emit(g, 0,
	    (node){ .op = RELATIVE_BUCKETS, .dtype = I32, .shape = shape2(queries, keys), .a = { buckets, distance } });
}

void gradient_of_attention(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	if (n.inputs > 3) {
		graph_fail(g, "%s: attention with a bias has no gradient", n.name);
		return;
	}
	size_t queries = shape_count(n.shape), keys = shape_count(shape_of(g, n.in[1]));
	tensor d = emit(g, 5,
	    (node){ .op = ATTENTION_GRAD,
	        .dtype = n.dtype,
	        .shape = shape1((int)(queries + 2 * keys)),
	        .inputs = 5,
	        .in = { n.in[0], n.in[1], n.in[2], y, dy },
	        .a = { n.a[0], n.a[1] },
	        .f = { n.f[0] } });
	add_gradient(g, n.in[0], view(g, d, 0, n.shape));
	add_gradient(g, n.in[1], view(g, d, queries, shape_of(g, n.in[1])));
	add_gradient(g, n.in[2], view(g, d, queries + keys, shape_of(g, n.in[2])));
}
