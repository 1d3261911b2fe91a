/* run.c - memory and running. Nothing is allocated while a graph runs. */
#include "base/memory.h"
#include "graph/internal.h"
#include <stdlib.h>
#include <time.h>

size_t graph_arena_bytes(const graph *g) { return g->arena_bytes; }
size_t graph_constant_bytes(const graph *g) { return g->constant_bytes; }
size_t graph_setup_bytes(const graph *g) { return g->setup_bytes; }
void graph_profile(graph *g, bool on) { g->profile = on; }

static char *memory_of(const graph *g, tensor t)
{
	const place *p = &g->places[t];
	char *base = g->places[p->base].data;
	return base ? base + p->offset : NULL;
}

void *graph_data(const graph *g, tensor t) { return t ? memory_of(g, t) : NULL; }

static void connect(graph *g, step *s, char *scratch, char *packed)
{
	const node *y = s->call.y;
	s->call.out = memory_of(g, s->node);
	for (int k = 0; k < y->inputs; k++) s->call.in[k] = y->in[k] ? memory_of(g, y->in[k]) : NULL;
	s->call.scratch = s->scratch_bytes ? scratch + s->scratch_at : NULL;
	s->call.packed = s->packed_bytes ? packed + s->packed_at : NULL;
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A kernel's failure, with the name of the kernel. */
static bool broken(const step *s, const error *own, error *e)
{
	return fail(e, failed(own) ? own->status : BAD_USAGE, "%s (%s, kernel %s)",
	    failed(own) ? own->text : "a kernel failed", operations[s->call.y->op].name, s->kernel->name);
}

static bool compute(graph *g, step *s, bool pack, error *e)
{
	double start = g->profile ? now() : 0;
	error own = { OK, "" };
	bool fine = (!pack || s->kernel->pack(&s->call, &own)) && s->kernel->run(&s->call, &own);
	if (g->profile) s->seconds += now() - start;
	return fine || broken(s, &own, e);
}

/* Which fold is the last to read each parameter, so that its pages can be given back; -1 where runs read it. */
static void tell_unused(graph *g, int f, const int *last, unused_fn *unused, void *context)
{
	if (!unused) return;
	const step *s = g->folds[f].pack ? &g->steps[g->folds[f].step] : &g->constant_steps[g->folds[f].step];
	for (int k = 0; k < s->call.y->inputs; k++) {
		tensor base = g->places[s->call.y->in[k]].base;
		if (base && g->nodes[base].op == PARAM && last[base] == f)
			unused(context, g->places[base].bound, node_bytes(g, base));
	}
}

static bool fold_all(graph *g, char *setup, unused_fn *unused, void *context, error *e)
{
	int *last = calloc((size_t)g->count, sizeof *last);
	if (!last) return fail(e, NO_MEMORY, "out of memory for %d nodes", g->count);
	for (int f = 0; f < g->fold_count; f++) {
		const step *s = g->folds[f].pack ? &g->steps[g->folds[f].step] : &g->constant_steps[g->folds[f].step];
		for (int k = 0; k < s->call.y->inputs; k++)
			if (!g->folds[f].pack || k == 1) last[g->places[s->call.y->in[k]].base] = f;
	}
	for (int i = 1; i < g->count; i++)
		if (g->places[i].persistent) last[i] = -1;
	bool fine = true;
	for (int f = 0; fine && f < g->fold_count; f++) {
		if (g->folds[f].pack) {
			step *s = &g->steps[g->folds[f].step];
			error own = { OK, "" };
			fine = s->kernel->pack(&s->call, &own) || broken(s, &own, e);
		} else {
			step *s = &g->constant_steps[g->folds[f].step];
			connect(g, s, setup, setup);
			fine = compute(g, s, s->packed_bytes > 0, e);
		}
		tell_unused(g, f, last, unused, context);
	}
	free(last);
	return fine;
}

bool graph_allocate(graph *g, unused_fn *unused, void *context, error *e)
{
	g->arena = memory_new(g->arena_bytes);
	g->constants = memory_new(g->constant_bytes);
	char *setup = memory_new(g->setup_bytes);
	if (!g->arena || !g->constants || !setup) {
		free(setup);
		return fail(e, NO_MEMORY,
		    "out of memory: %zu MiB for values, %zu for weights and %zu to prepare them are needed",
		    g->arena_bytes >> 20, g->constant_bytes >> 20, g->setup_bytes >> 20);
	}
	for (int i = 1; i < g->count; i++) {
		place *p = &g->places[i];
		if (g->nodes[i].op == PARAM) {
			if (p->alive && !p->bound) {
				free(setup);
				return fail(e, BAD_USAGE, "the weight '%s' has no memory", g->nodes[i].name);
			}
			p->data = (char *)(uintptr_t)p->bound; /* kernels never write to inputs */
		} else if (p->base == (tensor)i)
			p->data = (p->persistent ? g->constants : p->constant ? setup : g->arena) + p->at;
	}
	for (int s = 0; s < g->step_count; s++) {
		const step *y = &g->steps[s];
		bool constant = y->packed_bytes && g->places[y->call.y->in[1]].constant;
		connect(g, &g->steps[s], g->arena, constant ? g->constants : g->arena);
	}
	bool fine = fold_all(g, setup, unused, context, e);
	for (int i = 1; i < g->count; i++)
		if (g->places[i].constant && !g->places[i].persistent && g->nodes[i].op != PARAM) g->places[i].data = NULL;
	free(setup);
	return fine;
}

bool graph_run(graph *g, watch_fn *done, void *context, error *e)
{
	for (int i = 0; i < g->step_count; i++) {
		step *s = &g->steps[i];
		bool pack = s->packed_bytes && !g->places[s->call.y->in[1]].constant;
		if (!compute(g, s, pack, e)) return false;
		for (tensor t = s->watched; done && t; t = g->places[t].next_watched)
			if (!done(context, t, memory_of(g, t), e)) return false;
	}
	return true;
}
