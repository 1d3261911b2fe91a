/* attention_dnn.c - the rows of attention by cuDNN's fused engines: bf16, without mask or bias, heads of a multiple of
 * 8. The text encoders, which have those, are a small part of the work. */
#include "backend/cuda/attention.h"
#include "backend/cuda/dnn.h"
#include "backend/cuda/rows.h"
#include <stdlib.h>

typedef struct attention_state {
	dnn_attention shape; /* of the items that are computed at once */
	const dnn_plan *forward, *gradient;
	size_t workspace;
} attention_state;

static bool is_plain(const call *c)
{
	bool fine = c->y->dtype == BF16 && !c->y->a[1] && (c->y->op == ATTENTION_GRAD || !c->x[3]);
	for (int i = 0; i < 3; i++) fine = fine && c->x[i]->dtype == BF16;
	return fine && c->x[0]->shape.d[2] / c->y->a[0] % 8 == 0;
}

static dnn_attention shape_for(const call *c)
{
	const int *q = c->x[0]->shape.d, *k = c->x[1]->shape.d;
	return (dnn_attention){ DNN_ATTENTION, q[0], q[1], k[1], c->y->a[0], q[2] / c->y->a[0] };
}

static bool find_forward(const call *c, attention_state *s)
{
	gpu *g = c->device;
	*s = (attention_state){ .shape = shape_for(c) };
	if (!is_plain(c)) return false;
	s->forward = dnn_find_attention(g, &s->shape, &s->workspace);
	return s->forward != NULL;
}

/* The gradient's workspace holds the scores' gradients, of as many items as are computed at once. */
static bool find_gradient(const call *c, attention_state *s)
{
	enum { MOST_AT_ONCE = 512 << 20 };
	gpu *g = c->device;
	*s = (attention_state){ .shape = shape_for(c) };
	if (!is_plain(c)) return false;
	size_t one = (size_t)s->shape.heads * (size_t)s->shape.queries * (size_t)s->shape.keys * dtype_size(BF16);
	int whole = s->shape.items, most = one < MOST_AT_ONCE ? (int)(MOST_AT_ONCE / one) : 1;
	s->shape.items = most < whole ? most : whole;
	while (whole % s->shape.items) s->shape.items--;
	size_t forward = 0, gradient = 0;
	s->forward = dnn_find_attention(g, &s->shape, &forward);
	if (!s->forward) return false;
	s->shape.kind = DNN_ATTENTION_GRADIENT;
	s->gradient = dnn_find_attention(g, &s->shape, &gradient);
	s->workspace = forward > gradient ? forward : gradient;
	return s->gradient != NULL;
}

static bool fits_forward(const call *c)
{
	attention_state s;
	return find_forward(c, &s);
}

static bool fits_gradient(const call *c)
{
	attention_state s;
	return find_gradient(c, &s);
}

static bool prepare(call *c, error *e)
{
	attention_state *s = malloc(sizeof *s);
	if (!s) return fail(e, NO_MEMORY, "out of memory");
	if (c->y->op == ATTENTION) /* either is found: it was in fits */
		find_forward(c, s);
	else
		find_gradient(c, s);
	c->state = s;
	return true;
}

static void release(void *state) { free(state); }

/* Elements of what q and k are of, for the items that are computed at once. */
static size_t query_count(const dnn_attention *a)
{
	return (size_t)a->items * (size_t)a->queries * (size_t)a->heads * (size_t)a->width;
}
static size_t key_count(const dnn_attention *a)
{
	return (size_t)a->items * (size_t)a->keys * (size_t)a->heads * (size_t)a->width;
}
static size_t row_bytes(const dnn_attention *a) /* of a number for each query */
{
	return rounded_up((size_t)a->items * (size_t)a->heads * (size_t)a->queries * sizeof(float));
}

static bool all_aligned(const call *c)
{
	bool fine = aligned_16(c->out);
	for (int i = 0; i < c->y->inputs; i++) fine = fine && aligned_16(c->in[i]);
	return fine;
}

/* ── forward. Scratch: the rows' logarithms, the workspace ── */

static size_t forward_scratch(const call *c)
{
	const attention_state *s = c->state;
	return SCRATCH_ALIGNMENT + row_bytes(&s->shape) + rounded_up(s->workspace);
}

static bool run_forward(const call *c, error *e)
{
	const attention_state *s = c->state;
	char *scratch = aligned_scratch(c->scratch);
	dnn_attention_operands o = { c->in[0], c->in[1], c->in[2], c->out, .log_sum = (float *)scratch,
		.scale = c->y->f[0] };
	if (!all_aligned(c)) return run_own_attention(c, e);
	return dnn_run_attention(c->device, s->forward, DNN_ATTENTION, &o, scratch + row_bytes(&s->shape), e);
}

/* ── the gradient. Scratch: the rows' logarithms and shares, an o that is not needed, the workspace ── */

static size_t output_bytes(const dnn_attention *a) { return rounded_up(query_count(a) * dtype_size(BF16)); }

static size_t gradient_scratch(const call *c)
{
	const attention_state *s = c->state;
	size_t here = SCRATCH_ALIGNMENT + 2 * row_bytes(&s->shape) + output_bytes(&s->shape) + rounded_up(s->workspace);
	size_t own = own_attention_gradient_scratch(c);
	return here > own ? here : own;
}

static bool run_gradient(const call *c, error *e)
{
	const attention_state *s = c->state;
	const dnn_attention *a = &s->shape;
	size_t queries = query_count(a), keys = key_count(a), all = count_of(c->x[0]);
	char *scratch = aligned_scratch(c->scratch), *o = scratch + 2 * row_bytes(a), *workspace = o + output_bytes(a);
	dtype d = c->y->dtype;
	if (!all_aligned(c) || all * dtype_size(d) % 16 || count_of(c->x[1]) * dtype_size(d) % 16)
		return run_own_attention_gradient(c, e);
	uint16_t *dq = c->out, *dk = dq + all, *dv = dk + count_of(c->x[1]);
	for (size_t first = 0, i = 0; first < all; first += queries, i++) {
		dnn_attention_operands p = { (const uint16_t *)c->in[0] + first, (const uint16_t *)c->in[1] + i * keys,
			(const uint16_t *)c->in[2] + i * keys, o, (float *)scratch, (float *)(scratch + row_bytes(a)),
			(const uint16_t *)c->in[4] + first, dq + first, dk + i * keys, dv + i * keys, c->y->f[0] };
		if (!dnn_run_attention(c->device, s->forward, DNN_ATTENTION, &p, workspace, e)) return false;
		p.o = (uint16_t *)(uintptr_t)c->in[3] + first;
		if (!dnn_run_attention(c->device, s->gradient, DNN_ATTENTION_GRADIENT, &p, workspace, e)) return false;
	}
	return true;
}

const kernel cuda_attention_dnn_rows[] = {
	{ .op = ATTENTION,
	    .name = "cuDNN",
	    .fits = fits_forward,
	    .prepare = prepare,
	    .scratch_bytes = forward_scratch,
	    .run = run_forward,
	    .release = release },
	{ .op = ATTENTION_GRAD,
	    .name = "cuDNN",
	    .fits = fits_gradient,
	    .prepare = prepare,
	    .scratch_bytes = gradient_scratch,
	    .run = run_gradient,
	    .release = release },
	{ 0 },
};
