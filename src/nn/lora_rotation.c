/* lora_rotation.c - OFT (arXiv 2306.07280) and BOFT (2311.06243) store skew-symmetric matrices; what turns the weight
 * is their Cayley transform R = (I + Q)(I − Q)⁻¹, one for each block of rows. It is made here once, in double; the
 * graph multiplies with it. Blocks are small, so several of them lie on the diagonal of one square of `band` rows: a
 * product for each square is quicker than one for each block. */
#include "nn/lora_parts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BAND = 256 };

/* Solves A·X = B for n×n matrices, row-major; X takes the place of B, and A is used up. Gauss and Jordan with the
 * largest pivot: I − Q of a skew-symmetric Q has no eigenvalue of a magnitude below 1, so there is always one. */
static bool solve(double *a, double *b, int n)
{
	for (int c = 0; c < n; c++) {
		int pivot = c;
		for (int r = c + 1; r < n; r++)
			if (fabs(a[r * n + c]) > fabs(a[pivot * n + c])) pivot = r;
		if (!(fabs(a[pivot * n + c]) > 0)) return false;
		for (int k = 0; k < n && pivot != c; k++) {
			double x = a[c * n + k], y = b[c * n + k];
			a[c * n + k] = a[pivot * n + k], a[pivot * n + k] = x;
			b[c * n + k] = b[pivot * n + k], b[pivot * n + k] = y;
		}
		double inverse = 1 / a[c * n + c];
		for (int k = 0; k < n; k++) a[c * n + k] *= inverse, b[c * n + k] *= inverse;
		for (int r = 0; r < n; r++) {
			double f = r == c ? 0 : a[r * n + c];
			for (int k = 0; f != 0 && k < n; k++) {
				a[r * n + k] -= f * a[c * n + k];
				b[r * n + k] -= f * b[c * n + k];
			}
		}
	}
	return true;
}

/* Q = B − Bᵀ of each block, no longer than the limit in `alpha` times the outputs allows. */
static bool make_skew(const adapter *a, double *q, size_t blocks, int n)
{
	const lora_factor *f = &a->part[OFT_BLOCKS];
	size_t each = (size_t)n * (size_t)n;
	float *given = malloc(blocks * each * sizeof *given), limit = 0;
	if (!given) return false;
	convert(given, F32, f->data, f->dtype, blocks * each);
	if (a->part[ALPHA].data) convert(&limit, F32, a->part[ALPHA].data, a->part[ALPHA].dtype, 1);
	double sum = 0, most = (double)limit * a->rows;
	for (size_t k = 0; k < blocks; k++)
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++) {
				size_t at = k * each + (size_t)i * (size_t)n + (size_t)j;
				q[at] = (double)given[at] - (double)given[k * each + (size_t)j * (size_t)n + (size_t)i];
				sum += q[at] * q[at];
			}
	double length = sqrt(sum);
	for (size_t i = 0; limit > 0 && length > most && i < blocks * each; i++) q[i] *= most / length;
	free(given);
	return true;
}

/* How many blocks lie in one square: as many as divide them and keep it small. */
static int blocks_in_band(int blocks, int size)
{
	int best = 1;
	for (int t = 2; t <= blocks && t * size <= BAND; t++)
		if (blocks % t == 0) best = t;
	return best;
}

bool lora_rotate(adapter *a, error *e)
{
	shape s = a->part[OFT_BLOCKS].shape;
	int n = s.d[s.n - 1], each = s.d[s.n - 3], stages = s.n == 4 ? s.d[0] : 1;
	int band = blocks_in_band(each, n) * n;
	size_t blocks = (size_t)stages * (size_t)each, square = (size_t)n * (size_t)n;
	size_t count = blocks * (size_t)n * (size_t)band;
	double *q = calloc(blocks * square, sizeof *q), *left = malloc(2 * square * sizeof *left);
	float *r = calloc(count, sizeof *r);
	bool fine = (q && left && r && make_skew(a, q, blocks, n)) ||
	            fail(e, NO_MEMORY, "out of memory for the rotations of a LoRA");
	/* I + Q commutes with (I − Q)⁻¹, so R solves (I − Q)·R = I + Q. */
	for (size_t k = 0; fine && k < blocks; k++) {
		double *right = left + square;
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++) {
				double x = q[k * square + (size_t)(i * n + j)];
				left[i * n + j] = (i == j) - x;
				right[i * n + j] = (i == j) + x;
			}
		if (!solve(left, right, n)) fine = fail(e, BAD_FILE, "'%s': its blocks are no rotation", a->module);
		size_t row = k * (size_t)n, column = row % (size_t)band;
		for (int i = 0; fine && i < n; i++)
			for (int j = 0; j < n; j++)
				r[(row + (size_t)i) * (size_t)band + column + (size_t)j] = (float)right[i * n + j];
	}
	free(q);
	free(left);
	if (!fine) {
		free(r);
		return false;
	}
	a->rotation = r;
	a->part[ROTATION] = (lora_factor){ F32, shape2(stages * each * n, band), r };
	return true;
}
