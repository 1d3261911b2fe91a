/* convolution.c - the convolution and its gradients. cuDNN has an engine for most; what it has none for is a matrix
 * product of the picture's columns. The weight is packed as [out][tap][in] for both. */
#include "backend/cuda/dnn.h"
#include "backend/cuda/products.h"
#include "backend/cuda/rows.h"
#include <stdlib.h>

typedef struct convolution {
	dnn_shape shape;
	const dnn_plan *dnn; /* NULL: by columns */
	size_t workspace;
	void *product;
} convolution;

static const node *picture_of(const call *c) { return c->y->op == CONV_DX ? c->y : c->x[c->y->op == CONV_DW]; }
static const node *weight_of(const call *c) { return c->y->op == CONV_DW ? c->y : c->x[1]; }
static const node *result_of(const call *c) { return c->y->op == CONV ? c->y : c->x[0]; }

static bool fits(const call *c)
{
	dtype d = c->x[0]->dtype;
	if (!is_computed(d) || c->x[1]->dtype != d) return false;
	if (c->y->op != CONV) return c->y->dtype == (c->y->op == CONV_DW ? F32 : d);
	return (c->y->dtype == d || c->y->dtype == F32) && (!c->x[2] || c->x[2]->dtype == F32) &&
	       (!c->x[3] || c->x[3]->dtype == c->y->dtype);
}

static dnn_shape shape_for(const call *c)
{
	const int *p = picture_of(c)->shape.d, *w = weight_of(c)->shape.d, *r = result_of(c)->shape.d, *a = c->y->a;
	return (dnn_shape){ c->y->op == CONV      ? DNN_FORWARD
		                : c->y->op == CONV_DX ? DNN_BY_DATA
		                                      : DNN_BY_WEIGHT,
		p[0], p[1], p[2], p[3], r[1], r[2], r[3], w[2], w[3], a[0], a[1], a[2], a[3], a[4], c->x[0]->dtype, F32 };
}

static size_t pixels(const dnn_shape *s)
{
	return (size_t)s->images * (size_t)s->result_height * (size_t)s->result_width;
}

static size_t window(const dnn_shape *s) { return (size_t)s->kernel_height * (size_t)s->kernel_width * (size_t)s->in; }

static size_t weight_bytes(const convolution *v, dtype d)
{
	return rounded_up((size_t)v->shape.out * window(&v->shape) * dtype_size(d));
}

/* Columns of the picture, or their gradients, which are summed in full precision. */
static size_t columns_bytes(const convolution *v)
{
	dtype d = v->shape.kind == DNN_BY_DATA ? F32 : v->shape.type;
	return rounded_up(pixels(&v->shape) * window(&v->shape) * dtype_size(d));
}

static void release(void *state)
{
	convolution *v = state;
	product_release(v->product);
	free(v);
}

/* Forward: columns·weightᵀ. By data: the columns' gradients dy·weight. By weight: dyᵀ·columns. */
static product product_of(const dnn_shape *s, const call *c)
{
	size_t rows = pixels(s), out = (size_t)s->out, width = window(s);
	if (s->kind == DNN_BY_WEIGHT)
		return (product){ .m = out, .n = width, .k = rows, .ta = true, .in = s->type, .out = F32 };
	if (s->kind == DNN_BY_DATA) return (product){ .m = rows, .n = width, .k = out, .in = s->type, .out = F32 };
	return (product){ .m = rows,
		.n = out,
		.k = width,
		.tb = true,
		.bias = c->x[2] != NULL,
		.residual = c->x[3] != NULL,
		.in = s->type,
		.out = c->y->dtype };
}

/* Whether cuDNN has a plan: by weight, one whose gradient is bf16 is widened as it is unpacked. */
static bool find_dnn(const call *c, convolution *v)
{
	gpu *g = c->device;
	*v = (convolution){ .shape = shape_for(c) };
	bool even = v->shape.top == v->shape.bottom && v->shape.left == v->shape.right;
	if (!even) return false; /* of paddings that differ, an engine was seen to make wrong gradients */
	v->dnn = dnn_find(g, &v->shape, &v->workspace);
	if (!v->dnn && v->shape.kind == DNN_BY_WEIGHT && v->shape.type != F32) {
		v->shape.weight_type = v->shape.type;
		v->dnn = dnn_find(g, &v->shape, &v->workspace);
	}
	return v->dnn != NULL;
}

