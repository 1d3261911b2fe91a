/* update.c - what changes weights: sums of squares and clipping, averages, and the optimizers' steps. Nothing here has
 * a gradient. What is changed is a trainable parameter, where it lies; steps run in the order in which they were built.
 */
#include "graph/internal.h"

/* Whether t may be changed in place, and is as large as x. */
static bool changes(graph *g, opcode op, tensor t, tensor x)
{
	const node *n = &g->nodes[t];
	if (n->op != PARAM || !n->trainable)
		return graph_fail(g, "%s changes what is no trainable parameter", operations[op].name);
	return shape_count(n->shape) == shape_count(shape_of(g, x)) ||
	       graph_fail(g, "%s: %zu elements, expected %zu", operations[op].name, shape_count(shape_of(g, x)),
	           shape_count(n->shape));
}

tensor sum_squares(graph *g, tensor x, tensor before)
{
	return emit(g, SUM_SQUARES, F64, shape1(1), 1, 2, (tensor[]){ x, before });
}

tensor clip_scale(graph *g, tensor squares, tensor numbers)
{
	return emit(g, CLIP_SCALE, F32, shape1(1), 2, 2, (tensor[]){ squares, numbers });
}

tensor accumulate_into(graph *g, tensor sum, tensor x, tensor numbers)
{
	if (!sum || !x || !changes(g, ACCUMULATE, sum, x)) return 0;
	return emit(g, ACCUMULATE, F32, shape1(1), 3, 3, (tensor[]){ sum, x, numbers });
}

tensor update_weight(
    graph *g, opcode rule, tensor weight, tensor gradient, tensor scale, tensor numbers, const tensor state[4])
{
	if (!weight || !gradient || !changes(g, rule, weight, gradient)) return 0;
	tensor in[MAX_INPUTS] = { weight, gradient, scale, numbers, state[0], state[1], state[2], state[3] };
	return emit(g, rule, F32, shape1(1), 4, MAX_INPUTS, in);
}
