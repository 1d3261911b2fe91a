/* attention.c - softmax attention as one operation: no score ever has a tensor of its own. */
#include "graph/internal.h"

tensor attention(graph *g, tensor q, tensor k, tensor v, int heads, float scale, bool causal)
{
	if (!q || !k || !v) return 0;
	bool fits = axes(g, q) == 3 && axes(g, k) == 3 && shape_same(shape_of(g, k), shape_of(g, v)) &&
	            dim(g, q, 0) == dim(g, k, 0) && dim(g, q, 2) == dim(g, k, 2) && heads > 0 && dim(g, q, 2) % heads == 0;
	if (!fits) {
		graph_fail(g, "attention: queries of %d channels, keys of %d, %d heads", dim(g, q, -1), dim(g, k, -1), heads);
		return 0;
	}
	tensor y = emit(g, ATTENTION, dtype_of(g, q), shape_of(g, q), 3, 3, (tensor[]){ q, k, v });
	if (y) edit(g, y)->a[0] = heads, edit(g, y)->a[1] = causal, edit(g, y)->f[0] = scale;
	return y;
}

void gradient_of_attention(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	size_t queries = shape_count(n.shape), keys = shape_count(shape_of(g, n.in[1]));
	tensor d = emit(g, ATTENTION_GRAD, n.dtype, shape1((int)(queries + 2 * keys)), 5, 5,
	    (tensor[]){ n.in[0], n.in[1], n.in[2], y, dy });
	if (d) edit(g, d)->a[0] = n.a[0], edit(g, d)->a[1] = n.a[1], edit(g, d)->f[0] = n.f[0];
	add_gradient(g, n.in[0], view(g, d, 0, n.shape));
	add_gradient(g, n.in[1], view(g, d, queries, shape_of(g, n.in[1])));
	add_gradient(g, n.in[2], view(g, d, queries + keys, shape_of(g, n.in[2])));
}
