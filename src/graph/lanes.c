/* lanes.c - one graph for several sets of inputs, side by side: the arena is there once for each lane, weights are
 * there once for all, and a step of another lane is the first one's with its pointers moved. */
#include "base/threads.h"
#include "graph/internal.h"
#include <stdatomic.h>

void graph_lanes(graph *g, int lanes) { g->lanes = lanes; }

int lanes_of(const graph *g) { return g->lanes > 1 ? g->lanes : 1; }

/* From a lane's values to the next one's. */
static size_t lane_bytes(const graph *g) { return (g->arena_bytes[OWN] + 63) & ~(size_t)63; }

size_t graph_arena_bytes(const graph *g) { return (size_t)(lanes_of(g) - 1) * lane_bytes(g) + g->arena_bytes[OWN]; }

void *in_lane(const graph *g, const void *of_first, int lane)
{
	const char *p = of_first, *arena = g->arena[OWN];
	bool is_value = p && p >= arena && p < arena + g->arena_bytes[OWN];
	return (char *)(uintptr_t)p + (is_value ? (size_t)lane * lane_bytes(g) : 0);
}

static call call_in_lane(const graph *g, const step *s, int lane)
{
	call c = s->call;
	c.out = in_lane(g, c.out, lane);
	for (int k = 0; k < c.y->inputs; k++) c.in[k] = in_lane(g, c.in[k], lane);
	c.scratch = in_lane(g, c.scratch, lane);
	c.packed = in_lane(g, c.packed, lane);
	c.threads = 1;
	return c;
}

typedef struct lane_run {
	graph *g;
	error *e;
	atomic_bool *failed; /* a lane has, and says why in e */
} lane_run;

static bool run_lane(const lane_run *r, int lane)
{
	graph *g = r->g;
	error own = { OK, "" };
	for (int i = 0; i < g->step_count; i++) {
		step *s = &g->steps[i];
		call c = call_in_lane(g, s, lane);
		if (compute(g, s, &c, packs_in_run(g, s), &own)) continue;
		if (!atomic_exchange(r->failed, true)) *r->e = own;
		return false;
	}
	return true;
}

static bool run_some(const void *context, size_t first, size_t end, int worker)
{
	bool fine = true;
	(void)worker;
	for (size_t lane = first; fine && lane < end; lane++) fine = run_lane(context, (int)lane);
	return fine;
}

bool run_lanes(graph *g, watch_fn *done, error *e)
{
	if (done || g->device)
		return fail(e, BAD_USAGE, "a graph with lanes runs on the host, and its nodes are not watched");
	atomic_bool any = false;
	lane_run r = { g, e, &any };
	int threads = g->profile ? 1 : g->lanes; /* a step's time is that of all lanes */
	return parallel_for(threads, (size_t)g->lanes, 1, run_some, &r);
}
