/* compile.c - from nodes to steps: which are computed once and which in every run, in what order, by which kernel. */
#include "graph/internal.h"
#include <stdlib.h>
#include <string.h>

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
		p->memory = g->device && n->op == PARAM && !n->trainable ? HOST : OWN;
		p->constant = n->op == FILL || n->op == RELATIVE_BUCKETS || (n->op == PARAM && !n->trainable) ||
		              (!is_leaf(n) && n->inputs > 0);
		p->constant &= !p->told;
		for (int k = 0; k < n->inputs; k++) p->constant &= !n->in[k] || g->places[n->in[k]].constant;
		const place *from = &g->places[n->in[0]];
		bool same = n->op == CAST && n->dtype == g->nodes[n->in[0]].dtype && !g->places[from->base].unaligned;
		if (n->op == VIEW || same) {
			p->base = from->base;
			p->offset = from->offset + (n->op == VIEW ? dtype_bytes(n->dtype, (size_t)n->a[0]) : 0);
		}
	}
}

/* A view takes its dtype when it is built, a parameter when it is bound: views of parameters follow. */
static void settle_dtypes(graph *g)
{
	for (int i = 1; i < g->count; i++)
		if (g->nodes[i].op == VIEW) g->nodes[i].dtype = g->nodes[g->nodes[i].in[0]].dtype;
}

/* A part of a quantised weight begins with a block, or it has no address. */
static bool begins_with_block(const graph *g, const node *view, error *e)
{
	size_t block = dtype_block(view->dtype);
	return (size_t)view->a[0] % block == 0 ||
	       fail(e, BAD_USAGE, "a part of the weight '%s', which is %s, begins at element %lld, within a block of %zu",
	           view->name ? view->name : g->nodes[view->in[0]].name, dtype_name(view->dtype), (long long)view->a[0],
	           block);
}

/* A file may hold any float type: only a cast, a view that a cast follows, or a look-up of rows may read a parameter
 * that is not in full precision. */
