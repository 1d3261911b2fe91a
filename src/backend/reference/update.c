/* update.c - how a gradient changes a weight, in f32 whatever `real` is: norms and clipping, averages, and the steps of
 * AdamW, SGD and Adafactor. Formulas: src/train/optimize/optimizer.h. Sums are cut into chunks that do not depend on
 * the number of threads. */
#include "backend/reference/update.h"
#include <math.h>
#include <string.h>

enum { CHUNK = 16384 };

static size_t chunks_of(size_t n) { return (n + CHUNK - 1) / CHUNK; }
static size_t chunk_length(size_t n, size_t chunk) { return n - chunk * CHUNK < CHUNK ? n - chunk * CHUNK : CHUNK; }

/* ── norms ── */
static double squares_of_chunk(const float *at, size_t length)
{
	double lane[8] = { 0 };
	size_t i = 0;
	for (; i + 8 <= length; i += 8)
#pragma omp simd
		for (int k = 0; k < 8; k++) lane[k] += (double)at[i + (size_t)k] * (double)at[i + (size_t)k];
	for (; i < length; i++) lane[0] += (double)at[i] * (double)at[i];
	return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

size_t squares_scratch(const call *c) { return chunks_of(count_of(c->x[0])) * sizeof(double); }

static bool squares_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	for (size_t k = first; k < end; k++)
		((double *)c->scratch)[k] =
		    squares_of_chunk((const float *)c->in[0] + k * CHUNK, chunk_length(count_of(c->x[0]), k));
	return true;
}

bool plain_sum_squares(const call *c)
{
	size_t n = count_of(c->x[0]);
	const double *sums = c->scratch;
	double total = 0;
	parallel_for(c->threads, chunks_of(n), 1, squares_part, c);
	for (size_t k = 0; k < chunks_of(n); k++) total += sums[k];
	*(double *)c->out = (c->x[1] ? *(const double *)c->in[1] : 0) + total;
	return true;
}

bool plain_clip(const call *c)
{
	const double *numbers = c->in[1], most = numbers[0], parts = numbers[1];
	double norm = sqrt(*(const double *)c->in[0]) / parts;
	*(float *)c->out = (float)((most > 0 ? fmin(1, most / (norm + 1e-6)) : 1) / parts);
	return true;
}

static bool accumulate_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const double *numbers = c->in[2];
	float keep = (float)numbers[0], take = (float)numbers[1], *sum = written(c, 0);
	const float *x = c->in[1];
	if (keep == 0 && take == 1) /* whatever was there, NaN as well */
		memcpy(sum + first, x + first, (end - first) * sizeof *x);
	else
#pragma omp simd
		for (size_t i = first; i < end; i++) sum[i] = keep * sum[i] + take * x[i];
	return true;
}

bool plain_accumulate(const call *c) { return share(c, count_of(c->x[0]), 1, accumulate_part, c); }

/* ── SGD and AdamW ── */
static bool sgd_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const double *numbers = c->in[3];
	float shrink = (float)numbers[0], rate = (float)numbers[1], momentum = (float)numbers[2];
	float *weights = written(c, 0), *buffer = c->x[4] ? written(c, 4) : NULL, scale = *(const float *)c->in[2];
	const float *gradient = c->in[1];
	for (size_t i = first; i < end; i++) {
		float g = gradient[i] * scale;
		if (buffer) g = buffer[i] = momentum * buffer[i] + g;
		weights[i] = weights[i] * shrink - rate * g;
	}
	return true;
}

bool plain_sgd(const call *c) { return share(c, count_of(c->x[0]), 1, sgd_part, c); }

