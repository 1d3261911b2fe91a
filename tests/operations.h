/* operations.h - the table of the operation tests: one line of sizes a case. test_operations.c checks every row of
 * every backend on it, gradients.c every gradient against finite differences. */
#ifndef SUMI_TESTS_OPERATIONS_H
#define SUMI_TESTS_OPERATIONS_H
#include "base/random.h"
#include "graph/graph.h"

enum { MAX_SIZES = 12 };

/* Builds the operation from inputs of its own; sizes mean what the builder's comment says. */
typedef tensor build_fn(graph *g, const int *sizes);

typedef struct operation_case {
	opcode op; /* the one that the case is for */
	build_fn *build;
	int sizes[MAX_SIZES];
} operation_case;

extern const operation_case operation_cases[]; /* small and odd */
extern const operation_case benchmark_cases[]; /* as models have them */
extern const int operation_case_count, benchmark_case_count;

void print_case(const operation_case *c); /* "conv 1 8 8 4 …", without a newline */

/* Builds the case with the loss Σ y·r for an input r, then, where `differentiate`, the gradients of every floating
 * input that can have one. wrt and gradient (room for MAX_WRT) take their nodes; returns how many, −1 after a failure
 * that the graph holds. */
enum { MAX_WRT = 8 };
typedef struct case_graph {
	graph *g;
	tensor y, loss, wrt[MAX_WRT], gradient[MAX_WRT];
	int wrt_count;
} case_graph;
case_graph build_case(const operation_case *c, dtype compute, bool differentiate);

/* Random values that suit the node: ids below the height of the input "table", positive values for "positive",
 * timesteps for "timesteps", otherwise normal. */
void fill_input(const graph *g, tensor input, generator *random, void *data);

/* Sets every input of an allocated graph, always to the same values for the same seed. */
void fill_inputs(graph *g, uint64_t seed);

#endif
