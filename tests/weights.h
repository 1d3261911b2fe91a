/* weights.h - what the tests of the graph share: weights and inputs made from their names, a graph made ready, and
 * the difference of two results. */
#ifndef SUMI_TESTS_WEIGHTS_H
#define SUMI_TESTS_WEIGHTS_H
#include "graph/graph.h"

typedef struct weights { /* every parameter that was asked for */
	char names[64][64];
	char *data[64];
	int count;
	dtype dtype; /* what the parameters are given as */
	int shift;   /* bytes that they begin after an aligned address */
} weights;

bind_fn bind_weights; /* context: weights. The same values for the same name, about normal(0, 0.4) */
void free_weights(weights *w);
/* n values that depend on the name alone. */
void make_values(const char *name, dtype d, size_t n, void *out);

/* The parameter as layers read it. */
tensor weight(graph *g, const char *name, shape s);

/* Binds, compiles, allocates and fills the inputs; fails the test where one of them fails. */
void make_ready(graph *g, weights *w, const backend *b);
void run(graph *g);

real at(const graph *g, tensor t, size_t i); /* element i of a REAL tensor */
/* The largest |a − b|, relative to the largest |b|; both REAL. */
double difference(const graph *g, tensor a, const graph *h, tensor b);

#endif
