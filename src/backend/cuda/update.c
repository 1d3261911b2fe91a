/* update.c - the rows of kernels/update.cu and adafactor.cu. What they change are trainable parameters, which lie on
 * the device. */
#include "backend/cuda/rows.h"
#include "backend/reference/update_8bit.h"

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

/* ── AdamW with moments in 8 bits ── */

static bool fits_8bit(const call *c)
{
	return all_f32(c, 0, 2) && all_f32(c, 6, 7) && c->x[4]->dtype == U8 && c->x[5]->dtype == U8;
}

static bool run_8bit(const call *c, error *e)
{
	update_8bit_params p = { .weight = changed(c, 0),
		.gradient = c->in[1],
		.scale = c->in[2],
		.numbers = c->in[3],
		.average = (uint8_t *)(uintptr_t)c->in[4],
		.root = (uint8_t *)(uintptr_t)c->in[5],
		.average_scale = changed(c, 6),
		.root_scale = changed(c, 7),
		.n = count_of(c->x[0]) };
	eight_bit_values(p.with_sign, true);
	eight_bit_values(p.without, false);
	launch how = { (uint32_t)((p.n + EIGHT_BIT_BLOCK - 1) / EIGHT_BIT_BLOCK), 1, EIGHT_BIT_BLOCK,
		(2 * EIGHT_BIT_VALUES + 32) * sizeof(float) };
	return RUN_KERNEL(c, "update_adamw_8bit", NO_DTYPE, how, p, e);
}

/* ── Adafactor ── */

static bool fits_adafactor(const call *c) { return all_f32(c, 0, 2) && all_f32(c, 4, 5); }

static size_t adafactor_scratch(const call *c) { return (ADAFACTOR_FOUND + chunks_of(c)) * sizeof(double); }

static bool run_adafactor(const call *c, error *e)
{
	size_t n = count_of(c->x[0]), rows = (size_t)c->x[0]->shape.d[0];
	adafactor_params p = { .weight = changed(c, 0),
		.gradient = c->in[1],
		.scale = c->in[2],
		.numbers = c->in[3],
		.row = changed(c, 4),
		.column = changed(c, 5),
		.found = c->scratch,
		.part = (double *)c->scratch + ADAFACTOR_FOUND,
		.n = n,
		.rows = rows,
		.columns = n / rows,
		.chunks = chunks_of(c) };
	launch each_row = { (uint32_t)rows, 1, MAX_BLOCK, MAX_BLOCK / 32 * sizeof(double) },
	       one = { 1, 1, MAX_BLOCK, each_row.shared }, parts = { p.chunks, 1, MAX_BLOCK, each_row.shared };
	bool fine = p.column ? RUN_KERNEL(c, "adafactor_rows", NO_DTYPE, each_row, p, e) &&
	                           RUN_OVER(c, "adafactor_columns", NO_DTYPE, p.columns, p, e) &&
	                           RUN_KERNEL(c, "adafactor_mean", NO_DTYPE, one, p, e)
	                     : RUN_OVER(c, "adafactor_elements", NO_DTYPE, n, p, e);
	return fine && RUN_KERNEL(c, "adafactor_size", NO_DTYPE, parts, p, e) &&
	       RUN_KERNEL(c, "adafactor_stride", NO_DTYPE, one, p, e) && RUN_OVER(c, "adafactor_step", NO_DTYPE, n, p, e);
}

const kernel cuda_update_rows[] = {
	{ .op = SUM_SQUARES, .name = "update", .fits = fits_squares, .scratch_bytes = squares_scratch, .run = run_squares },
	{ .op = CLIP_SCALE, .name = "update", .run = run_clip },
	{ .op = ACCUMULATE, .name = "update", .fits = fits_accumulate, .run = run_accumulate },
	{ .op = UPDATE_SGD, .name = "update", .fits = fits_update, .run = run_update },
	{ .op = UPDATE_ADAMW, .name = "update", .fits = fits_update, .run = run_update },
	{ .op = UPDATE_ADAMW_8BIT, .name = "8-bit", .fits = fits_8bit, .run = run_8bit },
	{ .op = UPDATE_ADAFACTOR,
	    .name = "adafactor",
	    .fits = fits_adafactor,
	    .scratch_bytes = adafactor_scratch,
	    .run = run_adafactor },
	{ 0 },
};
