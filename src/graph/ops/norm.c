/* norm.c - group norm (Wu and He 2018) with its activation, layer norm (Ba et al. 2016), and root-mean-square norm
 * (Zhang and Sennrich 2019). */
#include "graph/internal.h"

static bool fits_channels(graph *g, tensor x, tensor gamma, tensor beta, const char *what)
{
	if (!gamma && !beta) return true;
	return (shape_count(shape_of(g, gamma)) == (size_t)dim(g, x, -1) &&
	           shape_same(shape_of(g, gamma), shape_of(g, beta))) ||
	       graph_fail(g, "%s: %d channels, gamma and beta have %d and %d", what, dim(g, x, -1), dim(g, gamma, 0),
	           dim(g, beta, 0));
}

tensor group_norm(graph *g, tensor x, tensor gamma, tensor beta, int groups, float epsilon, activation a)
{
	if (!x || !gamma || !beta || !fits_channels(g, x, gamma, beta, "group norm")) return 0;
	if (axes(g, x) < 3 || groups < 1 || dim(g, x, -1) % groups) {
		graph_fail(g, "group norm: %d channels in %d groups, %d axes", dim(g, x, -1), groups, axes(g, x));
		return 0;
	}
	tensor y = emit(g, GROUP_NORM, dtype_of(g, x), shape_of(g, x), 3, 3, (tensor[]){ x, gamma, beta });
	if (y) edit(g, y)->a[0] = groups, edit(g, y)->a[1] = (int)a, edit(g, y)->f[0] = epsilon;
	return y;
}

tensor layer_norm(graph *g, tensor x, tensor gamma, tensor beta, float epsilon)
{
	if (!x || !fits_channels(g, x, gamma, beta, "layer norm")) return 0;
	tensor y = emit(g, LAYER_NORM, dtype_of(g, x), shape_of(g, x), 1, 3, (tensor[]){ x, gamma, beta });
	if (y) edit(g, y)->f[0] = epsilon;
	return y;
}

/* sums begins with the gradients of gamma and beta. */
static void share_affine(graph *g, tensor sums, tensor gamma, tensor beta)
{
	int channels = dim(g, sums, -1);
	add_gradient(g, gamma, view(g, sums, 0, shape1(channels)));
	add_gradient(g, beta, view(g, sums, (size_t)channels, shape1(channels)));
}

static tensor as_norm(graph *g, tensor t, const node *n)
{
	if (t) edit(g, t)->a[0] = n->a[0], edit(g, t)->a[1] = n->a[1], edit(g, t)->f[0] = n->f[0];
	return t;
}

void gradient_of_group_norm(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	tensor in[] = { n.in[0], dy, n.in[1], n.in[2], 0 };
	shape sums = shape3(n.shape.d[0], 4, n.shape.d[n.shape.n - 1]);
	in[4] = as_norm(g, emit(g, GROUP_NORM_SUMS, REAL, sums, 4, 4, in), &n);
	if (wants_gradient(g, n.in[0]))
		add_gradient(g, n.in[0], as_norm(g, emit(g, GROUP_NORM_DX, n.dtype, n.shape, 5, 5, in), &n));
	if (!wants_gradient(g, n.in[1]) && !wants_gradient(g, n.in[2])) return;
	sums.d[0] = 1;
	share_affine(g, sum_to(g, in[4], sums), n.in[1], n.in[2]);
}

void gradient_of_layer_norm(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	tensor in[] = { n.in[0], dy, n.in[1] };
	if (wants_gradient(g, n.in[0]))
		add_gradient(g, n.in[0], as_norm(g, emit(g, LAYER_NORM_DX, n.dtype, n.shape, 2, 3, in), &n));
	if (wants_gradient(g, n.in[1]) || wants_gradient(g, n.in[2]))
		share_affine(
		    g, as_norm(g, emit(g, LAYER_NORM_DW, REAL, shape2(2, dim(g, y, -1)), 2, 2, in), &n), n.in[1], n.in[2]);
}

tensor rms_norm(graph *g, tensor x, tensor gamma, float epsilon)
{
	if (!x) return 0;
	if (gamma && shape_count(shape_of(g, gamma)) != (size_t)dim(g, x, -1)) {
		graph_fail(g, "rms norm: %d channels, gamma has %d", dim(g, x, -1), dim(g, gamma, 0));
		return 0;
	}
	tensor y = emit(g, RMS_NORM, dtype_of(g, x), shape_of(g, x), 1, 2, (tensor[]){ x, gamma });
	if (y) edit(g, y)->f[0] = epsilon;
	return y;
}

void gradient_of_rms_norm(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	tensor in[] = { n.in[0], dy, n.in[1] };
	if (wants_gradient(g, n.in[0]))
		add_gradient(g, n.in[0], as_norm(g, emit(g, RMS_NORM_DX, n.dtype, n.shape, 2, 3, in), &n));
	if (wants_gradient(g, n.in[1]))
		add_gradient(g, n.in[1], as_norm(g, emit(g, RMS_NORM_DW, REAL, shape1(dim(g, y, -1)), 2, 2, in), &n));
}