void adamw_elements(const call *c, size_t at, float *restrict average, float *restrict square, size_t n)
{
	const double *numbers = c->in[3];
	float shrink = (float)numbers[0], stride = (float)numbers[1], root = (float)numbers[2], rest1 = (float)numbers[3];
	float b2 = (float)numbers[4], rest2 = (float)numbers[5], epsilon = (float)numbers[6];
	float scale = *(const float *)c->in[2], *restrict weights = (float *)written(c, 0) + at;
	const float *restrict gradient = (const float *)c->in[1] + at;
#pragma omp simd
	for (size_t i = 0; i < n; i++) {
		float g = gradient[i] * scale;
		float m = average[i] + rest1 * (g - average[i]);
		float v = b2 * square[i] + rest2 * g * g;
		average[i] = m;
		square[i] = v;
		weights[i] = weights[i] * shrink - stride * m / (sqrtf(v) * root + epsilon);
	}
}

static bool adamw_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	adamw_elements(c, first, (float *)written(c, 4) + first, (float *)written(c, 5) + first, end - first);
	return true;
}

bool plain_adamw(const call *c) { return share(c, count_of(c->x[0]), 1, adamw_part, c); }

/* ── Adafactor ── */
#define TINY 1e-30 /* added to squared gradients; the paper's epsilon1 */

typedef struct means { /* of squared gradients over rows and columns of a matrix */
	const call *c;
	size_t rows, columns;
	double decay;
} means;

static double square_at(const call *c, size_t i)
{
	double g = (double)((const float *)c->in[1])[i] * (double)*(const float *)c->in[2];
	return g * g + TINY;
}

static bool rows_part(const void *context, size_t first, size_t end, int worker)
{
	const means *m = context;
	(void)worker;
	float *row = written(m->c, 4);
	for (size_t r = first; r < end; r++) {
		double sum = 0;
		for (size_t k = 0; k < m->columns; k++) sum += square_at(m->c, r * m->columns + k);
		row[r] = (float)(m->decay * (double)row[r] + (1 - m->decay) * sum / (double)m->columns);
	}
	return true;
}

static bool columns_part(const void *context, size_t first, size_t end, int worker)
{
	const means *m = context;
	(void)worker;
	float *column = written(m->c, 5);
	for (size_t k = first; k < end; k++) {
		double sum = 0;
		for (size_t r = 0; r < m->rows; r++) sum += square_at(m->c, r * m->columns + k);
		column[k] = (float)(m->decay * (double)column[k] + (1 - m->decay) * sum / (double)m->rows);
	}
	return true;
}

bool plain_adafactor(const call *c)
{
	const double *numbers = c->in[3];
	float shrink = (float)numbers[0], *weights = written(c, 0), *row = written(c, 4);
	float *column = c->x[5] ? written(c, 5) : NULL;
	const float *gradient = c->in[1];
	double rate = numbers[1], decay = numbers[2], scale = (double)*(const float *)c->in[2];
	size_t n = count_of(c->x[0]), rows = (size_t)c->x[0]->shape.d[0], columns = n / rows;
	double mean_row = 0;
	if (column) {
		means m = { c, rows, columns, decay };
		share(c, rows, columns, rows_part, &m);
		share(c, columns, rows, columns_part, &m);
		for (size_t r = 0; r < rows; r++) mean_row += (double)row[r];
		mean_row /= (double)rows;
	} else {
		for (size_t i = 0; i < n; i++) {
			double g = (double)gradient[i] * scale;
			row[i] = (float)(decay * (double)row[i] + (1 - decay) * (g * g + TINY));
		}
	}
	/* The direction is computed twice rather than stored: once for its size, once to step. */
	double sum = 0, stride = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n; i++) {
			double g = (double)gradient[i] * scale;
			double v = column ? (double)row[i / columns] * (double)column[i % columns] / mean_row : (double)row[i];
			double direction = g / sqrt(v);
			if (pass == 0)
				sum += direction * direction;
			else
				weights[i] = (float)((double)(weights[i] * shrink) - stride * direction);
		}
		stride = rate / fmax(1, sqrt(sum / (double)n));
	}
	return true;
}
