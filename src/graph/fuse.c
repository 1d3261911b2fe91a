/* fuse.c - what nobody keeps is dropped, residuals and activations move into the product before them, and casts into
 * the operation before them.
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

/* y takes the place of what it alone reads, with its own type and shape. */
static void become(graph *g, node *y, tensor product)
{
	node p = g->nodes[product];
	y->op = p.op;
	y->inputs = p.inputs;
	for (int i = 0; i < MAX_INPUTS; i++) y->in[i] = p.in[i];
	for (int i = 0; i < MAX_ATTRIBUTES; i++) y->a[i] = p.a[i];
	for (int i = 0; i < 2; i++) y->f[i] = p.f[i];
	g->places[product].alive = false;
}

/* Rows that read and write blocks of either type, and products that are summed in f32. A row that fits everything is a
 * fallback's: its types are the operation's. */
static bool has_row(const backend *b, const call *c)
{
	opcode op = c->y->op;
	if (!(is_product(c->y) && c->y->dtype == F32) && op != GROUP_NORM && op != LAYER_NORM && op != ADD) return false;
	for (int i = 0; i < b->count; i++)
		if (b->rows[i].op == op && b->rows[i].fits && b->rows[i].fits(c)) return true;
	return false;
}

/* A result is rounded once, to the type that is wanted of it; a residual has the result's type and would not fit. */
static void fuse_cast(graph *g, node *y, const backend *b, const int *uses)
{
	tensor t = y->in[0];
	const node *x = &g->nodes[t];
	if (!b->fuses_casts || uses[t] != 1 || x->keep || x->watch || x->dtype == y->dtype || (is_product(x) && x->in[3]))
		return;
	node cast = *x;
	cast.dtype = y->dtype;
	call c = { .y = &cast, .device = b->device ? b->device->context : NULL };
	for (int k = 0; k < x->inputs; k++) c.x[k] = x->in[k] ? &g->nodes[x->in[k]] : NULL;
	if (has_row(b, &c)) become(g, y, t);
}

static void fuse_node(graph *g, int i, const backend *b, const int *uses)
{
	node *y = &g->nodes[i];
	if (y->op == CAST)
		fuse_cast(g, y, b, uses);
	else if (y->op == ADD && shape_same(g->nodes[y->in[0]].shape, g->nodes[y->in[1]].shape)) {
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

void fuse(graph *g, const backend *b)
{
	int *uses = calloc((size_t)g->count, sizeof *uses);
	if (!uses) {
		fail(&g->error, NO_MEMORY, "out of memory for %d nodes", g->count);
		return;
	}
	for (int i = 1; i < g->count; i++)
		for (int k = 0; g->places[i].alive && k < g->nodes[i].inputs; k++) uses[g->nodes[i].in[k]]++;
	for (int i = 1; i < g->count; i++)
		if (g->places[i].alive) fuse_node(g, i, b, uses);
	free(uses);
}
