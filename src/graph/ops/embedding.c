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
	return emit(g, 2, (node){ .op = EMBEDDING, .shape = s, .inputs = 2, .in = { table, ids } });
}

tensor timestep_embedding(graph *g, tensor t, int width, float max_period)
{
	if (t && axes(g, t) != 1) {
		graph_fail(g, "timestep embedding: %d axes, expected [N]", axes(g, t));
		return 0;
	}
	return emit(g, 1,
	    (node){ .op = TIMESTEP_EMBEDDING,
	        .dtype = REAL,
	        .shape = shape2(dim(g, t, 0), width),
	        .inputs = 1,
	        .in = { t },
	        .f = { max_period } });
}

void gradient_of_embedding(graph *g, tensor y, tensor dy)
{
	node n = *node_of(g, y);
	if (wants_gradient(g, n.in[0]))
		add_gradient(g, n.in[0],
		    emit(g, 2,
		        (node){ .op = EMBEDDING_GRAD,
		            .dtype = REAL,
		            .shape = shape_of(g, n.in[0]),
		            .inputs = 2,
		            .in = { dy, n.in[1] } }));
}
