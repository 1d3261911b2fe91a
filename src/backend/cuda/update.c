/* update.c - the rows of kernels/update.cu. What they change are trainable parameters, which lie on the device. */
#include "backend/cuda/rows.h"

static bool all_f32(const call *c, int first, int last)
{
	for (int i = first; i <= last; i++)
		if (c->x[i] && c->x[i]->dtype != F32) return false;
	return true;
}

static float *changed(const call *c, int input) { return c->x[input] ? (float *)(uintptr_t)c->in[input] : NULL; }

static bool fits_squares(const call *c) { return c->x[0]->dtype == F32; }

static uint32_t chunks_of(const call *c) { return (uint32_t)((count_of(c->x[0]) + SQUARES_CHUNK - 1) / SQUARES_CHUNK); }

static size_t squares_scratch(const call *c) { return chunks_of(c) * sizeof(double); }

static bool run_squares(const call *c, error *e)
{
	squares_params p = { c->in[0], c->x[1] ? c->in[1] : NULL, c->scratch, c->out, count_of(c->x[0]), chunks_of(c) };
	launch parts = { p.chunks, 1, MAX_BLOCK, MAX_BLOCK / 32 * sizeof(double) },
	       join = { 1, 1, MAX_BLOCK, parts.shared };
	return RUN_KERNEL(c, "squares", NO_DTYPE, parts, p, e) && RUN_KERNEL(c, "squares_join", NO_DTYPE, join, p, e);
}

static bool run_clip(const call *c, error *e)
{
	update_params p = { .weight = c->out, .squares = c->in[0], .numbers = c->in[1], .n = 1 };
	return RUN_OVER(c, "clip_scale", NO_DTYPE, p.n, p, e);
}

static bool fits_accumulate(const call *c) { return all_f32(c, 0, 1); }

static bool run_accumulate(const call *c, error *e)
{
	update_params p = { .weight = changed(c, 0), .gradient = c->in[1], .numbers = c->in[2], .n = count_of(c->x[0]) };
	return RUN_OVER(c, "accumulate", NO_DTYPE, p.n, p, e);
}

static bool fits_update(const call *c) { return all_f32(c, 0, 2) && all_f32(c, 4, 5); }

static bool run_update(const call *c, error *e)
{
	update_params p = { .weight = changed(c, 0),
		.gradient = c->in[1],
		.scale = c->in[2],
		.numbers = c->in[3],
		.first = changed(c, 4),
		.second = changed(c, 5),
		.n = count_of(c->x[0]) };
	return RUN_OVER(c, c->y->op == UPDATE_SGD ? "update_sgd" : "update_adamw", NO_DTYPE, p.n, p, e);
}

const kernel cuda_update_rows[] = {
	{ .op = SUM_SQUARES, .name = "update", .fits = fits_squares, .scratch_bytes = squares_scratch, .run = run_squares },
	{ .op = CLIP_SCALE, .name = "update", .run = run_clip },
	{ .op = ACCUMULATE, .name = "update", .fits = fits_accumulate, .run = run_accumulate },
	{ .op = UPDATE_SGD, .name = "update", .fits = fits_update, .run = run_update },
	{ .op = UPDATE_ADAMW, .name = "update", .fits = fits_update, .run = run_update },
	{ 0 },
};
