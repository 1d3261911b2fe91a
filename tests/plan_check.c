/* plan_check.c - the plan of a compiled graph, checked by brute force. */
#include "plan_check.h"
#include "graph/internal.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

typedef struct interval { /* bytes of the arena and the steps in which they are somebody's */
	size_t from, to;
	int first, last, node; /* node 0: scratch */
} interval;

/* Every value of the runs with its lifetime, worked out anew from the steps. */
static int list_intervals(const graph *g, interval *list)
{
	int n = 0, of[1 << 12];
	assert_in_range(g->count, 1, 1 << 12);
	for (int i = 0; i < g->count; i++) {
		of[i] = -1;
		if (g->nodes[i].op != INPUT || !i) continue;
		of[i] = n;
		list[n++] = (interval){ g->places[i].at, g->places[i].at + node_bytes(g, (tensor)i), 0, g->step_count, i };
	}
	for (int s = 0; s < g->step_count; s++) {
		const step *p = &g->steps[s];
		const node *y = p->call.y;
		size_t start = g->places[p->node].at;
		of[p->node] = n;
		list[n++] = (interval){ start, start + node_bytes(g, p->node), s, s, (int)p->node };
		if (p->scratch_bytes) list[n++] = (interval){ p->scratch_at, p->scratch_at + p->scratch_bytes, s, s, 0 };
		for (int k = 0; k < y->inputs; k++) {
			int x = of[g->places[y->in[k]].base];
			if (y->in[k] && x >= 0 && list[x].last < s) list[x].last = s;
		}
	}
	for (int i = 1; i < g->count; i++)
		if (g->nodes[i].keep && of[g->places[i].base] >= 0) list[of[g->places[i].base]].last = g->step_count;
	return n;
}

/* A result may lie on an input that ends with its step, at the same place, where the operation says so. */
static bool is_in_place(const graph *g, const interval *x, const interval *y)
{
	if (!x->node || !y->node || x->last != y->first || x->from != y->from || x->to != y->to) return false;
	const node *n = &g->nodes[y->node];
	bool allowed = false;
	for (int k = 0; k < n->inputs; k++)
		if (n->in[k] && (int)g->places[n->in[k]].base == x->node) allowed = operations[n->op].in_place >> k & 1;
	return allowed;
}

int check_plan(const graph *g)
{
	interval *list = malloc(3 * (size_t)g->count * sizeof *list);
	int n = list_intervals(g, list), in_place = 0;
	for (int i = 0; i < n; i++) {
		assert_in_range(list[i].to, 0, g->arena_bytes[OWN]);
		assert_int_equal(list[i].from % 64, 0);
		for (int j = 0; j < i; j++) {
			const interval *x = &list[j], *y = &list[i];
			bool apart = x->to <= y->from || y->to <= x->from || x->last < y->first || y->last < x->first;
			if (apart) continue;
			bool shared = is_in_place(g, x, y) || is_in_place(g, y, x);
			if (!shared) print_error("nodes %d and %d overlap\n", x->node, y->node);
			assert_true(shared);
			in_place++;
		}
	}
	free(list);
	return in_place;
}
