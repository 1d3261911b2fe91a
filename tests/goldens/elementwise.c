/* elementwise.c - reads and computes it. */
#include "elementwise.h"
#include <math.h>
#include <string.h>

static double identity(double x) { return x; }

static double (*function_of(const json_t *params, const char *key))(double)
{
	const char *name = json_string_value(json_object_get(params, key));
	if (!name) return identity;
	return !strcmp(name, "sin") ? sin : !strcmp(name, "cos") ? cos : !strcmp(name, "tanh") ? tanh : identity;
}

static double number(const json_t *params, const char *key) { return json_number_value(json_object_get(params, key)); }

elementwise elementwise_of(const json_t *p)
{
	return (elementwise){ number(p, "a"), number(p, "b"), number(p, "c"), number(p, "d"), number(p, "e"),
		function_of(p, "f"), function_of(p, "g") };
}

double elementwise_at(const elementwise *m, double x, double t)
{
	return m->a * x * m->f((double)(float)t / m->b) + m->c * m->g(m->d * x) + m->e;
}
