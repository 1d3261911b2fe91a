/* compile.c - from nodes to steps: which are computed once and which in every run, in what order, by which kernel. */
#include "graph/internal.h"
#include <stdlib.h>

static bool is_leaf(const node *n) { return n->op == INPUT || n->op == PARAM; }

static bool aliases(const graph *g, tensor t) { return g->nodes[t].op == VIEW || g->nodes[t].op == CAST; }

/* Constants depend on nothing that changes, and nobody is to be told of them in every run; a view, or a cast that
 * changes nothing, has its input's memory. */
static void find_places(graph *g)
{
	for (int i = 1; i < g->count; i++)
		for (tensor t = g->nodes[i].watch ? (tensor)i : 0; t; t = aliases(g, t) ? g->nodes[t].in[0] : 0)
			g->places[t].told = true;
	for (int i = 1; i < g->count; i++) {
		const node *n = &g->nodes[i];
		place *p = &g->places[i];
		p->base = (tensor)i;
		p->offset = 0;
		p->constant = n->op == FILL || n->op == RELATIVE_BUCKETS || (n->op == PARAM && !n->trainable) || (!is_leaf(n) && n->inputs > 0);
		p->constant &= !p->told;
		for (int k = 0; k < n->inputs; k++) p->constant &= !n->in[k] || g->places[n->in[k]].constant;
		const place *from = &g->places[n->in[0]];
		bool same = n->op == CAST && n->dtype == g->nodes[n->in[0]].dtype && !g->places[from->base].unaligned;
		if (n->op == VIEW || same) {
			p->base = from->base;
			p->offset = from->offset + (n->op == VIEW ? (size_t)n->a[0] * dtype_size(n->dtype) : 0);
		}
	}
}

/* A view takes its dtype when it is built, a parameter when it is bound: views of parameters follow. */
static void settle_dtypes(graph *g)
{
	for (int i = 1; i < g->count; i++)
		if (g->nodes[i].op == VIEW) g->nodes[i].dtype = g->nodes[g->nodes[i].in[0]].dtype;
}

/* A file may hold any float type: only a cast, a view that a cast follows, or a look-up of rows may read a parameter
 * that is not in full precision. */
static bool check_parameters(graph *g, error *e)
{
	for (int i = 1; i < g->count; i++) {
		const node *n = &g->nodes[i];
		if (!g->places[i].alive || n->op == CAST || n->op == VIEW) continue;
		for (int k = n->op == EMBEDDING; k < n->inputs; k++) {
			tensor x = n->in[k];
			while (g->nodes[x].op == VIEW) x = g->nodes[x].in[0];
			if (g->nodes[x].op == PARAM && g->nodes[x].dtype != REAL)
				return fail(e, BAD_USAGE, "%s reads the weight '%s', which is %s, without a cast",
				    operations[n->op].name, g->nodes[x].name, dtype_name(g->nodes[x].dtype));
		}
	}
	return true;
}

/* Who watches a view is told when what it looks at is done. */
static void link_watchers(graph *g)
{
	for (int s = 0; s < g->step_count; s++) g->places[g->steps[s].node].step = s;
	for (int i = g->count - 1; i > 0; i--) {
		tensor base = g->places[i].base;
		if (!g->nodes[i].watch || g->places[base].constant || is_leaf(&g->nodes[base])) continue;
		step *s = &g->steps[g->places[base].step];
		g->places[i].next_watched = s->watched;
		s->watched = (tensor)i;
	}
}

static void describe(graph *g, step *s)
{
	const node *n = &g->nodes[s->node];
	s->call = (call){ .y = n };
	for (int k = 0; k < n->inputs; k++) s->call.x[k] = n->in[k] ? &g->nodes[n->in[k]] : NULL;
}

static bool choose(graph *g, step *s, const backend *b, int threads, error *e)
{
	describe(g, s);
	opcode op = s->call.y->op;
	int (*worth)(const call *, int) = b->threads;
	s->call.threads = worth ? worth(&s->call, threads) : threads;
	for (; b; b = b->fallback)
		for (int r = 0; r < b->count; r++) {
			const kernel *k = &b->rows[r];
			if (k->op != op || (k->fits && !k->fits(&s->call))) continue;
			if (k->prepare && !k->prepare(&s->call, e)) return false;
			s->kernel = k;
			s->packed_bytes = k->packed_bytes ? k->packed_bytes(&s->call) : 0;
			s->scratch_bytes = k->scratch_bytes ? k->scratch_bytes(&s->call) : 0;
			return true;
		}
	return fail(e, BAD_USAGE, "no kernel computes %s", operations[op].name);
}

