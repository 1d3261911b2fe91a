/* gradients.c - every gradient against finite differences. Built with real = double, where the agreement to about ten
 * digits is a proof of the rule and of the reference kernel at once; see tests/CMakeLists.txt.
 *
 *     test_gradients [NAME]   all cases of operations.c, or those of one operation */
#include "operations.h"
#include "backend/backend.h"
#include "graph/ops.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PROBES = 24 };            /* elements of an input that are moved, spread over all of it */
static const double step = 1e-3; /* with the formula below, an error of about step⁴ */
static const double tolerance = 1e-6;

static double loss_at(case_graph *k, real *x, double value, bool *fine)
{
	error e = { OK, "" };
	real before = *x;
	*x = (real)value;
	*fine &= graph_run(k->g, NULL, NULL, &e);
	*x = before;
	return (double)*(real *)graph_address(k->g, k->loss);
}

/* The central difference of fourth order: (8(f(x+h) − f(x−h)) − (f(x+2h) − f(x−2h))) / 12h */
static double slope_at(case_graph *k, real *x, bool *fine)
{
	double at = (double)*x;
	double near = loss_at(k, x, at + step, fine) - loss_at(k, x, at - step, fine);
	double far = loss_at(k, x, at + 2 * step, fine) - loss_at(k, x, at - 2 * step, fine);
	return (8 * near - far) / (12 * step);
}

/* The worst error of the gradient of input i, relative to the gradient's largest element. */
static double check_input(case_graph *exact, case_graph *forward, int i, bool *fine)
{
	const real *gradient = graph_address(exact->g, exact->gradient[i]);
	real *x = graph_address(forward->g, forward->wrt[i]);
	size_t n = shape_count(shape_of(forward->g, forward->wrt[i])), stride = n <= PROBES ? 1 : n / PROBES;
	double largest = 0, worst = 0;
	for (size_t j = 0; j < n; j++) largest = fmax(largest, fabs((double)gradient[j]));
	for (size_t j = 0; j < n; j += stride) {
		double off = fabs((double)gradient[j] - slope_at(forward, &x[j], fine)) / (largest + 1e-3);
		if (!(off <= worst)) worst = off == off ? off : INFINITY;
	}
	return worst;
}

static bool ready(case_graph *k, error *e)
{
	if (!k->g || !graph_compile(k->g, backend_reference(), 1, e) || !graph_allocate(k->g, NULL, NULL, e)) return false;
	fill_inputs(k->g, 7);
	return graph_run(k->g, NULL, NULL, e);
}

typedef struct result {
	double worst;
	int inputs;
} result;

static bool check_case(const operation_case *c, result *r)
{
	error e = { OK, "" };
	case_graph exact = build_case(c, REAL, true), forward = build_case(c, REAL, false);
	forward.wrt_count = exact.wrt_count;
	memcpy(forward.wrt, exact.wrt, sizeof forward.wrt); /* the same nodes: the gradients come after them */
	bool fine = ready(&exact, &e) && ready(&forward, &e);
	double worst = 0;
	for (int i = 0; fine && i < exact.wrt_count; i++) {
		double off = exact.gradient[i] ? check_input(&exact, &forward, i, &fine) : INFINITY;
		if (off > tolerance) {
			printf("FAILED: ");
			print_case(c);
			printf(": gradient of '%s' is off by %.2e\n", node_of(exact.g, exact.wrt[i])->name, off);
		}
		worst = fmax(worst, off);
		r->inputs++;
	}
	if (!fine) {
		printf("FAILED: ");
		print_case(c);
		printf(": %s\n", e.text);
	}
	r->worst = fmax(r->worst, worst);
	graph_free(exact.g);
	graph_free(forward.g);
	return fine && worst <= tolerance;
}

int main(int argc, char **argv)
{
	static result results[OPS];
	int bad = 0, inputs = 0;
	for (int i = 0; i < operation_case_count; i++) {
		const operation_case *c = &operation_cases[i];
		if (argc > 1 && strcmp(operations[c->op].name, argv[1])) continue;
		bad += !check_case(c, &results[c->op]);
	}
	for (int op = 0; op < OPS; op++) {
		if (!results[op].inputs) continue;
		printf("%-20s %3d gradients, worst relative error %.1e\n", operations[op].name, results[op].inputs,
		    results[op].worst);
		inputs += results[op].inputs;
	}
	printf("%d gradients, %d cases failed\n", inputs, bad);
	return bad || !inputs; /* no operation of that name: nothing was proved */
}
