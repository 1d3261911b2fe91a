/* move.c - operations that only move values: views, casts, permutations, slices, resampling. */
#include "graph/internal.h"

tensor view(graph *g, tensor x, size_t first, shape s)
{
	if (!x) return 0;
	if (first > INT32_MAX || first + shape_count(s) > shape_count(shape_of(g, x))) {
		graph_fail(g, "view: elements %zu to %zu of %zu", first, first + shape_count(s), shape_count(shape_of(g, x)));
		return 0;
	}
	if (!first && shape_same(s, shape_of(g, x))) return x;
	return emit(g, 1, (node){ .op = VIEW, .shape = s, .inputs = 1, .in = { x }, .a = { (int)first } });
}

tensor reshape(graph *g, tensor x, shape s)
{
	if (!x) return 0;
	size_t known = 1, n = shape_count(shape_of(g, x));
	int open = -1;
	for (int i = 0; i < s.n; i++) {
		if (s.d[i] == -1 && open < 0)
			open = i;
		else
			known *= (size_t)s.d[i];
	}
	if (open >= 0 && known && n % known == 0) s.d[open] = (int)(n / known);
	if (shape_count(s) != n) {
		graph_fail(g, "reshape: %zu elements into %zu", n, known);
		return 0;
	}
	return view(g, x, 0, s);
}

static tensor viewed(const graph *g, tensor x)
{
	while (node_of(g, x)->op == VIEW) x = node_of(g, x)->in[0];
	return x;
}

tensor cast(graph *g, tensor x, dtype d)
{
	/* A parameter's dtype is known only when it is bound: its cast always stands. */
	if (x && dtype_of(g, x) == d && node_of(g, viewed(g, x))->op != PARAM) return x;
	return emit(g, 1, (node){ .op = CAST, .dtype = d, .inputs = 1, .in = { x } });
}

tensor permute(graph *g, tensor x, int a0, int a1, int a2, int a3)
{
	if (!x) return 0;
	node y = { .op = PERMUTE, .inputs = 1, .in = { x } };
	int a[MAX_DIMS] = { a0, a1, a2, a3 }, seen = 0;
	shape s = shape_of(g, x);
	y.shape = s;
	for (int i = 0; i < s.n; i++) {
		if (a[i] < 0 || a[i] >= s.n || seen >> a[i] & 1) {
			graph_fail(g, "permute: axis %d of %d, at place %d", a[i], s.n, i);
			return 0;
		}
		seen |= 1 << a[i];
		y.shape.d[i] = s.d[a[i]];
		y.a[i] = a[i];
	}
	return emit(g, 1, y);
}

tensor slice(graph *g, tensor x, int axis, int first, int length)
{
	if (!x) return 0;
	shape s = shape_of(g, x);
	if (axis < 0) axis += s.n;
	if (axis < 0 || axis >= s.n || first < 0 || length < 1 || first > s.d[axis] - length) {
		graph_fail(g, "slice: %d to %d of axis %d, which has %d", first, first + length, axis, dim(g, x, axis));
		return 0;
	}
	if (length == s.d[axis]) return x;
	s.d[axis] = length;
	if (!axis) {
		size_t row = shape_count(s) / (size_t)length;
		return view(g, x, (size_t)first * row, s);
	}
	return emit(g, 1, (node){ .op = SLICE, .shape = s, .inputs = 1, .in = { x }, .a = { axis, first } });
}

tensor pad(graph *g, tensor x, int axis, int before, int whole_length)
{
	if (!x) return 0;
	shape s = shape_of(g, x);
	if (axis < 0) axis += s.n;
	if (axis < 0 || axis >= s.n || before < 0 || before > whole_length - s.d[axis]) {
		graph_fail(g, "pad: %d of axis %d at %d of %d", dim(g, x, axis), axis, before, whole_length);
		return 0;
	}
	if (whole_length == s.d[axis]) return x;
	s.d[axis] = whole_length;
	return emit(g, 1, (node){ .op = PAD, .shape = s, .inputs = 1, .in = { x }, .a = { axis, before } });
}