static bool fits_dnn(const call *c)
{
	convolution v;
	return fits(c) && find_dnn(c, &v);
}

static bool prepare_dnn(call *c, error *e)
{
	convolution *v = calloc(1, sizeof *v);
	if (!v) return fail(e, NO_MEMORY, "out of memory");
	c->state = v;
	find_dnn(c, v); /* which has found it in fits_dnn(), and keeps it */
	return true;
}

static bool prepare_columns(call *c, error *e)
{
	convolution *v = calloc(1, sizeof *v);
	if (!v) return fail(e, NO_MEMORY, "out of memory");
	v->shape = shape_for(c);
	product p = product_of(&v->shape, c);
	v->product = product_prepare(c, &p, e);
	if (!v->product) {
		free(v);
		return false;
	}
	c->state = v;
	return true;
}

/* By weight: the gradient as [out][tap][in] first, in both of its types. Then the workspace, or the columns and what
 * their product needs. */
static size_t gradient_bytes(const convolution *v)
{
	if (v->shape.kind != DNN_BY_WEIGHT) return 0;
	return weight_bytes(v, F32) + (v->shape.weight_type == F32 ? 0 : weight_bytes(v, v->shape.weight_type));
}

/* Whether cuDNN's result is made in scratch: where a residual may lie in c->out, and where the result is f32 of a bf16
 * convolution, which cuDNN's engines make two times slower than in bf16. */
static bool apart(const call *c) { return c->y->op == CONV && (c->x[3] || c->y->dtype != c->x[0]->dtype); }

static size_t scratch_bytes(const call *c)
{
	const convolution *v = c->state;
	if (!v->dnn) return SCRATCH_ALIGNMENT + gradient_bytes(v) + columns_bytes(v) + product_scratch(v->product);
	return SCRATCH_ALIGNMENT + gradient_bytes(v) + rounded_up(v->workspace) +
	       (apart(c) ? rounded_up(count_of(c->y) * dtype_size(v->shape.type)) : 0);
}

static size_t packed_bytes(const call *c) { return weight_bytes(c->state, c->x[1]->dtype); }

/* [out,in,taps] → [out,taps,in], or back */
static bool run_transpose(const call *c, void *to, const void *from, const dnn_shape *s, bool back, dtype d, error *e)
{
	uint32_t taps = (uint32_t)(s->kernel_height * s->kernel_width), in = (uint32_t)s->in, out = (uint32_t)s->out;
	uint32_t inner = back ? taps : in, outer = back ? in : taps;
	move_params p = { to, from, (size_t)out * taps * in, { 1, out, outer, inner }, { 0, (size_t)taps * in, inner, 1 },
		{ 0, (size_t)taps * in, 1, outer } };
	return RUN_OVER(c, d == F32 ? "move_4" : "move_2", NO_DTYPE, p.n, p, e);
}

static bool pack(const call *c, error *e)
{
	const convolution *v = c->state;
	return run_transpose(c, c->packed, c->in[1], &v->shape, false, c->x[1]->dtype, e);
}

static columns_params columns_of(const dnn_shape *s, void *columns, const void *picture)
{
	return (columns_params){ columns, (void *)(uintptr_t)picture, (uint32_t)s->images, (uint32_t)s->height,
		(uint32_t)s->width, (uint32_t)s->in, (uint32_t)s->result_height, (uint32_t)s->result_width,
		(uint32_t)s->kernel_height, (uint32_t)s->kernel_width, s->stride, s->top, s->left, 0 };
}

