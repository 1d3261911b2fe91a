/* gradient.c - differentiation, graph to graph: gradients are ordinary nodes, so neither planner nor kernels need to
 * know of training.
 *
 * Nodes are visited from the loss down; each hands shares of its gradient to its inputs. Recomputation is the same
 * walk: before a marked block is visited, its nodes are cloned, and the rules are applied to the clones. What only the
 * clones read is not kept from the forward pass; what nobody reads of them is dropped when the graph is compiled. */
#include "graph/internal.h"
#include <stdlib.h>
#include <string.h>

static bool reserve(graph *g, tensor t)
{
	if ((int)t < g->gradient_capacity) return true;
	int capacity = (int)t + g->capacity;
	tensor *gradient = realloc(g->gradient, (size_t)capacity * sizeof *gradient);
	if (gradient) g->gradient = gradient;
	bool *wanted = realloc(g->wanted, (size_t)capacity * sizeof *wanted);
	if (wanted) g->wanted = wanted;
	if (!gradient || !wanted)
		return fail(&g->error, NO_MEMORY, "out of memory for the gradients of %d nodes", capacity);
	memset(gradient + g->gradient_capacity, 0, (size_t)(capacity - g->gradient_capacity) * sizeof *gradient);
	memset(wanted + g->gradient_capacity, 0, (size_t)(capacity - g->gradient_capacity) * sizeof *wanted);
	g->gradient_capacity = capacity;
	return true;
}

bool wants_gradient(const graph *g, tensor t) { return t && (int)t < g->gradient_capacity && g->wanted[t]; }

void add_gradient(graph *g, tensor t, tensor share)
{
	if (!share || !wants_gradient(g, t)) return;
	g->gradient[t] = g->gradient[t] ? add(g, g->gradient[t], share) : share;
}

/* What never changes between runs is not worth a clone. */
static bool changes(const graph *g, tensor t, const bool *varies)
{
	return varies[t] && g->nodes[t].op != INPUT && g->nodes[t].op != PARAM;
}

static bool *find_varying(const graph *g)
{
	bool *varies = calloc((size_t)g->count, 1);
	for (int i = 1; varies && i < g->count; i++) {
		const node *n = &g->nodes[i];
		varies[i] = n->op == INPUT || n->trainable;
		for (int k = 0; k < n->inputs; k++) varies[i] |= varies[n->in[k]];
	}
	return varies;
}

/* Clones the nodes first…last of a block into clone[]; what lies outside is read where it is. */
static void clone_block(graph *g, int first, int last, const bool *varies, tensor *clone)
{
	int block = g->nodes[first].block;
	for (int i = first; i <= last; i++) {
		node n = g->nodes[i];
		if (n.block != block || !changes(g, (tensor)i, varies)) continue;
		for (int k = 0; k < n.inputs; k++) n.in[k] = clone[n.in[k]] ? clone[n.in[k]] : n.in[k];
		n.keep = n.watch = false;
		tensor t = emit(g, 0, n);
		if (!t || !reserve(g, t)) return;
		g->wanted[t] = g->wanted[i];
		clone[i] = t;
	}
}

static void visit(graph *g, int i, tensor at)
{
	if (at != (tensor)i && g->gradient[at]) add_gradient(g, (tensor)i, g->gradient[at]);
	tensor dy = g->gradient[i];
	const node *n = &g->nodes[i];
	if (!dy || !g->wanted[i] || !n->inputs) return;
	if (!operations[n->op].gradient) {
		graph_fail(g, "%s: %s has no gradient", n->name, operations[n->op].name);
		return;
	}
	if (n->op != CAST && n->op != VIEW) dy = cast(g, dy, n->dtype);
	const char *scope = g->scope_name;
	g->scope_name = n->name;
	operations[n->op].gradient(g, at, dy);
	g->scope_name = scope;
}

static void walk(graph *g, tensor loss, const bool *varies, tensor *clone)
{
	int block = 0;
	for (int i = (int)loss; i > 0 && !failed(&g->error); i--) {
		int b = g->recompute && g->wanted[i] ? g->nodes[i].block : 0;
		if (b && b != block) {
			int first = i;
			while (first > 1 && g->nodes[first - 1].block == b) first--;
			/* parameters made inside the block belong to none: look past them */
			for (int k = first - 1; k > 0 && (g->nodes[k].block == b || g->nodes[k].op == PARAM); k--)
				if (g->nodes[k].block == b) first = k;
			block = b;
			clone_block(g, first, i, varies, clone);
		}
		if (!failed(&g->error)) visit(g, i, clone[i] ? clone[i] : (tensor)i);
	}
}

/* A view that gradients do not pass. */
tensor detach(graph *g, tensor x) { return emit(g, 1, (node){ .op = VIEW, .inputs = 1, .in = { x }, .a = { 0, 1 } }); }

static bool is_detached(const node *n) { return n->op == VIEW && n->a[1]; }

bool gradients(graph *g, tensor loss, const tensor *wrt, int n, tensor *out)
{
	for (int i = 0; i < n; i++) out[i] = 0;
	if (failed(&g->error) || !loss) return false;
	if (shape_count(shape_of(g, loss)) != 1)
		return graph_fail(g, "a loss has 1 element, this one has %zu", shape_count(shape_of(g, loss)));
	int count = g->count, block = g->block;
	g->block = 0;
	bool *varies = find_varying(g);
	tensor *clone = calloc((size_t)count, sizeof *clone);
	if (!varies || !clone) fail(&g->error, NO_MEMORY, "out of memory for the gradients of %d nodes", count);
	if (!failed(&g->error) && reserve(g, (tensor)count)) {
		for (int i = 0; i < n; i++) g->wanted[wrt[i]] = wrt[i] != 0;
		for (int i = 1; i < count; i++)
			for (int k = 0; k < g->nodes[i].inputs && !is_detached(&g->nodes[i]); k++)
				g->wanted[i] |= g->wanted[g->nodes[i].in[k]];
		g->gradient[loss] = fill(g, dtype_of(g, loss), shape_of(g, loss), 1);
		walk(g, loss, varies, clone);
		for (int i = 0; i < n && !failed(&g->error); i++) {
			tensor d = g->gradient[wrt[i]];
			out[i] = d && node_of(g, wrt[i])->op == PARAM ? cast(g, d, REAL) : d;
			keep(g, out[i]);
		}
	}
	free(varies);
	free(clone);
	free(g->gradient);
	free(g->wanted);
	g->gradient = NULL;
	g->wanted = NULL;
	g->gradient_capacity = 0;
	g->block = block;
	return !failed(&g->error);
}
