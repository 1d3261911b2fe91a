/* embedding.c - rows of a table by number, and the sinusoids of a timestep (Vaswani et al. 2017, Ho et al. 2020). */
#include "graph/internal.h"

tensor embedding(graph *g, tensor table, tensor ids)
{
	if (!table || !ids) return 0;
	shape s = shape_of(g, ids);
	if (axes(g, table) != 2 || s.n >= MAX_DIMS || dtype_of(g, ids) != I32) {
		graph_fail(g, "embedding: a table of %d axes, ids of %s", axes(g, table), dtype_name(dtype_of(g, ids)));
		return 0;
	}
	s.d[s.n++] = dim(g, table, 1);
	return emit(g, EMBEDDING, dtype_of(g, table), s, 2, 2, (tensor[]){ table, ids });
}

tensor timestep_embedding(graph *g, tensor t, int width, float max_period)
{
	if (t && axes(g, t) != 1) {
		graph_fail(g, "timestep embedding: %d axes, expected [N]", axes(g, t));
		return 0;
	}
	tensor y = emit(g, TIMESTEP_EMBEDDING, REAL, shape2(dim(g, t, 0), width), 1, 1, &t);
	if (y) edit(g, y)->f[0] = max_period;
	return y;
}

void gradient_of_embedding(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	if (wants_gradient(g, n.in[0]))
		add_gradient(g, n.in[0], emit(g, EMBEDDING_GRAD, REAL, shape_of(g, n.in[0]), 2, 2, (tensor[]){ dy, n.in[1] }));
}
