/* elementwise.h - the "model" of the samplers' goldens: a·x·f(t/b) + c·g(d·x) + e on each value. */
#ifndef SUMI_TESTS_ELEMENTWISE_H
#define SUMI_TESTS_ELEMENTWISE_H
#include <jansson.h>

typedef struct elementwise {
	double a, b, c, d, e;
	double (*f)(double), (*g)(double);
} elementwise;

elementwise elementwise_of(const json_t *params);
/* t is rounded to f32 first, as the original gets it. */
double elementwise_at(const elementwise *m, double x, double t);

#endif
