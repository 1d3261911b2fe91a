/* layer_norm_avx2.c - layer norm and its gradients, a row at a time. */
#include "backend/cpu/vector.h"
#include <math.h>
#include <string.h>

static size_t width_of(const call *c) { return (size_t)c->x[0]->shape.d[c->x[0]->shape.n - 1]; }

static bool row_fits(const call *c)
{
	const node *gamma = c->y->op == LAYER_NORM ? c->x[1] : c->x[2];
	return vector_fits(c) && width_of(c) <= BLOCK && (!gamma || gamma->dtype == F32) &&
	       (c->y->op != LAYER_NORM_DW || c->y->dtype == F32);
}

static void row_statistics(const float *x, size_t n, float epsilon, float *mean, float *deviation)
{
	float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
	for (size_t i = 0; i < n; i++) sum += x[i];
	float m = sum / (float)n;
#pragma omp simd reduction(+ : squares)
	for (size_t i = 0; i < n; i++) squares += (x[i] - m) * (x[i] - m);
	*mean = m;
	*deviation = 1 / sqrtf(squares / (float)n + epsilon);
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
	const float *gamma = c->in[1], *beta = c->in[2];
	float rooms[2][BLOCK], mean, deviation;
	for (size_t r = first; r < end; r++) {
		const float *x = block_in(c, 0, r * width, width, rooms[0]);
		float *y = block_out(c, r * width, rooms[1]);
		row_statistics(x, width, c->y->f[0], &mean, &deviation);
		if (gamma)
			for (size_t i = 0; i < width; i++) y[i] = (x[i] - mean) * deviation * gamma[i] + beta[i];
		else
			for (size_t i = 0; i < width; i++) y[i] = (x[i] - mean) * deviation;
		block_done(c, r * width, width, rooms[1]);
	}
	return true;
}

static bool run_layer_norm(const call *c, error *e)
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
	float rooms[3][BLOCK], mean, deviation;
	for (size_t r = first; r < end; r++) {
		float plain = 0, times = 0;
		const float *x = block_in(c, 0, r * width, width, rooms[0]);
		const float *dy = block_in(c, 1, r * width, width, rooms[1]);
		float *dx = block_out(c, r * width, rooms[2]);
		row_statistics(x, width, c->y->f[0], &mean, &deviation);
		for (size_t i = 0; i < width; i++) dx[i] = gamma ? dy[i] * gamma[i] : dy[i];
#pragma omp simd reduction(+ : plain, times)
		for (size_t i = 0; i < width; i++) {
			plain += dx[i];
			times += dx[i] * (x[i] - mean) * deviation;
		}
		plain /= (float)width;
		times /= (float)width;
		for (size_t i = 0; i < width; i++) dx[i] = deviation * (dx[i] - plain - (x[i] - mean) * deviation * times);
		block_done(c, r * width, width, rooms[2]);
	}
	return true;
}

static bool run_layer_norm_dx(const call *c, error *e)
{
	(void)e;
	return share_rows(c, backward_rows);
}

enum { PART_ROWS = 128 };

static size_t layer_scratch_bytes(const call *c)
{
	size_t width = width_of(c), rows = shape_count(c->x[0]->shape) / width;
	return (rows + PART_ROWS - 1) / PART_ROWS * 2 * width * sizeof(float);
}

static bool sum_parts(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t width = width_of(c), rows = count_of(c->x[0]) / width;
	float *sums = c->scratch, rooms[2][BLOCK], mean, deviation;
	for (size_t p = first; p < end; p++) {
		float *dgamma = sums + p * 2 * width, *dbeta = dgamma + width;
		memset(dgamma, 0, 2 * width * sizeof *dgamma);
		for (size_t r = p * PART_ROWS; r < rows && r < (p + 1) * PART_ROWS; r++) {
			const float *x = block_in(c, 0, r * width, width, rooms[0]);
			const float *dy = block_in(c, 1, r * width, width, rooms[1]);
			row_statistics(x, width, c->y->f[0], &mean, &deviation);
			for (size_t i = 0; i < width; i++) {
				dgamma[i] += dy[i] * (x[i] - mean) * deviation;
				dbeta[i] += dy[i];
			}
		}
	}
	return true;
}

static bool run_layer_norm_dw(const call *c, error *e)
{
	(void)e;
	size_t width = width_of(c), rows = count_of(c->x[0]) / width, parts = (rows + PART_ROWS - 1) / PART_ROWS;
	const float *sums = c->scratch;
	float *dw = c->out;
	if (!share(c, parts, PART_ROWS * width, sum_parts, c)) return false;
	for (size_t i = 0; i < 2 * width; i++) {
		double sum = 0;
		for (size_t p = 0; p < parts; p++) sum += (double)sums[p * 2 * width + i];
		dw[i] = (float)sum;
	}
	return true;
}

const kernel vector_layer_norm = { LAYER_NORM, "vector", row_fits, NULL, NULL, NULL, NULL, run_layer_norm, NULL };
const kernel vector_layer_norm_dx = { LAYER_NORM_DX, "vector", row_fits, NULL, NULL, NULL, NULL, run_layer_norm_dx,
	NULL };
const kernel vector_layer_norm_dw = { LAYER_NORM_DW, "vector", row_fits, NULL, layer_scratch_bytes, NULL, NULL,
	run_layer_norm_dw, NULL };
