/* sample.c - the rows of kernels/sample.cu: resizing and pooling of pictures [N,H,W,C]. */
#include "backend/cuda/rows.h"

static bool fits_moved(const call *c)
{
	size_t size = dtype_size(c->y->dtype);
	return (size == 2 || size == 4) && c->x[0]->dtype == c->y->dtype;
}

static bool fits_computed(const call *c)
{
	return is_computed(c->y->dtype) && c->x[0]->dtype == c->y->dtype && (!c->x[1] || c->x[1]->dtype == c->y->dtype);
}

static resize_params resize_of(const call *c)
{
	const int *from = c->x[0]->shape.d, *to = c->y->shape.d;
	return (resize_params){ c->out, c->in[0], (uint32_t)to[0], (uint32_t)from[1], (uint32_t)from[2], (uint32_t)to[1],
		(uint32_t)to[2], (uint32_t)to[3] };
}

static bool run_resize(const call *c, error *e)
{
	resize_params p = resize_of(c);
	uint32_t width = in_pack(c->y->dtype);
	bool packs = p.channels % width == 0 && aligned_16(c->out) && aligned_16(c->in[0]);
	if (packs) p.channels /= width;
	size_t n = (size_t)p.images * p.to_height * p.to_width * p.channels;
	return RUN_OVER(c, packs ? "resize_16" : width == 4 ? "resize_4" : "resize_2", NO_DTYPE, n, p, e);
}

static bool run_resize_grad(const call *c, error *e)
{
	resize_params p = resize_of(c);
	return RUN_OVER(c, "resize_grad", c->y->dtype, count_of(c->y), p, e);
}

static bool run_pool(const call *c, error *e)
{
	bool forward = c->y->op == POOL;
	const int *x = c->x[0]->shape.d, *y = forward ? c->y->shape.d : c->x[1]->shape.d;
	pool_params p = { c->out, c->in[0], forward ? NULL : c->in[1], (uint32_t)x[0], (uint32_t)x[1], (uint32_t)x[2],
		(uint32_t)x[3], (uint32_t)y[1], (uint32_t)y[2], (uint32_t)c->y->a[1], c->y->a[0] };
	return RUN_OVER(c, forward ? "pool" : "pool_grad", c->y->dtype, count_of(c->y), p, e);
}

const kernel cuda_sample_rows[] = {
	{ .op = RESIZE, .name = "resize", .fits = fits_moved, .run = run_resize },
	{ .op = RESIZE_GRAD, .name = "resize", .fits = fits_computed, .run = run_resize_grad },
	{ .op = POOL, .name = "pool", .fits = fits_computed, .run = run_pool },
	{ .op = POOL_GRAD, .name = "pool", .fits = fits_computed, .run = run_pool },
	{ 0 },
};