static bool is_step(const graph *g, int i)
{
	return g->places[i].alive && !is_leaf(&g->nodes[i]) && g->places[i].base == (tensor)i;
}

/* Constants are folded just before the first step that needs them, so that a weight's unpacked form lives shortly. */
static bool fold_constant(graph *g, tensor t, bool *done, const backend *b, int threads, error *e)
{
	t = g->places[t].base;
	if (!t || !g->places[t].constant || g->nodes[t].op == PARAM || done[t]) return true;
	done[t] = true;
	for (int k = 0; k < g->nodes[t].inputs; k++)
		if (!fold_constant(g, g->nodes[t].in[k], done, b, threads, e)) return false;
	step *s = &g->constant_steps[g->constant_step_count];
	s->node = t;
	if (!choose(g, s, b, threads, e)) return false;
	g->folds[g->fold_count++] = (fold){ false, g->constant_step_count++ };
	return true;
}

static bool make_steps(graph *g, const backend *b, int threads, bool *done, error *e)
{
	for (int i = 1; i < g->count; i++) {
		if (g->places[i].constant && g->nodes[i].keep && !fold_constant(g, (tensor)i, done, b, threads, e))
			return false;
		if (!is_step(g, i) || g->places[i].constant) continue;
		step *s = &g->steps[g->step_count];
		s->node = (tensor)i;
		if (!choose(g, s, b, threads, e)) return false;
		const node *n = &g->nodes[i];
		for (int k = 0; k < n->inputs; k++) {
			if (!fold_constant(g, n->in[k], done, b, threads, e)) return false;
			if (k == 1 && s->packed_bytes && g->places[n->in[1]].constant)
				g->folds[g->fold_count++] = (fold){ true, g->step_count };
		}
		g->step_count++;
	}
	return true;
}

/* Every kernel that packs a weight does so as soon as the weight is folded, though its step comes late (in a backward
 * pass): so the unpacked form of one weight at a time is in memory, not of all. */
typedef struct folding {
	fold fold;
	int after; /* the place in the list that it waits for */
	int place;
} folding;

static int by_place(const void *a, const void *b)
{
	const folding *x = a, *y = b;
	return x->after != y->after ? x->after - y->after : x->place - y->place;
}

static bool gather_packs(graph *g, error *e)
{
	int *place_of = malloc((size_t)g->count * sizeof *place_of);
	folding *list = malloc(((size_t)g->fold_count + 1) * sizeof *list);
	if (!place_of || !list) {
		free(place_of);
		free(list);
		return fail(e, NO_MEMORY, "out of memory for %d constants", g->fold_count);
	}
	for (int i = 0; i < g->count; i++) place_of[i] = -1; /* a parameter, there from the beginning */
	for (int f = 0; f < g->fold_count; f++)
		if (!g->folds[f].pack) place_of[g->constant_steps[g->folds[f].step].node] = f;
	for (int f = 0; f < g->fold_count; f++) {
		bool pack = g->folds[f].pack;
		tensor weight = pack ? g->places[g->steps[g->folds[f].step].call.y->in[1]].base : 0;
		list[f] = (folding){ g->folds[f], pack ? place_of[weight] : f, f };
	}
	qsort(list, (size_t)g->fold_count, sizeof *list, by_place);
	for (int f = 0; f < g->fold_count; f++) g->folds[f] = list[f].fold;
	free(place_of);
	free(list);
	return true;
}

bool graph_compile(graph *g, const backend *b, int threads, error *e)
{
	if (failed(&g->error)) return fail(e, g->error.status, "%s", g->error.text);
	if (g->compiled) return fail(e, BAD_USAGE, "the graph is compiled already");
	g->compiled = true;
	settle_dtypes(g);
	mark_alive(g);
	fuse(g);
	mark_alive(g);
	find_places(g);
	size_t n = (size_t)g->count;
	g->steps = calloc(n, sizeof *g->steps);
	g->constant_steps = calloc(n, sizeof *g->constant_steps);
	g->folds = calloc(2 * n, sizeof *g->folds);
	bool *done = calloc(n, sizeof *done);
	bool fine = g->steps && g->constant_steps && g->folds && done && !failed(&g->error);
	if (!fine)
		fail(e, NO_MEMORY, "out of memory for the steps of %zu nodes", n);
	else
		fine = check_parameters(g, e) && make_steps(g, b, threads > 0 ? threads : 1, done, e) && gather_packs(g, e) &&
		       plan(g, e);
	if (fine) link_watchers(g);
	free(done);
	return fine;
}
