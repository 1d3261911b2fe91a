/* plan.c - where every value lies, known before the first run.
 *
 * Three memories: the arena (values of a run, reused as they die), the constants (packed and folded weights, which
 * stay) and the set-up memory (what is needed only while weights are folded); each of them once in the backend's memory
 * and once in the host's, where that is another. Offsets come from lifetimes: the largest buffer first, each at the
 * lowest place where nothing alive at the same time lies. */
#include "graph/internal.h"
#include <stdlib.h>

static size_t rounded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

typedef struct entry {
	size_t bytes, at;
	int index;
} entry;

static int by_size(const void *a, const void *b)
{
	const entry *x = a, *y = b;
	if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
	return x->index - y->index;
}

static int by_place(const void *a, const void *b)
{
	const entry *x = a, *y = b;
	return x->at < y->at ? -1 : x->at > y->at;
}

bool place_buffers(buffer *list, int n, size_t top[MEMORIES])
{
	for (int m = 0; m < MEMORIES; m++) top[m] = 0;
	entry *order = malloc(((size_t)n + 1) * sizeof *order), *near = malloc(((size_t)n + 1) * sizeof *near);
	bool ok = order && near;
	for (int i = 0; ok && i < n; i++) order[i] = (entry){ rounded(list[i].bytes), 0, i };
	if (ok) qsort(order, (size_t)n, sizeof *order, by_size);
	for (int i = 0; ok && i < n; i++) {
		buffer *b = &list[order[i].index];
		int neighbours = 0;
		for (int k = 0; k < i; k++) {
			const buffer *o = &list[order[k].index];
			bool meets = o->memory == b->memory && o->first <= b->last && b->first <= o->last;
			if (meets) near[neighbours++] = (entry){ order[k].bytes, o->at, 0 };
		}
		qsort(near, (size_t)neighbours, sizeof *near, by_place);
		size_t at = 0;
		for (int k = 0; k < neighbours && near[k].at < at + order[i].bytes; k++)
			if (near[k].at + near[k].bytes > at) at = near[k].at + near[k].bytes;
		b->at = at;
		if (at + order[i].bytes > top[b->memory]) top[b->memory] = at + order[i].bytes;
	}
	free(order);
	free(near);
	return ok;
}

typedef struct planner {
	graph *g;
	buffer *list; /* of the memory being planned */
	int count;
	int *last;   /* of each base: the last step that reads it, or the step that makes it */
	int *buffer; /* of each base: its index in list, -1 none */
} planner;

static int add_buffer(planner *p, int memory, size_t bytes, int first, int last)
{
	p->list[p->count] = (buffer){ bytes, 0, first, last, memory };
	return p->count++;
}

/* The input whose memory the result may take: it dies here, is as large, and nothing else of this step reads it. */
static tensor reusable(const planner *p, const step *s, int at)
{
	const graph *g = p->g;
	const node *y = s->call.y;
	for (int k = 0; k < y->inputs; k++) {
		if (!(operations[y->op].in_place >> k & 1) || !y->in[k]) continue;
		tensor base = s->reads[k];
		if (p->buffer[base] < 0 || p->last[base] != at || g->nodes[base].op == INPUT) continue;
		if (g->places[y->in[k]].constant != g->places[s->node].constant) continue;
		if (g->nodes[y->in[k]].dtype != y->dtype || node_bytes(g, base) != node_bytes(g, s->node)) continue;
		bool shared = false;
		for (int j = 0; j < y->inputs; j++) shared |= j != k && base == s->reads[j];
		if (!shared) return base;
	}
	return 0;
}

static void buffer_of_value(planner *p, const step *s, int at)
{
	if (p->g->nodes[s->node].op == PARAM || p->buffer[s->node] >= 0) return; /* a COPY may be made anew */
	tensor reused = reusable(p, s, at);
	if (reused) {
		p->buffer[s->node] = p->buffer[reused];
		if (p->last[s->node] > p->list[p->buffer[reused]].last) p->list[p->buffer[reused]].last = p->last[s->node];
	} else
		p->buffer[s->node] = add_buffer(p, s->memory, node_bytes(p->g, s->node), at, p->last[s->node]);
}

/* The most that is alive at once: what no placing could go below. */
static size_t most_alive(const buffer *list, int n, int steps)
{
	size_t most = 0;
	for (int at = 0; at < steps; at++) {
		size_t sum = 0;
		for (int i = 0; i < n; i++)
			if (list[i].first <= at && at <= list[i].last) sum += rounded(list[i].bytes);
		if (sum > most) most = sum;
	}
	return most;
}

