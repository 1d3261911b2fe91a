/* embedding.c - the rows of kernels/embedding.cu. */
#include "backend/cuda/rows.h"

static bool fits_embedding(const call *c)
{
	dtype d = c->x[0]->dtype;
	return (is_computed(d) || d == F16) && is_computed(c->y->dtype) && c->x[1]->dtype == I32;
}

static bool run_embedding(const call *c, error *e)
{
	const node *table = c->x[0];
	embedding_params p = { c->out, c->in[0], c->in[1], (uint32_t)count_of(c->x[1]), (uint32_t)table->shape.d[0],
		last_axis(c->y), element_of(table->dtype), element_of(c->y->dtype) };
	return RUN_OVER(c, "embedding", NO_DTYPE, count_of(c->y), p, e);
}

static bool fits_gradient(const call *c)
{
	return is_computed(c->x[0]->dtype) && c->y->dtype == F32 && c->x[1]->dtype == I32;
}

static bool run_gradient(const call *c, error *e)
{
	gpu *g = c->device;
	embedding_params p = { c->out, c->in[0], c->in[1], (uint32_t)count_of(c->x[1]), (uint32_t)c->y->shape.d[0],
		last_axis(c->y), element_of(c->x[0]->dtype), ELEMENT_F32 };
	launch how = { p.count, 1, MAX_BLOCK, sizeof(int) };
	return g->clear(g, c->out, count_of(c->y) * sizeof(float), e) &&
	       RUN_KERNEL(c, "embedding_grad", NO_DTYPE, how, p, e);
}

static bool fits_timesteps(const call *c) { return c->x[0]->dtype == F32 && c->y->dtype == F32; }

static bool run_timesteps(const call *c, error *e)
{
	timestep_params p = { c->out, c->in[0], (uint32_t)count_of(c->x[0]), last_axis(c->y), c->y->f[0] };
	return RUN_OVER(c, "timestep_embedding", NO_DTYPE, count_of(c->y), p, e);
}

const kernel cuda_embedding_rows[] = {
	{ .op = EMBEDDING, .name = "embedding", .fits = fits_embedding, .run = run_embedding },
	{ .op = EMBEDDING_GRAD, .name = "embedding", .fits = fits_gradient, .run = run_gradient },
	{ .op = TIMESTEP_EMBEDDING, .name = "timesteps", .fits = fits_timesteps, .run = run_timesteps },
	{ 0 },
};
