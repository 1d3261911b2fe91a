/* products.c - the rows that are one matrix product: MATMUL, and the 1×1 convolution with its gradients. The device
 * adds bias and residual as it multiplies (gpu.h); an activation that it has not is a pass of its own. */
#include "backend/cuda/products.h"
#include "backend/cuda/rows.h"
#include <stdlib.h>

/* ── a product and what follows it, for convolution.c too ── */

typedef struct product_state {
	void *plan;
	product product;
	size_t workspace;
	void (*free_plan)(void *plan);
} product_state;

static bool narrow_bias(const product *p) { return p->bias && p->out != F32; }

void *product_prepare(const call *c, const product *p, error *e)
{
	gpu *g = c->device;
	product_state *s = calloc(1, sizeof *s);
	if (!s) {
		fail(e, NO_MEMORY, "out of memory");
		return NULL;
	}
	s->product = *p;
	s->free_plan = g->product_free;
	s->plan = g->product_new(g, p, &s->workspace, e);
	if (s->plan) return s;
	free(s);
	return NULL;
}

/* Scratch: the workspace, the bias in the result's type, the residual where it lies in the result's memory. */
static size_t bias_bytes(const product *p) { return narrow_bias(p) ? rounded_up(p->n * dtype_size(p->out)) : 0; }
static size_t result_bytes(const product *p) { return p->m * p->n * dtype_size(p->out); }

size_t product_scratch(const void *state)
{
	const product_state *s = state;
	return SCRATCH_ALIGNMENT + rounded_up(s->workspace) + bias_bytes(&s->product) +
	       (s->product.residual ? rounded_up(result_bytes(&s->product)) : 0);
}

bool product_run(const call *c, const void *state, const void *a, const void *b, const float *bias,
    const void *residual, void *d, void *scratch, error *e)
{
	const product_state *s = state;
	gpu *g = c->device;
	const void *added = bias;
	scratch = aligned_scratch(scratch);
	if (narrow_bias(&s->product)) { /* the library wants it in the result's type */
		cast_params p = { (char *)scratch + rounded_up(s->workspace), bias, s->product.n, ELEMENT_F32,
			element_of(s->product.out) };
		if (!RUN_OVER(c, "cast", NO_DTYPE, p.n, p, e)) return false;
		added = p.y;
	}
	if (residual && residual == d) { /* cuBLASLt rounds otherwise where it adds to what it overwrites */
		char *copy = (char *)scratch + rounded_up(s->workspace) + bias_bytes(&s->product);
		if (!g->copy(g, copy, residual, result_bytes(&s->product), e)) return false;
		residual = copy;
	}
	return g->product_run(g, s->plan, a, b, s->product.bias ? added : NULL, residual, d, scratch, e);
}

void product_release(void *state)
{
	product_state *s = state;
	if (!s) return;
	s->free_plan(s->plan);
	free(s);
}

bool run_finish(const call *c, const void *x, dtype type, const float *bias, const void *residual, int kind, error *e)
{
	finish_params p = { c->out, x, residual, bias, count_of(c->y), last_axis(c->y), kind, 0, type != c->y->dtype };
	uint32_t width = in_pack(c->y->dtype);
	p.packs = p.columns % width == 0 && aligned_16(c->out) && aligned_16(x) && aligned_16(residual);
	if (p.packs) p.n /= width, p.columns /= width;
	bool nothing = x == c->out && !bias && !residual && !kind;
	return nothing || RUN_OVER(c, "finish", c->y->dtype, p.n, p, e);
}

/* ── MATMUL and the 1×1 convolution ── */

static bool same_types(const call *c) { return is_computed(c->x[0]->dtype) && c->x[1]->dtype == c->x[0]->dtype; }

static bool follows(const call *c) /* bias and residual are as the device wants them */
{
	return (!c->x[2] || c->x[2]->dtype == F32) && (!c->x[3] || c->x[3]->dtype == c->y->dtype);
}

static bool fits_matmul(const call *c)
{
	return same_types(c) && follows(c) && (c->y->dtype == c->x[0]->dtype || c->y->dtype == F32);
}

/* One tap, no stride, no padding: pixels are rows. */
static bool is_pointwise(const node *weight, const node *y)
{
	const int *w = weight->shape.d, *a = y->a;
	return w[2] == 1 && w[3] == 1 && a[0] == 1 && !a[1] && !a[2] && !a[3] && !a[4];
}

static bool fits_pointwise(const call *c) /* CONV and CONV_DX */
{
	bool wide = c->y->op == CONV && c->y->dtype == F32;
	return is_pointwise(c->x[1], c->y) && same_types(c) && follows(c) && (wide || c->y->dtype == c->x[0]->dtype);
}

static bool fits_pointwise_dw(const call *c) { return is_pointwise(c->y, c->y) && same_types(c) && c->y->dtype == F32; }

static int activation_of(const call *c) { return c->y->op == MATMUL ? c->y->a[2] : c->y->op == CONV ? c->y->a[5] : 0; }

static bool prepare(call *c, error *e)
{
	const node *y = c->y, *x = c->x[0];
	product p = { .in = x->dtype, .out = y->dtype };
	if (y->op == CONV_DW) { /* dyᵀ·x */
		p.ta = true;
		p.m = (size_t)y->shape.d[0];
		p.n = (size_t)y->shape.d[1];
		p.k = count_of(x) / p.m;
	} else {
		p.ta = y->op == MATMUL && y->a[0];
		p.tb = y->op == MATMUL ? y->a[1] : y->op == CONV;
		p.n = last_axis(y);
		p.m = count_of(y) / p.n;
		p.k = count_of(x) / p.m;
		p.bias = c->x[2] != NULL;
		p.residual = c->x[3] != NULL;
		p.gelu = activation_of(c) == GELU_TANH;
	}
	c->state = product_prepare(c, &p, e);
	return c->state != NULL;
}

static size_t scratch_bytes(const call *c) { return product_scratch(c->state); }

static bool run(const call *c, error *e)
{
	const float *bias = c->x[2] ? c->in[2] : NULL;
	const void *residual = c->x[3] ? c->in[3] : NULL;
	int kind = activation_of(c);
	return product_run(c, c->state, c->in[0], c->in[1], bias, residual, c->out, c->scratch, e) &&
	       run_finish(c, c->out, c->y->dtype, NULL, NULL, kind == GELU_TANH ? 0 : kind, e);
}

#define PRODUCT(operation, fitting)                                                                               \
	{                                                                                                             \
		.op = operation, .name = "cuBLASLt", .fits = fitting, .prepare = prepare, .scratch_bytes = scratch_bytes, \
		.run = run, .release = product_release                                                                    \
	}
const kernel cuda_product_rows[] = {
	PRODUCT(MATMUL, fits_matmul),
	PRODUCT(CONV, fits_pointwise),
	PRODUCT(CONV_DX, fits_pointwise),
	PRODUCT(CONV_DW, fits_pointwise_dw),
	{ 0 },
};