tensor concat(graph *g, tensor a, tensor b, int axis)
{
	if (!a || !b) return 0;
	shape s = shape_of(g, a), t = shape_of(g, b);
	if (axis < 0) axis += s.n;
	bool fits = s.n == t.n && axis >= 0 && axis < s.n && dtype_of(g, a) == dtype_of(g, b);
	for (int i = 0; fits && i < s.n; i++) fits = i == axis || s.d[i] == t.d[i];
	if (!fits) {
		graph_fail(g, "concat: axes other than %d differ, or the types %s and %s do", axis, dtype_name(dtype_of(g, a)),
		    dtype_name(dtype_of(g, b)));
		return 0;
	}
	s.d[axis] += t.d[axis];
	return emit(g, 2, (node){ .op = CONCAT, .shape = s, .inputs = 2, .in = { a, b }, .a = { axis } });
}

static bool is_picture(graph *g, tensor x, const char *what)
{
	return !x || axes(g, x) == 4 || graph_fail(g, "%s: %d axes, expected [N,H,W,C]", what, axes(g, x));
}

tensor resize_nearest(graph *g, tensor x, int height, int width)
{
	if (!x || !is_picture(g, x, "resize")) return 0;
	if (dim(g, x, 1) == height && dim(g, x, 2) == width) return x;
	shape s = shape4(dim(g, x, 0), height, width, dim(g, x, 3));
	return emit(g, 1, (node){ .op = RESIZE, .shape = s, .inputs = 1, .in = { x } });
}

tensor pool(graph *g, tensor x, bool maximum, int window)
{
	if (!x || !is_picture(g, x, "pool")) return 0;
	if (window < 1) {
		graph_fail(g, "pool: a window of %d, expected at least 1", window);
		return 0;
	}
	shape s = shape4(dim(g, x, 0), dim(g, x, 1) / window, dim(g, x, 2) / window, dim(g, x, 3));
	return emit(g, 1, (node){ .op = POOL, .shape = s, .inputs = 1, .in = { x }, .a = { maximum, window } });
}

void gradient_of_view(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	shape whole = shape_of(g, n.in[0]);
	int values = (int)shape_count(n.shape);
	dy = pad(g, reshape(g, dy, shape1(values)), 0, n.a[0], (int)shape_count(whole));
	add_gradient(g, n.in[0], reshape(g, dy, whole));
}

void gradient_of_cast(graph *g, tensor y, tensor dy)
{
	tensor x = node_of(g, y)->in[0];
	/* A weight's gradient stays in full precision. */
	add_gradient(g, x, node_of(g, x)->op == PARAM ? dy : cast(g, dy, dtype_of(g, x)));
}

void gradient_of_permute(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	int back[MAX_DIMS] = { 0 };
	for (int i = 0; i < n.shape.n; i++) back[n.a[i]] = i;
	add_gradient(g, n.in[0], permute(g, dy, back[0], back[1], back[2], back[3]));
}

void gradient_of_slice(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	add_gradient(g, n.in[0], pad(g, dy, n.a[0], n.a[1], dim(g, n.in[0], n.a[0])));
}

void gradient_of_pad(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	add_gradient(g, n.in[0], slice(g, dy, n.a[0], n.a[1], dim(g, n.in[0], n.a[0])));
}

void gradient_of_concat(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	int first = dim(g, n.in[0], n.a[0]);
	if (wants_gradient(g, n.in[0])) add_gradient(g, n.in[0], slice(g, dy, n.a[0], 0, first));
	if (wants_gradient(g, n.in[1])) add_gradient(g, n.in[1], slice(g, dy, n.a[0], first, dim(g, n.in[1], n.a[0])));
}

void gradient_of_resize(graph *g, tensor y, tensor dy)
{
	tensor x = node_of(g, y)->in[0];
	add_gradient(g, x,
	    emit(g, 1,
	        (node){ .op = RESIZE_GRAD, .dtype = dtype_of(g, x), .shape = shape_of(g, x), .inputs = 1, .in = { dy } }));
}

void gradient_of_pool(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	add_gradient(
	    g, n.in[0], emit(g, 2, (node){ .op = POOL_GRAD, .inputs = 2, .in = { n.in[0], dy }, .a = { n.a[0], n.a[1] } }));
}
