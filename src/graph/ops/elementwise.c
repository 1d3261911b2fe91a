/* elementwise.c - sums, products, activations, and the reductions that are their gradients. */
#include "graph/internal.h"

static tensor two(graph *g, opcode op, tensor a, tensor b)
{
	if (!a || !b) return 0;
	if (!broadcasts(shape_of(g, b), shape_of(g, a))) {
		if (broadcasts(shape_of(g, a), shape_of(g, b))) return two(g, op, b, a);
		graph_fail(
		    g, "%s: shapes do not broadcast: last axes %d and %d", operations[op].name, dim(g, a, -1), dim(g, b, -1));
		return 0;
	}
	if (dtype_of(g, a) != dtype_of(g, b)) { /* the fuller precision wins */
		a = cast(g, a, REAL);
		b = cast(g, b, REAL);
	}
	return emit(g, 2, (node){ .op = op, .inputs = 2, .in = { a, b } });
}

tensor add(graph *g, tensor a, tensor b) { return two(g, ADD, a, b); }
tensor mul(graph *g, tensor a, tensor b) { return two(g, MUL, a, b); }
tensor sub(graph *g, tensor a, tensor b) { return add(g, a, affine(g, b, -1, 0)); }

tensor affine(graph *g, tensor x, float factor, float shift)
{
	return emit(g, 1, (node){ .op = AFFINE, .inputs = 1, .in = { x }, .f = { factor, shift } });
}

tensor activate(graph *g, tensor x, activation a)
{
	if (a == NO_ACTIVATION) return x;
	return emit(g, 1, (node){ .op = ACTIVATION, .inputs = 1, .in = { x }, .a = { (int)a } });
}

tensor geglu(graph *g, tensor x)
{
	shape s = shape_of(g, x);
	if (x && s.d[s.n - 1] % 2) {
		graph_fail(g, "geglu: %d channels, expected an even number", s.d[s.n - 1]);
		return 0;
	}
	s.d[s.n - 1] /= 2;
	return x ? emit(g, 1, (node){ .op = GEGLU, .shape = s, .inputs = 1, .in = { x } }) : 0;
}

/* Sums are taken in full precision whatever x is; `d` is what they are stored in. */
static tensor sum_into(graph *g, tensor x, shape s, dtype d)
{
	if (!x) return 0;
	if (!broadcasts(s, shape_of(g, x))) {
		graph_fail(g, "sum_to: the target does not broadcast to the source");
		return 0;
	}
	if (shape_same(s, shape_of(g, x))) return cast(g, x, d);
	return emit(g, 1, (node){ .op = SUM_TO, .dtype = d, .shape = s, .inputs = 1, .in = { x } });
}

tensor sum_to(graph *g, tensor x, shape s) { return sum_into(g, x, s, dtype_of(g, x)); }
tensor sum_in_full(graph *g, tensor x, shape s) { return sum_into(g, x, s, REAL); }

tensor spread(graph *g, tensor x, shape s)
{
	if (!x) return 0;
	if (!broadcasts(shape_of(g, x), s)) {
		graph_fail(g, "spread: the source does not broadcast to the target");
		return 0;
	}
	if (shape_same(s, shape_of(g, x))) return x;
	return emit(g, 1, (node){ .op = SPREAD, .shape = s, .inputs = 1, .in = { x } });
}

tensor mean_all(graph *g, tensor x)
{
	return affine(g, sum_in_full(g, x, shape1(1)), 1.0f / (float)shape_count(shape_of(g, x)), 0);
}

tensor mean_squared_error(graph *g, tensor a, tensor b)
{
	return mean_all(g, activate(g, sub(g, cast(g, a, REAL), cast(g, b, REAL)), SQUARE));
}

/* The gradient of what was broadcast is a sum. */
static void share_broadcast(graph *g, tensor t, tensor dy)
{
	if (!wants_gradient(g, t)) return;
	add_gradient(g, t, shape_same(shape_of(g, t), shape_of(g, dy)) ? dy : sum_in_full(g, dy, shape_of(g, t)));
}

void gradient_of_add(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	add_gradient(g, n.in[0], dy);
	share_broadcast(g, n.in[1], dy);
}

void gradient_of_mul(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	if (wants_gradient(g, n.in[0])) add_gradient(g, n.in[0], mul(g, dy, n.in[1]));
	if (wants_gradient(g, n.in[1])) share_broadcast(g, n.in[1], mul(g, dy, n.in[0]));
}

void gradient_of_affine(graph *g, tensor y, tensor dy)
{
	add_gradient(g, node_of(g, y)->in[0], affine(g, dy, node_of(g, y)->f[0], 0));
}

void gradient_of_activation(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	add_gradient(
	    g, n.in[0], emit(g, 2, (node){ .op = ACTIVATION_GRAD, .inputs = 2, .in = { n.in[0], dy }, .a = { n.a[0] } }));
}

void gradient_of_geglu(graph *g, tensor y, tensor dy)
{
	tensor x = node_of(g, y)->in[0];
	add_gradient(g, x, emit(g, 2, (node){ .op = GEGLU_GRAD, .inputs = 2, .in = { x, dy } }));
}

void gradient_of_sum_to(graph *g, tensor y, tensor dy)
{
	tensor x = node_of(g, y)->in[0];
	add_gradient(g, x, spread(g, cast(g, dy, dtype_of(g, x)), shape_of(g, x)));
}

void gradient_of_spread(graph *g, tensor y, tensor dy)
{
	tensor x = node_of(g, y)->in[0];
	add_gradient(g, x, sum_in_full(g, dy, shape_of(g, x)));
}
