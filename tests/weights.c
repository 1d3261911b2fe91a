/* weights.c - weights and inputs made from their names. */
#include "weights.h"
#include "base/random.h"
#include <math.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

static uint64_t hash_of(const char *name)
{
	uint64_t h = 1469598103934665603u;
	while (*name) h = (h ^ (unsigned char)*name++) * 1099511628211u;
	return h;
}

void make_values(const char *name, dtype d, size_t n, void *out)
{
	generator random;
	generator_seed(&random, hash_of(name));
	float *values = malloc(n * sizeof *values);
	random_normal(&random, values, n);
	for (size_t i = 0; i < n; i++) values[i] *= 0.4f;
	convert(out, d, values, F32, n);
	free(values);
}

bool bind_weights(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	weights *w = context;
	(void)e;
	*d = w->dtype;
	for (int i = 0; i < w->count; i++)
		if (!strcmp(w->names[i], name)) {
			*data = w->data[i] + w->shift;
			return true;
		}
	size_t n = shape_count(s);
	char *values = malloc(n * dtype_size(*d)), *home = malloc(n * dtype_size(*d) + 64);
	make_values(name, *d, n, values);
	memcpy(home + w->shift, values, n * dtype_size(*d));
	free(values);
	snprintf(w->names[w->count], sizeof w->names[0], "%s", name);
	w->data[w->count++] = home;
	*data = home + w->shift;
	return true;
}

void free_weights(weights *w)
{
	for (int i = 0; i < w->count; i++) free(w->data[i]);
	w->count = 0;
}

tensor weight(graph *g, const char *name, shape s) { return cast(g, param(g, name, s), graph_compute(g)); }

void make_ready(graph *g, weights *w, const backend *b)
{
	error e = { OK, "" };
	bool fine = graph_bind(g, bind_weights, w, &e) && graph_compile(g, b, 1, &e) && graph_allocate(g, NULL, NULL, &e);
	if (!fine) print_error("%s\n", e.text);
	assert_true(fine);
	for (int i = 1; i <= node_count(g); i++) {
		const node *n = node_of(g, (tensor)i);
		if (n->op == INPUT) make_values(n->name, n->dtype, shape_count(n->shape), graph_address(g, (tensor)i));
	}
}

void run(graph *g)
{
	error e = { OK, "" };
	assert_true(graph_run(g, NULL, NULL, &e));
}

real at(const graph *g, tensor t, size_t i) { return ((const real *)graph_address(g, t))[i]; }

double difference(const graph *g, tensor a, const graph *h, tensor b)
{
	size_t n = shape_count(shape_of(h, b));
	double worst = 0, largest = 1e-9;
	for (size_t i = 0; i < n; i++) {
		worst = fmax(worst, fabs((double)at(g, a, i) - (double)at(h, b, i)));
		largest = fmax(largest, fabs((double)at(h, b, i)));
	}
	return worst / largest;
}
