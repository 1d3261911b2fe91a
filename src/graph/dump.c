/* dump.c - a graph to look at: a line for each step, and where the time went. */
#include "graph/internal.h"
#include <stdlib.h>
#include <string.h>

static void print_shape(FILE *to, const node *n)
{
	char text[64];
	int at = 0;
	for (int i = 0; i < n->shape.n; i++)
		at += snprintf(text + at, sizeof text - (size_t)at, i ? "×%d" : "%d", n->shape.d[i]);
	fprintf(to, "%-4s %s%*s", dtype_name(n->dtype), text, 24 - at + n->shape.n - 1, "");
}

static void print_rate(FILE *to, double flop, double seconds)
{
	if (flop > 0 && seconds > 0)
		fprintf(to, " %7.1f GFLOP/s", 1e-9 * flop / seconds);
	else
		fprintf(to, "%16s", "");
}

static void print_step(const graph *g, FILE *to, const step *s, const char *where)
{
	const node *n = s->call.y;
	fprintf(to, "%6u %-18s ", s->node, operations[n->op].name);
	print_shape(to, n);
	fprintf(to, " %s+%-11zu %-10s %-22s", where, g->places[s->node].at, s->backend, s->kernel->name);
	if (g->profile) {
		fprintf(to, " %9.3f ms", 1e3 * s->seconds);
		print_rate(to, call_flop(&s->call), s->seconds);
	}
	fprintf(to, "  %s(", n->name);
	for (int k = 0; k < n->inputs; k++)
		if (n->in[k]) fprintf(to, "%s%u", k ? " " : "", n->in[k]);
	fprintf(to, ")\n");
}

typedef struct share {
	opcode op;
	const char *kernel;
	double seconds, flop;
	int count;
} share;

static int by_seconds(const void *a, const void *b)
{
	const share *x = a, *y = b;
	return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

static void print_shares(const graph *g, FILE *to)
{
	share list[2 * OPS] = { 0 };
	int n = 0;
	double total = 0;
	for (int i = 0; i < g->step_count; i++) {
		const step *s = &g->steps[i];
		int k = 0;
		while (k < n && (list[k].op != s->call.y->op || strcmp(list[k].kernel, s->kernel->name))) k++;
		if (k == 2 * OPS) continue;
		if (k == n) list[n++] = (share){ s->call.y->op, s->kernel->name, 0, 0, 0 };
		list[k].seconds += s->seconds;
		list[k].flop += call_flop(&s->call);
		list[k].count++;
		total += s->seconds;
	}
	qsort(list, (size_t)n, sizeof *list, by_seconds);
	for (int k = 0; k < n; k++) {
		fprintf(to, "%-18s %-22s %5d steps %10.3f ms %5.1f %%", operations[list[k].op].name, list[k].kernel,
		    list[k].count, 1e3 * list[k].seconds, total > 0 ? 100 * list[k].seconds / total : 0);
		print_rate(to, list[k].flop, list[k].seconds);
		fprintf(to, "\n");
	}
}

/* What the device's backend does not compute, and what that costs. */
static void print_fallback(const graph *g, FILE *to)
{
	int steps = 0, copies = 0;
	for (int i = 0; i < g->step_count; i++) {
		bool copy = g->steps[i].call.y->op == COPY;
		copies += copy;
		steps += !copy && g->steps[i].memory == HOST;
	}
	fprintf(to, "on the host: %d steps, %d copies between memories, arena %zu bytes, constants %zu, set-up %zu\n",
	    steps, copies, g->arena_bytes[HOST], g->constant_bytes[HOST], g->setup_bytes[HOST]);
}

bool graph_fallbacks(const graph *g, char *text, size_t room)
{
	int counts[OPS] = { 0 };
	size_t at = 0;
	for (int i = 0; g->device && i < g->step_count; i++)
		if (g->steps[i].memory == HOST && g->steps[i].call.y->op != COPY) counts[g->steps[i].call.y->op]++;
	for (int op = 0; op < OPS && at < room; op++)
		if (counts[op])
			at += (size_t)snprintf(text + at, room - at, "%s%d of %s", at ? ", " : "", counts[op], operations[op].name);
	return at > 0;
}

void graph_dump(const graph *g, FILE *to)
{
	for (int i = 0; i < g->constant_step_count; i++)
		print_step(g, to, &g->constant_steps[i], g->places[g->constant_steps[i].node].persistent ? "const" : "setup");
	for (int i = 0; i < g->step_count; i++) print_step(g, to, &g->steps[i], "arena");
	fprintf(to, "%d nodes, %d steps, %d folded; arena %zu bytes (%zu alive at most), constants %zu, set-up %zu\n",
	    g->count - 1, g->step_count, g->constant_step_count, g->arena_bytes[OWN], g->live_bytes, g->constant_bytes[OWN],
	    g->setup_bytes[OWN]);
	if (g->device) print_fallback(g, to);
	if (g->profile) print_shares(g, to);
}
