/* rms_norm_avx2.c - root-mean-square norm and its gradients, a row at a time. Rows may be as short as a head (64). */
#include "backend/cpu/vector.h"
#include <math.h>
#include <string.h>

static size_t width_of(const call *c) { return (size_t)c->x[0]->shape.d[c->x[0]->shape.n - 1]; }

static bool row_fits(const call *c)
{
	const node *gamma = c->y->op == RMS_NORM ? c->x[1] : c->x[2];
	return vector_fits(c) && width_of(c) <= BLOCK && (!gamma || gamma->dtype == F32) &&
	       (c->y->op != RMS_NORM_DW || c->y->dtype == F32);
}

/* 1/√(mean x² + ε) */
static float reciprocal_of(const float *x, size_t n, float epsilon)
{
	float squares = 0;
#pragma omp simd reduction(+ : squares)
	for (size_t i = 0; i < n; i++) squares += x[i] * x[i];
	return 1 / sqrtf(squares / (float)n + epsilon);
}

static bool share_rows(const call *c, part_fn *part)
{
	size_t width = width_of(c);
	return share(c, count_of(c->y) / width, width, part, c);
}

static bool forward_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = width_of(c);
	const float *gamma = c->in[1];
	float rooms[2][BLOCK];
	for (size_t r = first; r < end; r++) {
		const float *x = block_in(c, 0, r * width, width, rooms[0]);
		float *y = block_out(c, r * width, rooms[1]), scale = reciprocal_of(x, width, c->y->f[0]);
		if (gamma)
			for (size_t i = 0; i < width; i++) y[i] = x[i] * scale * gamma[i];
		else
			for (size_t i = 0; i < width; i++) y[i] = x[i] * scale;
		block_done(c, r * width, width, rooms[1]);
	}
	return true;
}

static bool run_rms_norm(const call *c, error *e)
{
	(void)e;
	return share_rows(c, forward_rows);
}

static bool backward_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = width_of(c);
	const float *gamma = c->in[2];
	float rooms[3][BLOCK];
	for (size_t r = first; r < end; r++) {
		const float *x = block_in(c, 0, r * width, width, rooms[0]);
		const float *dy = block_in(c, 1, r * width, width, rooms[1]);
		float *dx = block_out(c, r * width, rooms[2]), scale = reciprocal_of(x, width, c->y->f[0]), mean = 0;
		for (size_t i = 0; i < width; i++) dx[i] = gamma ? dy[i] * gamma[i] : dy[i];
#pragma omp simd reduction(+ : mean)
		for (size_t i = 0; i < width; i++) mean += dx[i] * x[i];
		mean *= scale * scale / (float)width;
		for (size_t i = 0; i < width; i++) dx[i] = scale * (dx[i] - x[i] * mean);
		block_done(c, r * width, width, rooms[2]);
	}
	return true;
}

static bool run_rms_norm_dx(const call *c, error *e)
{
	(void)e;
	return share_rows(c, backward_rows);
}

enum { PART_VALUES = 1 << 17 }; /* rows of a part are summed in one order */

static size_t part_rows(const call *c) { return PART_VALUES / width_of(c); }

static size_t parts_of(const call *c)
{
	size_t rows = count_of(c->x[0]) / width_of(c), each = part_rows(c);
	return (rows + each - 1) / each;
}

static size_t sums_bytes(const call *c) { return parts_of(c) * width_of(c) * sizeof(float); }

static bool sum_parts(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = width_of(c), rows = count_of(c->x[0]) / width, each = part_rows(c);
	float rooms[2][BLOCK];
	for (size_t p = first; p < end; p++) {
		float *dgamma = (float *)c->scratch + p * width;
		memset(dgamma, 0, width * sizeof *dgamma);
		for (size_t r = p * each; r < rows && r < (p + 1) * each; r++) {
			const float *x = block_in(c, 0, r * width, width, rooms[0]);
			const float *dy = block_in(c, 1, r * width, width, rooms[1]);
			float scale = reciprocal_of(x, width, c->y->f[0]);
			for (size_t i = 0; i < width; i++) dgamma[i] += dy[i] * x[i] * scale;
		}
	}
	return true;
}

static bool run_rms_norm_dw(const call *c, error *e)
{
	(void)e;
	size_t width = width_of(c), parts = parts_of(c);
	const float *sums = c->scratch;
	if (!share(c, parts, PART_VALUES, sum_parts, c)) return false;
	for (size_t i = 0; i < width; i++) {
		double sum = 0;
		for (size_t p = 0; p < parts; p++) sum += (double)sums[p * width + i];
		((float *)c->out)[i] = (float)sum;
	}
	return true;
}

const kernel vector_rms_norm = { .op = RMS_NORM, .name = "vector", .fits = row_fits, .run = run_rms_norm };
const kernel vector_rms_norm_dx = { .op = RMS_NORM_DX, .name = "vector", .fits = row_fits, .run = run_rms_norm_dx };
const kernel vector_rms_norm_dw = {
	.op = RMS_NORM_DW, .name = "vector", .fits = row_fits, .scratch_bytes = sums_bytes, .run = run_rms_norm_dw
};
