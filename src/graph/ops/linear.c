/* linear.c - matrix products and convolutions. */
#include "graph/internal.h"
#include <string.h>

static int rows_of(const graph *g, tensor t) { return (int)(shape_count(shape_of(g, t)) / (size_t)dim(g, t, -1)); }

static bool is_bias(graph *g, tensor bias, int out, const char *what)
{
	return !bias || (axes(g, bias) == 1 && dim(g, bias, 0) == out) ||
	       graph_fail(g, "%s: a bias of %d for %d outputs", what, dim(g, bias, 0), out);
}

static tensor product(graph *g, tensor a, tensor b, tensor bias, bool ta, bool tb, dtype out)
{
	if (!a || !b) return 0;
	int ak = ta ? rows_of(g, a) : dim(g, a, -1), bk = tb ? dim(g, b, -1) : rows_of(g, b);
	int n = tb ? rows_of(g, b) : dim(g, b, -1);
	if (ak != bk) {
		graph_fail(g, "matmul: %d columns against %d rows", ak, bk);
		return 0;
	}
	if (!is_bias(g, bias, n, "matmul")) return 0;
	shape s = ta ? shape2(dim(g, a, -1), n) : shape_of(g, a);
	s.d[s.n - 1] = n;
	return emit(
	    g, 2, (node){ .op = MATMUL, .dtype = out, .shape = s, .inputs = 4, .in = { a, b, bias }, .a = { ta, tb } });
}

tensor matmul(graph *g, tensor a, tensor b, bool ta, bool tb, dtype out) { return product(g, a, b, 0, ta, tb, out); }

tensor linear(graph *g, tensor x, tensor w, tensor bias)
{
	if (axes(g, w) == 4) w = reshape(g, w, shape2(dim(g, w, 0), -1));
	return product(g, x, w, bias, false, true, dtype_of(g, x));
}

tensor conv2d(graph *g, tensor x, tensor w, tensor bias, int stride, int top, int left, int bottom, int right)
{
	if (!x || !w) return 0;
	if (axes(g, x) != 4 || axes(g, w) != 4 || dim(g, x, 3) != dim(g, w, 1)) {
		graph_fail(g, "conv: %d channels, the weight is for %d", dim(g, x, -1), dim(g, w, 1));
		return 0;
	}
	int height = dim(g, x, 1) + top + bottom - dim(g, w, 2), width = dim(g, x, 2) + left + right - dim(g, w, 3);
	if (height < 0 || width < 0 || stride < 1) {
		graph_fail(g, "conv: a kernel of %d×%d does not fit into %d×%d", dim(g, w, 2), dim(g, w, 3), dim(g, x, 1),
		    dim(g, x, 2));
		return 0;
	}
	if (!is_bias(g, bias, dim(g, w, 0), "conv")) return 0;
	shape s = shape4(dim(g, x, 0), height / stride + 1, width / stride + 1, dim(g, w, 0));
	return emit(g, 2,
	    (node){ .op = CONV, .shape = s, .inputs = 4, .in = { x, w, bias }, .a = { stride, top, left, bottom, right } });
}

void gradient_of_matmul(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	tensor a = n.in[0], b = n.in[1];
	bool ta = n.a[0], tb = n.a[1];
	if (wants_gradient(g, a)) {
		tensor da = ta ? matmul(g, b, dy, tb, true, dtype_of(g, a)) : matmul(g, dy, b, false, !tb, dtype_of(g, a));
		add_gradient(g, a, reshape(g, da, shape_of(g, a)));
	}
	if (wants_gradient(g, b)) {
		tensor db = tb ? matmul(g, dy, a, true, ta, REAL) : matmul(g, a, dy, !ta, false, REAL);
		add_gradient(g, b, reshape(g, db, shape_of(g, b)));
	}
	if (wants_gradient(g, n.in[2])) add_gradient(g, n.in[2], sum_in_full(g, dy, shape_of(g, n.in[2])));
}

void gradient_of_conv(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	for (int k = 0; k < 2; k++) { /* by data and by weight: each reads the other */
		if (!wants_gradient(g, n.in[k])) continue;
		node d = { .op = k ? CONV_DW : CONV_DX, .inputs = 2, .in = { dy, n.in[1 - k] } };
		d.dtype = k ? REAL : n.dtype;
		d.shape = shape_of(g, n.in[k]);
		memcpy(d.a, n.a, 5 * sizeof *d.a);
		add_gradient(g, n.in[k], emit(g, 2, d));
	}
	if (wants_gradient(g, n.in[2])) add_gradient(g, n.in[2], sum_in_full(g, dy, shape_of(g, n.in[2])));
}