static bool plan_arena(planner *p, error *e)
{
	graph *g = p->g;
	int forever = g->step_count;
	for (int i = 1; i < g->count; i++) p->last[i] = -1, p->buffer[i] = -1;
	for (int s = 0; s < g->step_count; s++) {
		const step *y = &g->steps[s];
		p->last[y->node] = s;
		for (int k = 0; k < y->call.y->inputs; k++) p->last[y->reads[k]] = s;
	}
	for (int i = 1; i < g->count; i++)
		if (g->nodes[i].keep || g->nodes[i].op == INPUT) p->last[g->places[i].base] = forever;
	for (int i = 1; i < g->count; i++)
		if (g->nodes[i].op == INPUT) p->buffer[i] = add_buffer(p, OWN, node_bytes(g, (tensor)i), 0, forever);
	int *scratch = malloc(2 * ((size_t)g->step_count + 1) * sizeof *scratch);
	if (!scratch) return fail(e, NO_MEMORY, "out of memory for a plan of %d steps", g->step_count);
	for (int s = 0; s < g->step_count; s++) {
		step *y = &g->steps[s];
		buffer_of_value(p, y, s);
		scratch[2 * s] = y->scratch_bytes ? add_buffer(p, y->memory, y->scratch_bytes, s, s) : -1;
		bool repacked = y->packed_bytes && !g->places[y->reads[1]].constant;
		scratch[2 * s + 1] = repacked ? add_buffer(p, y->memory, y->packed_bytes, s, s) : -1;
	}
	bool ok = place_buffers(p->list, p->count, g->arena_bytes);
	g->live_bytes = most_alive(p->list, p->count, g->step_count);
	for (int i = 1; ok && i < g->count; i++)
		if (p->buffer[i] >= 0) g->places[i].at = p->list[p->buffer[i]].at;
	for (int s = 0; ok && s < g->step_count; s++) {
		if (scratch[2 * s] >= 0) g->steps[s].scratch_at = p->list[scratch[2 * s]].at;
		if (scratch[2 * s + 1] >= 0) g->steps[s].packed_at = p->list[scratch[2 * s + 1]].at;
	}
	free(scratch);
	return ok || fail(e, NO_MEMORY, "out of memory for a plan of %d steps", g->step_count);
}

/* Constants that runs read as they are stay; so do packed weights. They never move: one after the other. */
void plan_constants(graph *g)
{
	size_t *top = g->constant_bytes;
	for (int m = 0; m < MEMORIES; m++) top[m] = 0;
	for (int s = 0; s < g->step_count; s++) {
		step *y = &g->steps[s];
		for (int k = 0; k < y->call.y->inputs; k++) {
			bool packed = k == 1 && y->packed_bytes;
			if (y->reads[k] && g->places[y->reads[k]].constant && !packed) g->places[y->reads[k]].persistent = true;
		}
		if (y->packed_bytes && g->places[y->reads[1]].constant) {
			if (y->packed_like) {
				y->packed_at = g->steps[y->packed_like - 1].packed_at;
				continue;
			}
			if (y->streamed) continue;
			y->packed_at = top[y->memory];
			top[y->memory] += rounded(y->packed_bytes);
		}
	}
	for (int i = 1; i < g->count; i++)
		if (g->nodes[i].keep && g->places[i].constant) g->places[g->places[i].base].persistent = true;
	for (int c = 0; c < g->constant_step_count; c++) {
		place *p = &g->places[g->constant_steps[c].node];
		if (!p->persistent || p->streamed) continue;
		p->at = top[p->memory];
		top[p->memory] += rounded(node_bytes(g, g->constant_steps[c].node));
	}
}

/* The memory that folding needs; a fold is its step. */
static bool plan_setup(planner *p, error *e)
{
	graph *g = p->g;
	p->count = 0;
	for (int i = 1; i < g->count; i++) p->last[i] = -1, p->buffer[i] = -1;
	for (int f = 0; f < g->fold_count; f++) {
		const step *s = g->folds[f].pack ? &g->steps[g->folds[f].step] : &g->constant_steps[g->folds[f].step];
		if (g->folds[f].pack)
			p->last[s->reads[1]] = f;
		else {
			p->last[s->node] = f;
			for (int k = 0; k < s->call.y->inputs; k++) p->last[s->reads[k]] = f;
		}
	}
	int *scratch = malloc(2 * ((size_t)g->fold_count + 1) * sizeof *scratch);
	if (!scratch) return fail(e, NO_MEMORY, "out of memory for %d constants", g->fold_count);
	for (int f = 0; f < g->fold_count; f++) {
		scratch[2 * f] = scratch[2 * f + 1] = -1;
		if (g->folds[f].pack) continue;
		step *s = &g->constant_steps[g->folds[f].step];
		if (!g->places[s->node].persistent)
			p->buffer[s->node] = add_buffer(p, s->memory, node_bytes(g, s->node), f, p->last[s->node]);
		if (s->scratch_bytes) scratch[2 * f] = add_buffer(p, s->memory, s->scratch_bytes, f, f);
		if (s->packed_bytes) scratch[2 * f + 1] = add_buffer(p, s->memory, s->packed_bytes, f, f);
	}
	bool ok = place_buffers(p->list, p->count, g->setup_bytes);
	for (int f = 0; ok && f < g->fold_count; f++) {
		if (g->folds[f].pack) continue;
		step *s = &g->constant_steps[g->folds[f].step];
		if (p->buffer[s->node] >= 0) g->places[s->node].at = p->list[p->buffer[s->node]].at;
		if (scratch[2 * f] >= 0) s->scratch_at = p->list[scratch[2 * f]].at;
		if (scratch[2 * f + 1] >= 0) s->packed_at = p->list[scratch[2 * f + 1]].at;
	}
	free(scratch);
	return ok || fail(e, NO_MEMORY, "out of memory for %d constants", g->fold_count);
}

bool plan(graph *g, error *e)
{
	planner p = { .g = g };
	p.list = malloc(4 * (size_t)g->count * sizeof *p.list);
	p.last = malloc((size_t)g->count * sizeof *p.last);
	p.buffer = malloc((size_t)g->count * sizeof *p.buffer);
	bool fine = p.list && p.last && p.buffer;
	if (!fine)
		fail(e, NO_MEMORY, "out of memory for a plan of %d nodes", g->count);
	else {
		p.last[0] = p.buffer[0] = -1;
		plan_constants(g);
		fine = plan_arena(&p, e) && plan_setup(&p, e);
	}
	free(p.list);
	free(p.last);
	free(p.buffer);
	return fine;
}
