/* elementwise.c - each result from the same place of the inputs. */
#include "backend/reference/activation.h"
#include "backend/reference/plain.h"

bool plain_affine(const call *c)
{
	const real *x = c->in[0], factor = (real)c->y->f[0], shift = (real)c->y->f[1];
	real *y = c->out;
	size_t n = count_of(c->y);
#pragma omp parallel for num_threads(c->threads)
	for (size_t i = 0; i < n; i++) y[i] = factor * x[i] + shift;
	return true;
}

bool plain_activation(const call *c)
{
	const real *x = c->in[0];
	real *y = c->out;
	activation a = (activation)c->y->a[0];
	size_t n = count_of(c->y);
#pragma omp parallel for num_threads(c->threads)
	for (size_t i = 0; i < n; i++) y[i] = activation_value(a, x[i]);
	return true;
}

bool plain_activation_grad(const call *c)
{
	const real *x = c->in[0], *dy = c->in[1];
	real *dx = c->out;
	activation a = (activation)c->y->a[0];
	size_t n = count_of(c->y);
#pragma omp parallel for num_threads(c->threads)
	for (size_t i = 0; i < n; i++) dx[i] = dy[i] * activation_slope(a, x[i]);
	return true;
}

bool plain_geglu(const call *c)
{
	size_t width = last_axis(c->y), rows = count_of(c->y) / width;
#pragma omp parallel for num_threads(c->threads)
	for (size_t r = 0; r < rows; r++) {
		const real *value = (const real *)c->in[0] + 2 * r * width, *gate = value + width;
		real *y = (real *)c->out + r * width;
		for (size_t i = 0; i < width; i++) y[i] = value[i] * activation_value(GELU, gate[i]);
	}
	return true;
}

bool plain_geglu_grad(const call *c)
{
	size_t width = last_axis(c->x[1]), rows = count_of(c->x[1]) / width;
#pragma omp parallel for num_threads(c->threads)
	for (size_t r = 0; r < rows; r++) {
		const real *value = (const real *)c->in[0] + 2 * r * width, *gate = value + width;
		const real *dy = (const real *)c->in[1] + r * width;
		real *dvalue = (real *)c->out + 2 * r * width, *dgate = dvalue + width;
		for (size_t i = 0; i < width; i++) {
			real d = dy[i] * activation_value(GELU, gate[i]);
			dgate[i] = dy[i] * value[i] * activation_slope(GELU, gate[i]);
			dvalue[i] = d;
		}
	}
	return true;
}
