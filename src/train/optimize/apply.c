/* apply.c - graphs that change weights. */
#include "train/optimize/apply.h"
#include <math.h>
#include <stdlib.h>

static bool ready(graph *g, const backend *b, int threads, error *e)
{
	if (failed(graph_error(g))) return fail(e, graph_error(g)->status, "%s", graph_error(g)->text);
	return graph_compile(g, b, threads, e) && graph_allocate(g, NULL, NULL, e);
}

/* ── the optimizer ── */
typedef struct numbers { /* of the weights with one factor of the rate */
	double factor;
	tensor input;
} numbers;

struct apply {
	graph *g;
	tensor clip, squares[GROUPS]; /* 0: the group has no gradients */
	numbers *rates;
	int rate_count;
	double parts, *norms; /* of this run */
	bool finite;
};

static tensor numbers_for(apply *a, double factor)
{
	for (int k = 0; k < a->rate_count; k++)
		if (a->rates[k].factor == factor) return a->rates[k].input;
	char name[32];
	snprintf(name, sizeof name, "rate.%d", a->rate_count);
	tensor t = input(a->g, name, F64, shape1(NUMBERS));
	a->rates[a->rate_count++] = (numbers){ factor, t };
	return t;
}

static void build(apply *a, const optimizer *o, const change *list, int count, tensor *gradient)
{
	graph *g = a->g;
	tensor scale[GROUPS];
	a->clip = input(g, "clip", F64, shape1(NUMBERS));
	for (int i = 0; i < count; i++) {
		const change *c = &list[i];
		if (!c->gradient) continue;
		push(g, "%s", c->name);
		gradient[i] = array_param(g, "gradient", F32, c->shape, c->gradient);
		pop(g);
		a->squares[c->group] = sum_squares(g, gradient[i], a->squares[c->group]);
	}
	for (int k = 0; k < GROUPS; k++) {
		graph_watch(g, a->squares[k]);
		scale[k] = clip_scale(g, a->squares[k], a->clip);
	}
	for (int i = 0; i < count; i++) {
		const change *c = &list[i];
		if (!c->gradient) continue;
		tensor rates = numbers_for(a, c->rate);
		push(g, "%s", c->name);
		tensor weight = array_param(g, "weight", F32, c->shape, c->weight);
		keep(g, optimizer_emit(o, g, i, weight, gradient[i], scale[c->group], rates));
		pop(g);
	}
}

apply *apply_new(const optimizer *o, const backend *b, int threads, const change *list, int count, error *e)
{
	apply *a = calloc(1, sizeof *a);
	tensor *gradient = calloc((size_t)count + 1, sizeof *gradient);
	if (a) a->rates = calloc((size_t)count + 1, sizeof *a->rates);
	bool fine = a && gradient && a->rates && (a->g = graph_new(REAL));
	if (!fine) fail(e, NO_MEMORY, "no memory for the steps of %d weights", count);
	if (fine) build(a, o, list, count, gradient);
	fine = fine && ready(a->g, b, threads, e);
	free(gradient);
	if (fine) return a;
	apply_free(a);
	return NULL;
}

void apply_free(apply *a)
{
	if (!a) return;
	graph_free(a->g);
	free(a->rates);
	free(a);
}

bool apply_fallbacks(const apply *a, char *text, size_t room) { return graph_fallbacks(a->g, text, room); }

/* The sum of a group's squares is there; no weight has been changed. */
static bool told(void *context, tensor t, error *e)
{
	apply *a = context;
	double squares;
	if (!graph_read(a->g, t, &squares, e)) return false;
	for (int k = 0; k < GROUPS; k++)
		if (a->squares[k] == t) a->norms[k] = sqrt(squares) / a->parts;
	return a->finite = isfinite(squares);
}

bool apply_run(
    apply *a, optimizer *o, double rate, double parts, double most, double norms[GROUPS], bool *finite, error *e)
{
	double values[NUMBERS] = { most, parts };
	for (int k = 0; k < GROUPS; k++) norms[k] = 0;
	a->parts = parts;
	a->norms = norms;
	a->finite = true;
	optimizer_begin(o);
	bool fine = graph_write(a->g, a->clip, values, e);
	for (int k = 0; fine && k < a->rate_count; k++) {
		optimizer_numbers(o, (float)(a->rates[k].factor * rate), values);
		fine = graph_write(a->g, a->rates[k].input, values, e);
	}
	fine = fine && graph_run(a->g, told, a, e);
	*finite = a->finite;
	if (!fine) optimizer_set_steps(o, optimizer_steps(o) - 1);
	return fine || !a->finite;
}

/* ── sums of arrays ── */
struct blend {
	graph *g;
	tensor numbers;
};

blend *blend_new(
    const backend *home, int threads, float *const *to, float *const *from, const shape *shapes, int count, error *e)
{
	blend *b = calloc(1, sizeof *b);
	if (!b || !(b->g = graph_new(REAL))) return free(b), fail(e, NO_MEMORY, "no memory for %d sums", count), NULL;
	b->numbers = input(b->g, "numbers", F64, shape1(NUMBERS));
	for (int i = 0; i < count; i++) {
		if (!from[i]) continue;
		push(b->g, "%d", i);
		keep(b->g, accumulate_into(b->g, array_param(b->g, "sum", F32, shapes[i], to[i]),
		               array_param(b->g, "x", F32, shapes[i], from[i]), b->numbers));
		pop(b->g);
	}
	if (ready(b->g, home, threads, e)) return b;
	blend_free(b);
	return NULL;
}

bool blend_run(blend *b, double keep, double take, error *e)
{
	return graph_write(b->g, b->numbers, (double[NUMBERS]){ keep, take }, e) && graph_run(b->g, NULL, NULL, e);
}

void blend_free(blend *b)
{
	if (!b) return;
	graph_free(b->g);
	free(b);
}