static bool make_columns(const call *c, const convolution *v, void *columns, const void *picture, error *e)
{
	columns_params p = columns_of(&v->shape, columns, picture);
	uint32_t width = in_pack(v->shape.type);
	p.packs = p.channels % width == 0 && aligned_16(picture);
	if (p.packs) p.channels /= width;
	size_t n = pixels(&v->shape) * (size_t)v->shape.kernel_height * (size_t)v->shape.kernel_width * p.channels;
	return RUN_OVER(c, p.packs ? "columns_16" : width == 4 ? "columns_4" : "columns_2", NO_DTYPE, n, p, e);
}

static bool run_forward(const call *c, error *e)
{
	const convolution *v = c->state;
	const float *bias = c->x[2] ? c->in[2] : NULL;
	const void *residual = c->x[3] ? c->in[3] : NULL;
	char *scratch = aligned_scratch(c->scratch);
	if (!v->dnn) {
		char *rest = scratch + columns_bytes(v);
		return make_columns(c, v, scratch, c->in[0], e) &&
		       product_run(c, v->product, scratch, c->packed, bias, residual, c->out, rest, e) &&
		       run_finish(c, c->out, c->y->dtype, NULL, NULL, c->y->a[5], e);
	}
	char *result = apart(c) ? scratch + rounded_up(v->workspace) : c->out;
	const dnn_operands o = { c->in[0], c->packed, result };
	return dnn_run(c->device, v->dnn, &v->shape, &o, scratch, e) &&
	       run_finish(c, result, v->shape.type, bias, residual, c->y->a[5], e);
}

static bool run_dx(const call *c, error *e)
{
	const convolution *v = c->state;
	char *scratch = aligned_scratch(c->scratch), *rest = scratch + columns_bytes(v);
	const dnn_operands o = { c->out, c->packed, c->in[0] };
	if (v->dnn) return dnn_run(c->device, v->dnn, &v->shape, &o, scratch, e);
	columns_params p = columns_of(&v->shape, scratch, c->out);
	return product_run(c, v->product, c->in[0], c->packed, NULL, NULL, scratch, rest, e) &&
	       RUN_OVER(c, "from_columns", c->y->dtype, count_of(c->y), p, e);
}

static bool run_dw(const call *c, error *e)
{
	const convolution *v = c->state;
	dtype d = v->shape.weight_type;
	char *full = aligned_scratch(c->scratch), *narrow = full + weight_bytes(v, F32), *rest = full + gradient_bytes(v);
	if (v->dnn) {
		cast_params p = { full, narrow, count_of(c->y), element_of(d), ELEMENT_F32 };
		const dnn_operands o = { c->in[1], d == F32 ? full : narrow, c->in[0] };
		if (!dnn_run(c->device, v->dnn, &v->shape, &o, rest, e)) return false;
		if (d != F32 && !RUN_OVER(c, "cast", NO_DTYPE, p.n, p, e)) return false;
	} else if (!make_columns(c, v, rest, c->in[1], e) ||
	           !product_run(c, v->product, c->in[0], rest, NULL, NULL, full, rest + columns_bytes(v), e))
		return false;
	return run_transpose(c, c->out, full, &v->shape, true, F32, e);
}

const kernel cuda_convolution_dnn_rows[] = {
	{ CONV, "cuDNN", fits_dnn, prepare_dnn, scratch_bytes, packed_bytes, pack, run_forward, release },
	{ CONV_DX, "cuDNN", fits_dnn, prepare_dnn, scratch_bytes, packed_bytes, pack, run_dx, release },
	{ CONV_DW, "cuDNN", fits_dnn, prepare_dnn, scratch_bytes, NULL, NULL, run_dw, release },
	{ 0 },
};

const kernel cuda_convolution_rows[] = {
	{ CONV, "columns", fits, prepare_columns, scratch_bytes, packed_bytes, pack, run_forward, release },
	{ CONV_DX, "columns", fits, prepare_columns, scratch_bytes, packed_bytes, pack, run_dx, release },
	{ CONV_DW, "columns", fits, prepare_columns, scratch_bytes, NULL, NULL, run_dw, release },
	{ 0 },
};
