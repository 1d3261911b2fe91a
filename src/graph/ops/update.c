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
	return emit(g, 1, (node){ .op = SUM_SQUARES, .dtype = F64, .shape = shape1(1), .inputs = 2, .in = { x, before } });
}

tensor clip_scale(graph *g, tensor squares, tensor numbers)
{
	return emit(
	    g, 2, (node){ .op = CLIP_SCALE, .dtype = F32, .shape = shape1(1), .inputs = 2, .in = { squares, numbers } });
}

tensor accumulate_into(graph *g, tensor sum, tensor x, tensor numbers)
{
	if (!sum || !x || !changes(g, ACCUMULATE, sum, x)) return 0;
	return emit(
	    g, 3, (node){ .op = ACCUMULATE, .dtype = F32, .shape = shape1(1), .inputs = 3, .in = { sum, x, numbers } });
}

tensor update_weight(
    graph *g, opcode rule, tensor weight, tensor gradient, tensor scale, tensor numbers, const tensor state[4])
{
	if (!weight || !gradient || !changes(g, rule, weight, gradient)) return 0;
	return emit(g, 4,
	    (node){ .op = rule,
	        .dtype = F32,
	        .shape = shape1(1),
	        .inputs = MAX_INPUTS,
	        .in = { weight, gradient, scale, numbers, state[0], state[1], state[2], state[3] } });
}
