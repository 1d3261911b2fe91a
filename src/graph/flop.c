/* flop.c - how much a node computes: multiplications and additions of its products; what only moves memory or visits
 * each element counts 0. */
#include "graph/internal.h"

static double elements(const node *n) { return n ? (double)shape_count(n->shape) : 0; }

double call_flop(const call *c)
{
	double out = elements(c->y), in0 = elements(c->x[0]);
	const int *w = c->x[1] ? c->x[1]->shape.d : NULL;
	switch (c->y->op) {
	case MATMUL: return 2 * in0 * c->y->shape.d[c->y->shape.n - 1];
	case CONV: return 2 * out * w[1] * w[2] * w[3];
	case CONV_DX: return 2 * in0 * w[1] * w[2] * w[3];
	case CONV_DW: return 2 * in0 / c->y->shape.d[0] * out;
	case ATTENTION: return 4 * in0 * w[1] / (c->y->a[1] ? 2 : 1);
	case ATTENTION_GRAD: return 10 * in0 * w[1] / (c->y->a[1] ? 2 : 1);
	default: return 0;
	}
}

double graph_flop(const graph *g)
{
	double sum = 0;
	for (int i = 0; i < g->step_count; i++) sum += call_flop(&g->steps[i].call);
	return lanes_of(g) * sum;
}
