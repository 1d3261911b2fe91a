/* run.c - memory, the ways in and out, and running. Nothing is allocated while a graph runs, but for a device's
 * recordings. */
#include "base/clock.h"
#include "graph/internal.h"
#include <stdlib.h>

size_t graph_constant_bytes(const graph *g) { return g->constant_bytes[OWN]; }
size_t graph_setup_bytes(const graph *g) { return g->setup_bytes[OWN]; }
void graph_profile(graph *g, bool on) { g->profile = on; }

/* ── memory ── */
static const device *device_of(const graph *g, int memory) { return memory == OWN ? g->device : NULL; }

void free_memory(graph *g)
{
	for (int m = 0; m < MEMORIES; m++) {
		device_free(device_of(g, m), g->arena[m]);
		device_free(device_of(g, m), g->constants[m]);
	}
}

void free_stretches(graph *g)
{
	for (int i = 0; i < g->stretch_count; i++)
		if (g->stretches[i].recording) g->device->record_free(g->device->context, g->stretches[i].recording);
	free(g->stretches);
}

static char *memory_of(const graph *g, tensor t)
{
	const place *p = &g->places[t];
	char *base = g->places[p->base].data;
	return base ? base + p->offset : NULL;
}

/* ── in and out ── */
void *graph_address(const graph *g, tensor t) { return t ? memory_of(g, t) : NULL; }

bool graph_is_read(const graph *g, tensor t)
{
	for (int s = 0; s < g->step_count; s++)
		for (int k = 0; k < MAX_INPUTS; k++)
			if (g->steps[s].reads[k] && g->steps[s].reads[k] == g->places[t].base) return true;
	return false;
}

static bool find_memory(const graph *g, tensor t, int *memory, char **at, error *e)
{
	*at = t ? memory_of(g, t) : NULL;
	*memory = t ? g->places[g->places[t].base].memory : OWN;
	return *at || fail(e, BAD_USAGE, "'%s' has no memory: it is not kept, or the graph has none yet",
	                  t ? g->nodes[t].name : "no tensor");
}

bool graph_write(graph *g, tensor t, const void *values, error *e)
{
	char *at;
	int memory;
	bool fine = find_memory(g, t, &memory, &at, e);
	size_t bytes = fine ? node_bytes(g, t) : 0;
	for (int lane = 0; fine && lane < lanes_of(g); lane++)
		fine = device_write(
		    device_of(g, memory), in_lane(g, at, lane), (const char *)values + (size_t)lane * bytes, bytes, e);
	return fine;
}

bool graph_read(const graph *g, tensor t, void *values, error *e)
{
	char *at;
	int memory;
	bool fine = find_memory(g, t, &memory, &at, e);
	size_t bytes = fine ? node_bytes(g, t) : 0;
	for (int lane = 0; fine && lane < lanes_of(g); lane++)
		fine = device_read(device_of(g, memory), (char *)values + (size_t)lane * bytes, in_lane(g, at, lane), bytes, e);
	return fine;
}

bool graph_write_floats(graph *g, tensor t, const float *values, error *e)
{
	if (!t || g->nodes[t].dtype == F32) return graph_write(g, t, values, e);
	size_t lanes = (size_t)lanes_of(g);
	void *room = malloc(lanes * node_bytes(g, t));
	if (!room) return fail(e, NO_MEMORY, "out of memory for '%s'", g->nodes[t].name);
	convert(room, g->nodes[t].dtype, values, F32, lanes * shape_count(g->nodes[t].shape));
	bool fine = graph_write(g, t, room, e);
	free(room);
	return fine;
}

bool graph_read_floats(const graph *g, tensor t, float *values, error *e)
{
	if (!t || g->nodes[t].dtype == F32) return graph_read(g, t, values, e);
	size_t lanes = (size_t)lanes_of(g);
	void *room = malloc(lanes * node_bytes(g, t));
	if (!room) return fail(e, NO_MEMORY, "out of memory for '%s'", g->nodes[t].name);
	bool fine = graph_read(g, t, room, e);
	if (fine) convert(values, F32, room, g->nodes[t].dtype, lanes * shape_count(g->nodes[t].shape));
	free(room);
	return fine;
}

bool graph_pass(const graph *from, tensor t, graph *to, tensor input, error *e)
{
	char *source, *target;
	int lies, goes;
	if (!find_memory(from, t, &lies, &source, e) || !find_memory(to, input, &goes, &target, e)) return false;
	const node *a = &from->nodes[t], *b = &to->nodes[input];
	if (from->device != to->device || a->dtype != b->dtype || !shape_same(a->shape, b->shape))
		return fail(e, BAD_USAGE, "'%s' is not of the backend, type and shape of '%s'", a->name, b->name);
	const device *d = device_of(from, lies), *other = device_of(to, goes);
	size_t bytes = node_bytes(from, t);
	if (!d) return device_write(other, target, source, bytes, e);
	return other ? d->copy(d->context, target, source, bytes, e) : device_read(d, target, source, bytes, e);
}

