/* frechet.c - means, covariances, square roots of matrices. */
#include "eval/frechet.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SWEEPS = 64 };

static double off_diagonal(const double *a, int n)
{
	double sum = 0;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < i; j++) sum += a[i * n + j] * a[i * n + j];
	return sum;
}

/* Rotates rows and columns p and q so that a[p][q] becomes 0. */
static void rotate(double *a, double *v, int n, int p, int q)
{
	double apq = a[p * n + q];
	if (apq == 0) return;
	double theta = (a[q * n + q] - a[p * n + p]) / (2 * apq);
	double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
	double c = 1 / sqrt(t * t + 1), s = t * c;
	for (int k = 0; k < n; k++) {
		double x = a[k * n + p], y = a[k * n + q];
		a[k * n + p] = c * x - s * y;
		a[k * n + q] = s * x + c * y;
	}
	for (int k = 0; k < n; k++) {
		double x = a[p * n + k], y = a[q * n + k];
		a[p * n + k] = c * x - s * y;
		a[q * n + k] = s * x + c * y;
		x = v[k * n + p], y = v[k * n + q];
		v[k * n + p] = c * x - s * y;
		v[k * n + q] = s * x + c * y;
	}
}

void symmetric_eigen(double *a, int n, double *values, double *vectors)
{
	double trace = 0;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++) vectors[i * n + j] = i == j;
	for (int i = 0; i < n; i++) trace += a[i * n + i] * a[i * n + i];
	for (int sweep = 0; sweep < MOST_SWEEPS && off_diagonal(a, n) > 1e-30 * trace; sweep++)
		for (int p = 0; p < n; p++)
			for (int q = p + 1; q < n; q++) rotate(a, vectors, n, p, q);
	for (int i = 0; i < n; i++) values[i] = a[i * n + i];
}

/* ── sets as Gaussians ── */

static void describe(const float *x, size_t count, int n, double *mean, double *covariance)
{
	memset(mean, 0, (size_t)n * sizeof *mean);
	memset(covariance, 0, (size_t)n * (size_t)n * sizeof *covariance);
	for (size_t k = 0; k < count; k++)
		for (int i = 0; i < n; i++) mean[i] += (double)x[k * (size_t)n + (size_t)i];
	for (int i = 0; i < n; i++) mean[i] /= (double)count;
	for (size_t k = 0; k < count; k++) {
		const float *row = x + k * (size_t)n;
		for (int i = 0; i < n; i++)
			for (int j = 0; j <= i; j++)
				covariance[i * n + j] += ((double)row[i] - mean[i]) * ((double)row[j] - mean[j]);
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j <= i; j++) covariance[j * n + i] = covariance[i * n + j] /= (double)(count - 1);
}

/* out = a·b */
static void multiply(const double *a, const double *b, double *out, int n)
{
	memset(out, 0, (size_t)n * (size_t)n * sizeof *out);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < n; k++)
			for (int j = 0; j < n; j++) out[i * n + j] += a[i * n + k] * b[k * n + j];
}

/* root = V·√max(d, 0)·Vᵀ */
static void square_root(const double *values, const double *vectors, double *root, int n)
{
	memset(root, 0, (size_t)n * (size_t)n * sizeof *root);
	for (int k = 0; k < n; k++) {
		double r = sqrt(fmax(values[k], 0));
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++) root[i * n + j] += vectors[i * n + k] * r * vectors[j * n + k];
	}
}

bool frechet_distance(const float *a, size_t a_count, const float *b, size_t b_count, int n, double *distance, error *e)
{
	if (a_count < 2 || b_count < 2 || n < 1)
		return fail(
		    e, BAD_USAGE, "a Fréchet distance needs two pictures a set; there are %zu and %zu", a_count, b_count);
	size_t m = (size_t)n * (size_t)n;
	double *memory = malloc((6 * m + 3 * (size_t)n) * sizeof *memory);
	if (!memory) return fail(e, NO_MEMORY, "out of memory for covariances of %d features", n);
	double *c1 = memory, *c2 = c1 + m, *vectors = c2 + m, *root = vectors + m, *half = root + m, *inner = half + m;
	double *m1 = inner + m, *m2 = m1 + n, *values = m2 + n;
	describe(a, a_count, n, m1, c1);
	describe(b, b_count, n, m2, c2);
	double sum = 0;
	for (int i = 0; i < n; i++) sum += (m1[i] - m2[i]) * (m1[i] - m2[i]) + c1[i * n + i] + c2[i * n + i];
	symmetric_eigen(c1, n, values, vectors);
	square_root(values, vectors, root, n);
	multiply(root, c2, half, n);
	multiply(half, root, inner, n);
	for (int i = 0; i < n; i++) /* symmetric but for rounding */
		for (int j = 0; j < i; j++) inner[i * n + j] = inner[j * n + i] = (inner[i * n + j] + inner[j * n + i]) / 2;
	symmetric_eigen(inner, n, values, vectors);
	for (int i = 0; i < n; i++) sum -= 2 * sqrt(fmax(values[i], 0));
	*distance = fmax(sum, 0);
	free(memory);
	return true;
}