static bool check_parameters(graph *g, error *e)
{
	for (int i = 1; i < g->count; i++) {
		const node *n = &g->nodes[i];
		if (g->places[i].alive && n->op == VIEW && !begins_with_block(g, n, e)) return false;
		if (!g->places[i].alive || n->op == CAST || n->op == VIEW || operations[n->op].writes) continue;
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
	for (int s = 0; s < g->step_count; s++)
		if (g->steps[s].call.y->op != COPY) g->places[g->steps[s].node].step = s;
	for (int i = g->count - 1; i > 0; i--) {
		tensor base = g->places[i].base;
		if (!g->nodes[i].watch || g->places[base].constant || is_leaf(&g->nodes[base])) continue;
		step *s = &g->steps[g->places[base].step];
		g->places[i].next_watched = s->watched;
		s->watched = (tensor)i;
	}
}

/* ── steps ── */

typedef struct maker {
	graph *g;
	const backend *backend;
	int threads;
	bool *done; /* [nodes, and the copies that may come]: folded, where it is a constant */
	error *e;
} maker;

static void release(step *s)
{
	if (s->kernel && s->kernel->release && s->call.state) s->kernel->release(s->call.state);
	s->call.state = NULL;
}

static bool grow_list(void **list, int *capacity, int count, size_t size, error *e)
{
	if (count < *capacity) return true;
	int more = *capacity ? 2 * *capacity : 64;
	void *larger = realloc(*list, (size_t)more * size);
	if (!larger) return fail(e, NO_MEMORY, "out of memory for %d steps", more);
	*list = larger;
	*capacity = more;
	return true;
}

static bool add_fold(maker *m, bool pack, int at)
{
	graph *g = m->g;
	void *list = g->folds;
	if (!grow_list(&list, &g->fold_capacity, g->fold_count, sizeof *g->folds, m->e)) return false;
	g->folds = list;
	g->folds[g->fold_count++] = (fold){ pack, at };
	return true;
}

/* The step of a run, or of folding; what it holds is released where there is no room. */
static bool add_step(maker *m, step *s, bool constant)
{
	graph *g = m->g;
	step **list = constant ? &g->constant_steps : &g->steps;
	int *count = constant ? &g->constant_step_count : &g->step_count;
	void *memory = *list;
	bool fine =
	    grow_list(&memory, constant ? &g->constant_step_capacity : &g->step_capacity, *count, sizeof **list, m->e);
	*list = memory;
	if (!fine) return release(s), false;
	(*list)[(*count)++] = *s;
	return !constant || add_fold(m, false, *count - 1);
}

static bool choose(maker *m, step *s)
{
	const node *n = &m->g->nodes[s->node];
	int (*worth)(const call *, int) = NULL;
	s->call = (call){ .y = n };
	for (int k = 0; k < n->inputs; k++) s->call.x[k] = n->in[k] ? &m->g->nodes[n->in[k]] : NULL;
	for (const backend *b = m->backend; b; b = b->fallback) {
		if (b->device && b->device != m->g->device) return fail(m->e, BAD_USAGE, "a fallback to a second device");
		if (b->threads) worth = b->threads;
		s->backend = b->name;
		s->memory = m->g->device && !b->device ? HOST : OWN;
		s->call.device = b->device ? b->device->context : NULL;
		s->call.threads = worth ? worth(&s->call, m->threads) : m->threads;
		for (int r = 0; r < b->count; r++) {
			const kernel *k = &b->rows[r];
			if (k->op != n->op || (k->fits && !k->fits(&s->call))) continue;
			if (k->prepare && !k->prepare(&s->call, m->e)) return false;
			s->kernel = k;
			s->packed_bytes = k->packed_bytes ? k->packed_bytes(&s->call) : 0;
			s->scratch_bytes = k->scratch_bytes ? k->scratch_bytes(&s->call) : 0;
			m->g->places[s->node].memory = s->memory;
			return true;
		}
	}
	return fail(m->e, BAD_USAGE, "no kernel computes %s", operations[n->op].name);
}

/* Copies are no kernels: run.c has the device do them. The rows give them names. */
static const kernel up = { .op = COPY, .name = "upload" }, down = { .op = COPY, .name = "download" };

/* A step that copies `from` to `to`, in the other memory; y is the COPY among the nodes, whose shape both have. */
static bool add_copy(maker *m, tensor y, tensor from, tensor to)
{
	graph *g = m->g;
	int memory = g->places[to].memory;
	step s = { .node = to,
		.kernel = memory == OWN ? &up : &down,
		.backend = memory == OWN ? g->device->name : "host",
		.memory = memory,
		.reads = { from },
		.call = { .y = &g->nodes[y], .x = { &g->nodes[from] } } };
	return add_step(m, &s, g->places[y].constant);
}

static tensor add_twin(graph *g, tensor base)
{
	tensor t = (tensor)g->count++; /* there is room: compile has seen to it */
	node *n = &g->nodes[t];
	place *p = &g->places[base];
	*n = g->nodes[base];
	*n = (node){ .op = COPY, .inputs = 1, .dtype = n->dtype, .shape = n->shape, .in = { base }, .name = n->name };
	g->places[t] =
	    (place){ .base = t, .alive = true, .constant = p->constant, .memory = p->memory == OWN ? HOST : OWN };
	return p->twin = t;
}

static bool fold_constant(maker *m, tensor t);

/* Input k of a step, from the step's memory: its copy there where it lies in the other one. */
static bool reach(maker *m, step *s, int k)
{
	graph *g = m->g;
	tensor base = g->places[s->call.y->in[k]].base;
	if (!base) return true;
	if (!fold_constant(m, base)) return false;
	place *p = &g->places[base];
	s->reads[k] = base;
	if (p->memory == s->memory) return true;
	s->reads[k] = p->twin ? p->twin : add_twin(g, base);
	if (p->fresh) return true;
	p->fresh = true;
	return add_copy(m, p->twin, base, p->twin);
}

/* A parameter that a step has changed: the copy in the other memory is old now, or it is the one that was changed. */
static bool settle_changes(maker *m, const step *s)
{
	for (int k = 0; k < s->call.y->inputs; k++) {
		if (!(operations[s->call.y->op].writes >> k & 1) || !s->reads[k]) continue;
		tensor base = m->g->places[s->call.y->in[k]].base;
		if (s->reads[k] == base)
			m->g->places[base].fresh = false;
		else if (!add_copy(m, s->reads[k], s->reads[k], base))
			return false;
	}
	return true;
}

static bool same_operand(const node *a, const node *b)
{
	return (!a && !b) || (a && b && a->dtype == b->dtype && shape_same(a->shape, b->shape));
}

/* Whether two steps pack one weight, or the same view of it, into the same form: the same kernel on the same shapes, as
 * where a block of the forward pass is recomputed in the backward pass. */
static bool packs_alike(const step *a, const step *b)
{
	const node *x = a->call.y, *y = b->call.y;
	bool alike = a->kernel == b->kernel && a->memory == b->memory && a->packed_bytes == b->packed_bytes &&
	             x->op == y->op && x->in[1] == y->in[1] && same_operand(x, y) && !memcmp(x->a, y->a, sizeof x->a);
	for (int k = 0; alike && k < MAX_INPUTS; k++) alike = same_operand(a->call.x[k], b->call.x[k]);
	return alike;
}

/* Finds an earlier step that packs the weight as this one does, and adds it to those that do. */
static void share_pack(graph *g, step *s, int index)
{
	place *p = &g->places[s->reads[1]];
	for (int i = p->packs; i && !s->packed_like; i = g->steps[i - 1].packed_before)
		if (!g->steps[i - 1].packed_like && packs_alike(&g->steps[i - 1], s)) s->packed_like = i;
	s->packed_before = p->packs;
	p->packs = index + 1;
}

static bool make_step(maker *m, tensor t, bool constant)
{
	graph *g = m->g;
	step s = { .node = t };
	if (!choose(m, &s)) return false;
	for (int k = 0; k < s.call.y->inputs; k++)
		if (!reach(m, &s, k)) return release(&s), false;
	bool packs = !constant && s.packed_bytes && g->places[s.reads[1]].constant;
	if (packs) share_pack(g, &s, g->step_count);
	if (!add_step(m, &s, constant)) return false;
	return (!packs || s.packed_like || add_fold(m, true, g->step_count - 1)) && settle_changes(m, &s);
}

/* Constants are folded just before the first step that needs them, so that a weight's unpacked form lives shortly. */
static bool fold_constant(maker *m, tensor t)
{
	graph *g = m->g;
	t = g->places[t].base;
	if (!t || !g->places[t].constant || g->nodes[t].op == PARAM || m->done[t]) return true;
	m->done[t] = true;
	return make_step(m, t, true);
}

static bool is_step(const graph *g, int i)
{
	return g->places[i].alive && !is_leaf(&g->nodes[i]) && g->places[i].base == (tensor)i;
}

static bool make_steps(maker *m)
{
	graph *g = m->g;
	int count = g->count; /* without the copies */
	for (int i = 1; i < count; i++) {
		bool constant = g->places[i].constant;
		if (constant && g->nodes[i].keep && !fold_constant(m, (tensor)i)) return false;
		if (is_step(g, i) && !constant && !make_step(m, (tensor)i, false)) return false;
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
		tensor weight = pack ? g->steps[g->folds[f].step].reads[1] : 0;
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
	g->device = b->device;
	settle_dtypes(g);
	mark_alive(g);
	fuse(g, b);
	mark_alive(g);
	find_places(g);
	size_t n = (size_t)g->count;
	if (failed(&g->error) || (g->device && !reserve_nodes(g, 2 * g->count)))
		return fail(e, g->error.status, "%s", g->error.text);
	maker m = { g, b, threads > 0 ? threads : 1, calloc(2 * n, sizeof *m.done), e };
	bool fine = (m.done || fail(e, NO_MEMORY, "out of memory for the steps of %zu nodes", n)) &&
	            check_parameters(g, e) && make_steps(&m) && gather_packs(g, e) && plan(g, e);
	if (fine) link_watchers(g);
	free(m.done);
	return fine;
}