/* ── one step ── */
static void connect(graph *g, step *s, char *const scratch[MEMORIES], char *const packed[MEMORIES])
{
	const node *y = s->call.y;
	s->call.out = memory_of(g, s->node);
	for (int k = 0; k < y->inputs; k++) {
		char *base = s->reads[k] ? g->places[s->reads[k]].data : NULL;
		s->call.in[k] = base ? base + g->places[y->in[k]].offset : NULL;
	}
	if (y->op == COPY) s->call.in[0] = g->places[s->reads[0]].data;
	s->call.scratch = s->scratch_bytes ? scratch[s->memory] + s->scratch_at : NULL;
	s->call.packed = s->packed_bytes ? packed[s->memory] + s->packed_at : NULL;
}

/* A kernel's failure, with the name of the kernel. */
static bool broken(const step *s, const error *own, error *e)
{
	return fail(e, failed(own) ? own->status : BAD_USAGE, "%s (%s, kernel %s)",
	    failed(own) ? own->text : "a kernel failed", operations[s->call.y->op].name, s->kernel->name);
}

/* Between the memories; a step writes to one of them and reads from the other. */
static bool transfer(const graph *g, const step *s, error *e)
{
	bool (*move)(void *, void *, const void *, size_t, error *) =
	    s->memory == OWN ? g->device->upload : g->device->download;
	return move(g->device->context, s->call.out, s->call.in[0], node_bytes(g, s->reads[0]), e);
}

bool compute(graph *g, step *s, const call *c, bool pack, error *e)
{
	double start = g->profile ? seconds_now() : 0;
	error own = { OK, "" };
	bool fine =
	    c->y->op == COPY ? transfer(g, s, &own) : (!pack || s->kernel->pack(c, &own)) && s->kernel->run(c, &own);
	if (fine && g->profile && device_of(g, s->memory)) fine = g->device->sync(g->device->context, &own);
	if (g->profile) s->seconds += seconds_now() - start;
	return fine || broken(s, &own, e);
}

/* ── folding ── */
static step *step_of(const graph *g, const fold *f)
{
	return f->pack ? &g->steps[f->step] : &g->constant_steps[f->step];
}

/* Which fold is the last to read each parameter, so that its pages can be given back; -1 where runs read it. */
static void tell_unused(graph *g, int f, const int *last, unused_fn *unused, void *context)
{
	if (!unused) return;
	const step *s = step_of(g, &g->folds[f]);
	for (int k = 0; k < s->call.y->inputs; k++) {
		tensor base = s->reads[k];
		if (base && g->nodes[base].op == PARAM && last[base] == f)
			unused(context, g->places[base].bound, node_bytes(g, base));
	}
}

static bool fold_all(graph *g, char *const setup[MEMORIES], unused_fn *unused, void *context, error *e)
{
	int *last = calloc((size_t)g->count, sizeof *last);
	if (!last) return fail(e, NO_MEMORY, "out of memory for %d nodes", g->count);
	for (int f = 0; f < g->fold_count; f++) {
		const step *s = step_of(g, &g->folds[f]);
		for (int k = 0; k < s->call.y->inputs; k++)
			if (!g->folds[f].pack || k == 1) last[s->reads[k]] = f;
	}
	for (int i = 1; i < g->count; i++)
		if (g->places[i].persistent) last[i] = -1;
	bool fine = true;
	for (int f = 0; fine && f < g->fold_count; f++) {
		step *s = step_of(g, &g->folds[f]);
		if (g->folds[f].pack) {
			error own = { OK, "" };
			fine = s->kernel->pack(&s->call, &own) || broken(s, &own, e);
		} else {
			connect(g, s, setup, setup);
			fine = compute(g, s, &s->call, s->packed_bytes > 0, e);
		}
		fine = fine && keep_streamed(g, s, g->folds[f].pack, e);
		if (fine) tell_unused(g, f, last, unused, context);
	}
	free(last);
	return fine && (!g->device || g->device->sync(g->device->context, e));
}

/* Where each value lies: what has memory of its own, and bound parameters. */
static bool settle_places(graph *g, char *const setup[MEMORIES], error *e)
{
	for (int i = 1; i < g->count; i++) {
		place *p = &g->places[i];
		if (g->nodes[i].op == PARAM) {
			if (p->alive && !p->bound) return fail(e, BAD_USAGE, "the weight '%s' has no memory", g->nodes[i].name);
			p->data = (char *)(uintptr_t)p->bound; /* written by operations that say so alone */
		} else if (p->base == (tensor)i)
			p->data = (p->persistent ? g->constants : p->constant ? setup : g->arena)[p->memory] + p->at;
	}
	return true;
}

