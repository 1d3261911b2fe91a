/* rms_norm_avx2.c - root-mean-square norm (Zhang and Sennrich 2019) and its gradients. Rows may be as short as a head
 * is wide, so that as many as a block holds are converted at a time. */
#include "backend/cpu/vector.h"
#include <math.h>
#include <string.h>

static bool fits(const call *c)
{
	const node *gamma = c->y->op == RMS_NORM ? c->x[1] : c->y->op == RMS_NORM_DX ? c->x[2] : NULL;
	return vector_fits(c) && last_axis(c->x[0]) <= BLOCK && (!gamma || gamma->dtype == F32) &&
	       (c->y->op != RMS_NORM_DW || c->y->dtype == F32);
}

/* Whole rows that fit a block, from row `at` on and before `end`. */
static size_t rows_of_block(size_t at, size_t end, size_t width)
{
	size_t most = BLOCK / width;
	return end - at < most ? end - at : most;
}

static float inverse_of(const float *x, size_t n, float epsilon)
{
	float squares = 0;
#pragma omp simd reduction(+ : squares)
	for (size_t i = 0; i < n; i++) squares += x[i] * x[i];
	return 1 / sqrtf(squares / (float)n + epsilon);
}

static bool forward_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = last_axis(c->x[0]), rows;
	const float *gamma = c->in[1];
	float rooms[2][BLOCK];
	for (size_t r = first; r < end; r += rows) {
		rows = rows_of_block(r, end, width);
		const float *x = block_in(c, 0, r * width, rows * width, rooms[0]);
		float *to = block_out(c, r * width, rooms[1]);
		for (size_t i = 0; i < rows; i++, x += width, to += width) {
			float inverse = inverse_of(x, width, c->y->f[0]);
			if (gamma)
				for (size_t k = 0; k < width; k++) to[k] = x[k] * inverse * gamma[k];
			else
				for (size_t k = 0; k < width; k++) to[k] = x[k] * inverse;
		}
		block_done(c, r * width, rows * width, rooms[1]);
	}
	return true;
}

/* dx = (γ·dy − x̂·mean(γ·dy·x̂))/r with x̂ = x/r */
static void backward_row(
    const float *x, const float *dy, const float *gamma, size_t width, float inverse, float *restrict dx)
{
	float mean = 0;
	for (size_t k = 0; k < width; k++) dx[k] = gamma ? dy[k] * gamma[k] : dy[k];
#pragma omp simd reduction(+ : mean)
	for (size_t k = 0; k < width; k++) mean += dx[k] * x[k] * inverse;
	mean /= (float)width;
	for (size_t k = 0; k < width; k++) dx[k] = inverse * (dx[k] - x[k] * inverse * mean);
}

static bool backward_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = last_axis(c->x[0]), rows;
	float rooms[3][BLOCK];
	for (size_t r = first; r < end; r += rows) {
		rows = rows_of_block(r, end, width);
		const float *x = block_in(c, 0, r * width, rows * width, rooms[0]);
		const float *dy = block_in(c, 1, r * width, rows * width, rooms[1]);
		float *dx = block_out(c, r * width, rooms[2]);
		for (size_t i = 0; i < rows; i++)
			backward_row(x + i * width, dy + i * width, c->in[2], width, inverse_of(x + i * width, width, c->y->f[0]),
			    dx + i * width);
		block_done(c, r * width, rows * width, rooms[2]);
	}
	return true;
}

static bool share_rows(const call *c, part_fn *part)
{
	size_t width = last_axis(c->x[0]);
	return share(c, count_of(c->x[0]) / width, width, part, c);
}

static bool run_forward(const call *c, error *e)
{
	(void)e;
	return share_rows(c, forward_rows);
}

static bool run_dx(const call *c, error *e)
{
	(void)e;
	return share_rows(c, backward_rows);
}

/* ── the gradient by γ: sums of parts of fixed length, added in their order ── */

enum { PART_ROWS = 1024 };

static size_t part_count(const call *c) { return (count_of(c->x[0]) / last_axis(c->x[0]) + PART_ROWS - 1) / PART_ROWS; }

static size_t scratch_bytes(const call *c) { return part_count(c) * last_axis(c->x[0]) * sizeof(float); }

static bool sum_parts(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = last_axis(c->x[0]), all = count_of(c->x[0]) / width, rows;
	float *sums = c->scratch, rooms[2][BLOCK];
	for (size_t p = first; p < end; p++) {
		float *restrict sum = sums + p * width;
		size_t last = (p + 1) * PART_ROWS < all ? (p + 1) * PART_ROWS : all;
		memset(sum, 0, width * sizeof *sum);
		for (size_t r = p * PART_ROWS; r < last; r += rows) {
			rows = rows_of_block(r, last, width);
			const float *x = block_in(c, 0, r * width, rows * width, rooms[0]);
			const float *dy = block_in(c, 1, r * width, rows * width, rooms[1]);
			for (size_t i = 0; i < rows; i++, x += width, dy += width) {
				float inverse = inverse_of(x, width, c->y->f[0]);
				for (size_t k = 0; k < width; k++) sum[k] += dy[k] * x[k] * inverse;
			}
		}
	}
	return true;
}

static bool run_dw(const call *c, error *e)
{
	(void)e;
	size_t width = last_axis(c->x[0]), parts = part_count(c);
	const float *sums = c->scratch;
	float *dw = c->out;
	if (!share(c, parts, PART_ROWS * width, sum_parts, c)) return false;
	for (size_t k = 0; k < width; k++) {
		double sum = 0;
		for (size_t p = 0; p < parts; p++) sum += (double)sums[p * width + k];
		dw[k] = (float)sum;
	}
	return true;
}

const kernel vector_rms_norm = { RMS_NORM, "vector", fits, NULL, NULL, NULL, NULL, run_forward, NULL };
const kernel vector_rms_norm_dx = { RMS_NORM_DX, "vector", fits, NULL, NULL, NULL, NULL, run_dx, NULL };
const kernel vector_rms_norm_dw = { RMS_NORM_DW, "vector", fits, NULL, scratch_bytes, NULL, NULL, run_dw, NULL };
