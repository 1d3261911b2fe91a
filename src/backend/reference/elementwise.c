/* elementwise.c - each result from the same place of the inputs. */
#include "backend/reference/activation.h"
#include "backend/reference/plain.h"

static bool affine_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const real *x = c->in[0], factor = (real)c->y->f[0], shift = (real)c->y->f[1];
	real *y = c->out;
	for (size_t i = first; i < end; i++) y[i] = factor * x[i] + shift;
	return true;
}

bool plain_affine(const call *c) { return share(c, count_of(c->y), 1, affine_part, c); }

static bool activation_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const real *x = c->in[0];
	real *y = c->out;
	for (size_t i = first; i < end; i++) y[i] = activation_value((activation)c->y->a[0], x[i]);
	return true;
}

bool plain_activation(const call *c) { return share(c, count_of(c->y), 1, activation_part, c); }

static bool activation_grad_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const real *x = c->in[0], *dy = c->in[1];
	real *dx = c->out;
	for (size_t i = first; i < end; i++) dx[i] = dy[i] * activation_slope((activation)c->y->a[0], x[i]);
	return true;
}

bool plain_activation_grad(const call *c) { return share(c, count_of(c->y), 1, activation_grad_part, c); }

static bool geglu_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = last_axis(c->y);
	for (size_t r = first; r < end; r++) {
		const real *value = (const real *)c->in[0] + 2 * r * width, *gate = value + width;
		real *y = (real *)c->out + r * width;
		for (size_t i = 0; i < width; i++) y[i] = value[i] * activation_value(GELU, gate[i]);
	}
	return true;
}

bool plain_geglu(const call *c) { return share(c, count_of(c->y) / last_axis(c->y), last_axis(c->y), geglu_part, c); }

static bool geglu_grad_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = last_axis(c->x[1]);
	for (size_t r = first; r < end; r++) {
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

bool plain_geglu_grad(const call *c)
{
	return share(c, count_of(c->x[1]) / last_axis(c->x[1]), last_axis(c->x[1]), geglu_grad_part, c);
}