/* What runs on the device without the host, from end to end. */
static bool find_stretches(graph *g, error *e)
{
	if (!g->device || !g->device->record_begin) return true;
	g->stretches = calloc((size_t)g->step_count + 1, sizeof *g->stretches);
	if (!g->stretches) return fail(e, NO_MEMORY, "out of memory for %d steps", g->step_count);
	for (int i = 0, m = 0; i < g->step_count; i++) {
		bool begins = m < g->segment_count && (i == g->segments[m].first || i == g->segments[m].last + 1);
		if (m < g->segment_count && i > g->segments[m].last)
			begins |= ++m < g->segment_count && i == g->segments[m].first;
		const step *s = &g->steps[i];
		if (s->memory != OWN || s->call.y->op == COPY) continue;
		stretch *last = g->stretch_count ? &g->stretches[g->stretch_count - 1] : NULL;
		if (last && last->last == i && !g->steps[i - 1].watched && !begins)
			last->last++;
		else
			g->stretches[g->stretch_count++] = (stretch){ .first = i, .last = i + 1 };
	}
	return true;
}

bool graph_allocate(graph *g, unused_fn *unused, void *context, error *e)
{
	char *setup[MEMORIES] = { NULL };
	bool fine = true;
	for (int m = 0; fine && m < (g->device ? MEMORIES : HOST); m++) {
		g->arena[m] = device_alloc(device_of(g, m), m == OWN ? graph_arena_bytes(g) : g->arena_bytes[m]);
		g->constants[m] = device_alloc(device_of(g, m), g->constant_bytes[m]);
		setup[m] = device_alloc(device_of(g, m), g->setup_bytes[m]);
		fine =
		    (g->arena[m] && g->constants[m] && setup[m]) ||
		    fail(e, NO_MEMORY, "out of memory: %zu MiB for values, %zu for weights and %zu to prepare them are needed",
		        g->arena_bytes[m] >> 20, g->constant_bytes[m] >> 20, g->setup_bytes[m] >> 20);
	}
	fine = fine && allocate_streamed(g, e) && settle_places(g, setup, e);
	char *packed[MEMORIES];
	for (int s = 0; fine && s < g->step_count; s++) {
		const step *y = &g->steps[s];
		bool constant = y->packed_bytes && g->places[y->reads[1]].constant;
		for (int m = 0; m < MEMORIES; m++) packed[m] = constant ? g->constants[m] : g->arena[m];
		connect(g, &g->steps[s], g->arena, packed);
	}
	fine = fine && fold_all(g, setup, unused, context, e) && find_stretches(g, e);
	for (int i = 1; i < g->count; i++)
		if (g->places[i].constant && !g->places[i].persistent && g->nodes[i].op != PARAM) g->places[i].data = NULL;
	for (int m = 0; m < MEMORIES; m++) device_free(device_of(g, m), setup[m]);
	return fine;
}

/* ── running ── */
bool packs_in_run(const graph *g, const step *s) { return s->packed_bytes && !g->places[s->reads[1]].constant; }

static bool run_step(graph *g, step *s, error *e) { return compute(g, s, &s->call, packs_in_run(g, s), e); }

static bool run_steps(graph *g, int first, int last, error *e)
{
	for (int i = first; i < last; i++)
		if (!run_step(g, &g->steps[i], e)) return false;
	return true;
}

/* First plainly, so that libraries get ready; then recorded; then replayed. A recording that failed is thrown away. */
static bool run_stretch(graph *g, stretch *s, error *e)
{
	const device *d = g->device;
	if (g->profile || s->runs++ == 0) return run_steps(g, s->first, s->last, e);
	if (!s->recording) {
		if (!d->record_begin(d->context, e)) return false;
		bool fine = run_steps(g, s->first, s->last, e);
		s->recording = d->record_end(d->context, e);
		if (!fine && s->recording) d->record_free(d->context, s->recording), s->recording = NULL;
		if (!s->recording) return fail(e, BAD_USAGE, "%s records no run", d->name);
	}
	return d->replay(d->context, s->recording, e);
}

bool graph_run(graph *g, watch_fn *done, void *context, error *e)
{
	if (lanes_of(g) > 1) return run_lanes(g, done, e);
	for (int i = 0, k = 0, m = 0; i < g->step_count; i++) {
		const segment *due = m < g->segment_count ? &g->segments[m] : NULL;
		if (due && due->first == i && !begin_segment(g, m, e)) return false;
		if (k < g->stretch_count && g->stretches[k].first == i) {
			i = g->stretches[k].last - 1;
			if (!run_stretch(g, &g->stretches[k++], e)) return false;
		} else if (!run_step(g, &g->steps[i], e))
			return false;
		if (due && due->last == i && !end_segment(g, m++, e)) return false;
		for (tensor t = g->steps[i].watched; done && t; t = g->places[t].next_watched)
			if (!done(context, t, e)) return false;
	}
	return true;
}
