/* matmul.c - the matrix product. */
#include "backend/reference/activation.h"
#include "backend/reference/plain.h"

double dot(const real *a, const real *b, size_t n)
{
	double sum = 0;
#pragma omp simd reduction(+ : sum)
	for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
	return sum;
}

enum { COLUMNS = 256 }; /* of the result, summed together so that B is read along its rows */

/* sum[j] = Σp a[p·step]·B[p][j] for n columns of a B whose rows are `width` apart */
static void combine_rows(const real *a, size_t step, const real *b, size_t width, size_t depth, double *sum, size_t n)
{
	for (size_t j = 0; j < n; j++) sum[j] = 0;
	for (size_t p = 0; p < depth; p++, b += width)
		for (size_t j = 0; j < n; j++) sum[j] += (double)a[p * step] * (double)b[j];
}

/* The same for a transposed B: the columns are its rows. */
static void combine_columns(const real *a, size_t step, const real *b, size_t depth, double *sum, size_t n)
{
	for (size_t j = 0; j < n; j++, b += depth) {
		sum[j] = 0;
		if (step == 1)
			sum[j] = dot(a, b, depth);
		else
			for (size_t p = 0; p < depth; p++) sum[j] += (double)a[p * step] * (double)b[p];
	}
}

static bool matmul_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	bool ta = c->y->a[0], tb = c->y->a[1];
	size_t width = last_axis(c->y), rows = count_of(c->y) / width;
	size_t depth = count_of(c->x[0]) / rows;
	const real *a = c->in[0], *b = c->in[1], *bias = c->x[2] ? c->in[2] : NULL, *residual = c->x[3] ? c->in[3] : NULL;
	real *out = c->out;
	for (size_t task = first; task < end; task++) {
		size_t i = task % rows, left = task / rows * COLUMNS, n = width - left < COLUMNS ? width - left : COLUMNS;
		double sum[COLUMNS];
		if (tb)
			combine_columns(ta ? a + i : a + i * depth, ta ? rows : 1, b + left * depth, depth, sum, n);
		else
			combine_rows(ta ? a + i : a + i * depth, ta ? rows : 1, b + left, width, depth, sum, n);
		for (size_t j = 0; j < n; j++) {
			size_t k = i * width + left + j;
			if (bias) sum[j] += (double)bias[left + j];
			if (residual) sum[j] += (double)residual[k];
			out[k] = activation_value((activation)c->y->a[2], (real)sum[j]);
		}
	}
	return true;
}

bool plain_matmul(const call *c)
{
	size_t width = last_axis(c->y), rows = count_of(c->y) / width, blocks = (width + COLUMNS - 1) / COLUMNS;
	size_t depth = count_of(c->x[0]) / rows;
	return share(c, rows * blocks, depth * (width < COLUMNS ? width : COLUMNS), matmul_part, c);
}
