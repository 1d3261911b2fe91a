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
	return emit(g, 3,
	    (node){ .op = GROUP_NORM, .inputs = 3, .in = { x, gamma, beta }, .a = { groups, (int)a }, .f = { epsilon } });
}

tensor group_norm_given(graph *g, tensor x, tensor gamma, tensor beta, tensor statistics, int groups, activation a)
{
	tensor y = statistics ? group_norm(g, x, gamma, beta, groups, 0, a) : 0;
	if (!y) return 0;
	if (!shape_same(shape_of(g, statistics), shape3(dim(g, x, 0), 2, dim(g, x, -1))) ||
	    dtype_of(g, statistics) != REAL) {
		graph_fail(g, "group norm: statistics of %d × %d × %d, expected %d × 2 × %d in full precision",
		    dim(g, statistics, 0), dim(g, statistics, 1), dim(g, statistics, -1), dim(g, x, 0), dim(g, x, -1));
		return 0;
	}
	node n = *node_of(g, y);
	n.inputs = 4;
	n.in[3] = statistics;
	return emit(g, 4, n);
}

tensor layer_norm(graph *g, tensor x, tensor gamma, tensor beta, float epsilon)
{
	if (!x || !fits_channels(g, x, gamma, beta, "layer norm")) return 0;
	return emit(g, 1, (node){ .op = LAYER_NORM, .inputs = 3, .in = { x, gamma, beta }, .f = { epsilon } });
}

/* sums begins with the gradients of gamma and beta. */
static void share_affine(graph *g, tensor sums, tensor gamma, tensor beta)
{
	int channels = dim(g, sums, -1);
	add_gradient(g, gamma, view(g, sums, 0, shape1(channels)));
	add_gradient(g, beta, view(g, sums, (size_t)channels, shape1(channels)));
}

/* A gradient operation of the norm n, with its attributes. */
static tensor of_norm(graph *g, const node *n, opcode op, dtype d, shape s, int needed, int inputs, const tensor *in)
{
	node y = { .op = op, .dtype = d, .shape = s, .inputs = inputs, .a = { n->a[0], n->a[1] }, .f = { n->f[0] } };
	for (int k = 0; k < inputs; k++) y.in[k] = in[k];
	return emit(g, needed, y);
}

tensor group_norm_sums(graph *g, tensor x, tensor dy, tensor gamma, tensor beta, int groups, float epsilon)
{
	tensor y = dy ? group_norm(g, x, gamma, beta, groups, epsilon, NO_ACTIVATION) : 0;
	if (!y) return 0;
	node n = *node_of(g, y);
	if (!shape_same(shape_of(g, dy), n.shape)) {
		graph_fail(g, "sums of a group norm: x and dy have different shapes");
		return 0;
	}
	return of_norm(
	    g, &n, GROUP_NORM_SUMS, REAL, shape3(n.shape.d[0], 4, dim(g, x, -1)), 4, 4, (tensor[]){ x, dy, gamma, beta });
}

void gradient_of_group_norm(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	if (n.in[3]) {
		graph_fail(g, "a group norm with given statistics has no gradient");
		return;
	}
	tensor in[] = { n.in[0], dy, n.in[1], n.in[2], 0 };
	shape sums = shape3(n.shape.d[0], 4, n.shape.d[n.shape.n - 1]);
	in[4] = of_norm(g, &n, GROUP_NORM_SUMS, REAL, sums, 4, 4, in);
	if (wants_gradient(g, n.in[0])) add_gradient(g, n.in[0], of_norm(g, &n, GROUP_NORM_DX, n.dtype, n.shape, 5, 5, in));
	if (!wants_gradient(g, n.in[1]) && !wants_gradient(g, n.in[2])) return;
	sums.d[0] = 1;
	share_affine(g, sum_to(g, in[4], sums), n.in[1], n.in[2]);
}

void gradient_of_layer_norm(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	tensor in[] = { n.in[0], dy, n.in[1] };
	if (wants_gradient(g, n.in[0])) add_gradient(g, n.in[0], of_norm(g, &n, LAYER_NORM_DX, n.dtype, n.shape, 2, 3, in));
	if (wants_gradient(g, n.in[1]) || wants_gradient(g, n.in[2]))
		share_affine(g, of_norm(g, &n, LAYER_NORM_DW, REAL, shape2(2, dim(g, y, -1)), 2, 2, in), n.in[1], n.in[2]);
}

tensor rms_norm(graph *g, tensor x, tensor gamma, float epsilon)
{
	if (!x) return 0;
	if (gamma && shape_count(shape_of(g, gamma)) != (size_t)dim(g, x, -1)) {
		graph_fail(g, "rms norm: %d channels, gamma has %d", dim(g, x, -1), dim(g, gamma, 0));
		return 0;
	}
	return emit(g, 1, (node){ .op = RMS_NORM, .inputs = 2, .in = { x, gamma }, .f = { epsilon } });
}

void gradient_of_rms_norm(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	tensor in[] = { n.in[0], dy, n.in[1] };
	if (wants_gradient(g, n.in[0])) add_gradient(g, n.in[0], of_norm(g, &n, RMS_NORM_DX, n.dtype, n.shape, 2, 3, in));
	if (wants_gradient(g, n.in[1]))
		add_gradient(g, n.in[1], of_norm(g, &n, RMS_NORM_DW, REAL, shape1(dim(g, y, -1)), 2, 2, in));
}
