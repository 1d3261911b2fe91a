/* fuse.c - what nobody keeps is dropped, and residuals and activations move into the product before them.
 *
 * A fused node takes the place of the last node of its pattern, so that everything it reads is there already. In a
 * training graph an activation's input is read by its gradient too: then it stays, without being asked. */
#include "graph/internal.h"
#include <stdlib.h>

void mark_alive(graph *g)
{
	for (int i = 1; i < g->count; i++) g->places[i].alive = g->nodes[i].keep || g->nodes[i].watch;
	for (int i = g->count - 1; i > 0; i--)
		for (int k = 0; g->places[i].alive && k < g->nodes[i].inputs; k++) g->places[g->nodes[i].in[k]].alive = true;
}

static bool is_product(const node *n) { return n->op == MATMUL || n->op == CONV; }

static int *activation_slot(node *n) { return n->op == MATMUL ? &n->a[2] : &n->a[5]; }

/* Whether y's input k is a product that only y reads and that can still take something. */
static bool takes(graph *g, const node *y, int k, const int *uses)
{
	tensor t = y->in[k];
	node *p = &g->nodes[t];
	return is_product(p) && uses[t] == 1 && !p->keep && !p->watch && *activation_slot(p) == NO_ACTIVATION &&
	       p->dtype == y->dtype && shape_same(p->shape, y->shape);
}

static void become(graph *g, node *y, tensor product)
{
	node p = g->nodes[product];
	y->op = p.op;
	y->inputs = p.inputs;
	for (int i = 0; i < MAX_INPUTS; i++) y->in[i] = p.in[i];
	for (int i = 0; i < MAX_ATTRIBUTES; i++) y->a[i] = p.a[i];
	g->places[product].alive = false;
}

static void fuse_node(graph *g, int i, const int *uses)
{
	node *y = &g->nodes[i];
	if (y->op == ADD && shape_same(g->nodes[y->in[0]].shape, g->nodes[y->in[1]].shape)) {
		for (int k = 0; k < 2; k++) {
			tensor product = y->in[k], residual = y->in[1 - k];
			if (!takes(g, y, k, uses) || g->nodes[product].in[3] || residual == product) continue;
			if (g->nodes[residual].dtype != y->dtype) continue;
			become(g, y, product);
			y->in[3] = residual;
			return;
		}
	} else if (y->op == ACTIVATION && y->a[0] <= GELU_QUICK && takes(g, y, 0, uses)) {
		int kind = y->a[0];
		become(g, y, y->in[0]);
		*activation_slot(y) = kind;
	}
}

void fuse(graph *g)
{
	int *uses = calloc((size_t)g->count, sizeof *uses);
	if (!uses) {
		fail(&g->error, NO_MEMORY, "out of memory for %d nodes", g->count);
		return;
	}
	for (int i = 1; i < g->count; i++)
		for (int k = 0; g->places[i].alive && k < g->nodes[i].inputs; k++) uses[g->nodes[i].in[k]]++;
	for (int i = 1; i < g->count; i++)
		if (g->places[i].alive) fuse_node(g, i, uses);
	free(uses);
}
