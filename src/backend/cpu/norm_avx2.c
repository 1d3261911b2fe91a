/* norm_avx2.c - group norm with its activation, layer norm, and their gradients, channels last.
 *
 * Group norm sums over pixels for each channel first, in parts of fixed length that are added in their order: so any
 * number of threads gives the same bytes, and a group may be any number of channels. Mean and variance take a pass
 * each: the variance of large values would not survive the difference of two sums. */
#include "backend/cpu/vector.h"
#include "backend/cpu/vector_math.h"
#include <math.h>
#include <string.h>

enum { PART_PIXELS = 256 };

typedef struct geometry {
	size_t batch, pixels, channels, groups, parts, part_count;
} geometry;

static geometry geometry_of(const call *c)
{
	const node *x = c->x[0];
	size_t batch = (size_t)x->shape.d[0], channels = (size_t)x->shape.d[x->shape.n - 1];
	size_t pixels = shape_count(x->shape) / batch / channels, parts = (pixels + PART_PIXELS - 1) / PART_PIXELS;
	return (geometry){ batch, pixels, channels, (size_t)c->y->a[0], parts, batch * parts };
}

static bool silu_or_none(const call *c)
{
	return vector_fits(c) && (c->y->a[1] == NO_ACTIVATION || c->y->a[1] == SILU);
}

/* What every pass has: sums of two kinds for each part and channel, then for each picture and channel. */
typedef struct workspace {
	float *parts[2];         /* [batch,parts,channels] */
	float *mean, *deviation; /* [batch,channels]: of its group; deviation is 1/σ */
	float *sums[2];          /* [batch,channels] */
} workspace;

static size_t scratch_bytes(const call *c)
{
	geometry g = geometry_of(c);
	return (2 * g.part_count + 4 * g.batch) * g.channels * sizeof(float);
}

static workspace workspace_of(const call *c, const geometry *g)
{
	float *p = c->scratch;
	size_t whole = g->part_count * g->channels, small = g->batch * g->channels;
	return (workspace){ { p, p + whole }, p + 2 * whole, p + 2 * whole + small,
		{ p + 2 * whole + 2 * small, p + 2 * whole + 3 * small } };
}

/* Sums of a group over its channels, spread to each of them: to[channel] = f(sum / count). */
static void spread_group(const geometry *g, const float *parts, size_t n, float *to, bool deviation, float epsilon)
{
	size_t width = g->channels / g->groups;
	for (size_t k = 0; k < g->groups; k++) {
		double sum = 0;
		for (size_t p = 0; p < g->parts; p++)
			for (size_t i = k * width; i < (k + 1) * width; i++)
				sum += (double)parts[(n * g->parts + p) * g->channels + i];
		sum /= (double)(g->pixels * width);
		float value = (float)(deviation ? 1 / sqrt(sum + (double)epsilon) : sum);
		for (size_t i = k * width; i < (k + 1) * width; i++) to[n * g->channels + i] = value;
	}
}

#define FOR_PARTS \
	_Pragma("omp parallel for num_threads(c->threads) schedule(static)") for (size_t p = 0; p < g.part_count; p++)
#define PART_OF                                                                     \
	size_t n = p / g.parts, first = p % g.parts * PART_PIXELS;                      \
	size_t count = g.pixels - first < PART_PIXELS ? g.pixels - first : PART_PIXELS; \
	size_t at = (n * g.pixels + first) * g.channels

static void find_statistics(const call *c, geometry g, workspace w)
{
	const float *x = c->in[0];
	FOR_PARTS
	{
		PART_OF;
		(void)n;
		float *sum = w.parts[0] + p * g.channels;
		memset(sum, 0, g.channels * sizeof *sum);
		for (size_t r = 0; r < count; r++)
			for (size_t i = 0; i < g.channels; i++) sum[i] += x[at + r * g.channels + i];
	}
	for (size_t n = 0; n < g.batch; n++) spread_group(&g, w.parts[0], n, w.mean, false, 0);
	FOR_PARTS
	{
		PART_OF;
		float *restrict sum = w.parts[0] + p * g.channels;
		const float *mean = w.mean + n * g.channels;
		memset(sum, 0, g.channels * sizeof *sum);
		for (size_t r = 0; r < count; r++)
			for (size_t i = 0; i < g.channels; i++) {
				float d = x[at + r * g.channels + i] - mean[i];
				sum[i] += d * d;
			}
	}
	for (size_t n = 0; n < g.batch; n++) spread_group(&g, w.parts[0], n, w.deviation, true, c->y->f[0]);
}

static bool run_group_norm(const call *c)
{
	geometry g = geometry_of(c);
	workspace w = workspace_of(c, &g);
	find_statistics(c, g, w);
	const float *x = c->in[0], *gamma = c->in[1], *beta = c->in[2];
	float *y = c->out, *factor = w.sums[0], *shift = w.sums[1];
	for (size_t n = 0; n < g.batch; n++)
		for (size_t i = 0; i < g.channels; i++) {
			size_t k = n * g.channels + i;
			factor[k] = gamma[i] * w.deviation[k];
			shift[k] = beta[i] - w.mean[k] * factor[k];
		}
	bool silu = c->y->a[1] == SILU;
	FOR_PARTS
	{
		PART_OF;
		const float *f = factor + n * g.channels, *s = shift + n * g.channels;
		for (size_t r = 0; r < count; r++) {
			const float *from = x + at + r * g.channels;
			float *to = y + at + r * g.channels;
			if (silu)
				for (size_t i = 0; i < g.channels; i++) to[i] = silu_f32(from[i] * f[i] + s[i]);
			else
				for (size_t i = 0; i < g.channels; i++) to[i] = from[i] * f[i] + s[i];
		}
	}
	return true;
}

/* The gradient at the norm's affine output, dz, of one row of channels: dy·act'(z). */
static inline void slope_row(const float *x, const float *dy, const float *mean, const float *deviation,
    const float *gamma, const float *beta, size_t channels, bool silu, float *restrict dz, float *restrict normed)
{
	for (size_t i = 0; i < channels; i++) normed[i] = (x[i] - mean[i]) * deviation[i];
	if (silu)
		for (size_t i = 0; i < channels; i++) dz[i] = dy[i] * silu_slope_f32(normed[i] * gamma[i] + beta[i]);
	else
		for (size_t i = 0; i < channels; i++) dz[i] = dy[i];
}

enum { ROW = 128 }; /* channels at a time, in registers and the first cache */

/* Σ dz and Σ dz·normed over the pixels of each part. */
static void find_gradient_sums(const call *c, geometry g, workspace w)
{
	const float *x = c->in[0], *dy = c->in[1], *gamma = c->in[2], *beta = c->in[3];
	bool silu = c->y->a[1] == SILU;
	FOR_PARTS
	{
		PART_OF;
		float *plain = w.parts[0] + p * g.channels, *times = w.parts[1] + p * g.channels, dz[ROW], normed[ROW];
		memset(plain, 0, g.channels * sizeof *plain);
		memset(times, 0, g.channels * sizeof *times);
		for (size_t r = 0; r < count; r++)
			for (size_t k = 0; k < g.channels; k += ROW) {
				size_t width = g.channels - k < ROW ? g.channels - k : ROW, from = at + r * g.channels + k,
				       s = n * g.channels + k;
				slope_row(
				    x + from, dy + from, w.mean + s, w.deviation + s, gamma + k, beta + k, width, silu, dz, normed);
				for (size_t i = 0; i < width; i++) plain[k + i] += dz[i], times[k + i] += dz[i] * normed[i];
			}
	}
}

static bool run_group_norm_dx(const call *c)
{
	geometry g = geometry_of(c);
	workspace w = workspace_of(c, &g);
	find_statistics(c, g, w);
	find_gradient_sums(c, g, w);
	const float *x = c->in[0], *dy = c->in[1], *gamma = c->in[2], *beta = c->in[3];
	float *dx = c->out;
	for (size_t k = 0; k < 2; k++) {
		for (size_t p = 0; p < g.part_count; p++)
			for (size_t i = 0; i < g.channels; i++) w.parts[k][p * g.channels + i] *= gamma[i];
		for (size_t n = 0; n < g.batch; n++) spread_group(&g, w.parts[k], n, w.sums[k], false, 0);
	}
	bool silu = c->y->a[1] == SILU;
	FOR_PARTS
	{
		PART_OF;
		float dz[ROW], normed[ROW];
		for (size_t r = 0; r < count; r++)
			for (size_t k = 0; k < g.channels; k += ROW) {
				size_t width = g.channels - k < ROW ? g.channels - k : ROW, from = at + r * g.channels + k,
				       s = n * g.channels + k;
				slope_row(
				    x + from, dy + from, w.mean + s, w.deviation + s, gamma + k, beta + k, width, silu, dz, normed);
				for (size_t i = 0; i < width; i++)
					dx[from + i] =
					    w.deviation[s + i] * (dz[i] * gamma[k + i] - w.sums[0][s + i] - normed[i] * w.sums[1][s + i]);
			}
	}
	return true;
}

static bool run_group_norm_dw(const call *c)
{
	geometry g = geometry_of(c);
	workspace w = workspace_of(c, &g);
	find_statistics(c, g, w);
	find_gradient_sums(c, g, w);
	float *dw = c->out;
	for (size_t i = 0; i < g.channels; i++) {
		double dgamma = 0, dbeta = 0;
		for (size_t p = 0; p < g.part_count; p++) {
			dgamma += (double)w.parts[1][p * g.channels + i];
			dbeta += (double)w.parts[0][p * g.channels + i];
		}
		dw[i] = (float)dgamma;
		dw[g.channels + i] = (float)dbeta;
	}
	return true;
}

const kernel vector_group_norm = { GROUP_NORM, "vector", silu_or_none, NULL, scratch_bytes, NULL, NULL, run_group_norm,
	NULL };
const kernel vector_group_norm_dx = { GROUP_NORM_DX, "vector", silu_or_none, NULL, scratch_bytes, NULL, NULL,
	run_group_norm_dx, NULL };
const kernel vector_group_norm_dw = { GROUP_NORM_DW, "vector", silu_or_none, NULL, scratch_bytes, NULL, NULL,
	run_group_norm_dw, NULL };

/* ── layer norm: a row at a time ── */

static size_t width_of(const call *c) { return (size_t)c->x[0]->shape.d[c->x[0]->shape.n - 1]; }

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

static bool run_layer_norm(const call *c)
{
	size_t width = width_of(c), rows = shape_count(c->y->shape) / width;
	const float *gamma = c->in[1], *beta = c->in[2];
#pragma omp parallel for num_threads(c->threads) schedule(static)
	for (size_t r = 0; r < rows; r++) {
		const float *x = (const float *)c->in[0] + r * width;
		float *y = (float *)c->out + r * width, mean, deviation;
		row_statistics(x, width, c->y->f[0], &mean, &deviation);
		if (gamma)
			for (size_t i = 0; i < width; i++) y[i] = (x[i] - mean) * deviation * gamma[i] + beta[i];
		else
			for (size_t i = 0; i < width; i++) y[i] = (x[i] - mean) * deviation;
	}
	return true;
}

static bool run_layer_norm_dx(const call *c)
{
	size_t width = width_of(c), rows = shape_count(c->y->shape) / width;
	const float *gamma = c->in[2];
#pragma omp parallel for num_threads(c->threads) schedule(static)
	for (size_t r = 0; r < rows; r++) {
		const float *x = (const float *)c->in[0] + r * width, *dy = (const float *)c->in[1] + r * width;
		float *dx = (float *)c->out + r * width, mean, deviation, plain = 0, times = 0;
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
	}
	return true;
}

enum { PART_ROWS = 128 };

static size_t layer_scratch_bytes(const call *c)
{
	size_t width = width_of(c), rows = shape_count(c->x[0]->shape) / width;
	return (rows + PART_ROWS - 1) / PART_ROWS * 2 * width * sizeof(float);
}

static bool run_layer_norm_dw(const call *c)
{
	size_t width = width_of(c), rows = shape_count(c->x[0]->shape) / width, parts = (rows + PART_ROWS - 1) / PART_ROWS;
	float *sums = c->scratch, *dw = c->out;
#pragma omp parallel for num_threads(c->threads) schedule(static)
	for (size_t p = 0; p < parts; p++) {
		float *dgamma = sums + p * 2 * width, *dbeta = dgamma + width;
		memset(dgamma, 0, 2 * width * sizeof *dgamma);
		for (size_t r = p * PART_ROWS; r < rows && r < (p + 1) * PART_ROWS; r++) {
			const float *x = (const float *)c->in[0] + r * width, *dy = (const float *)c->in[1] + r * width;
			float mean, deviation;
			row_statistics(x, width, c->y->f[0], &mean, &deviation);
			for (size_t i = 0; i < width; i++) {
				dgamma[i] += dy[i] * (x[i] - mean) * deviation;
				dbeta[i] += dy[i];
			}
		}
	}
	for (size_t i = 0; i < 2 * width; i++) {
		double sum = 0;
		for (size_t p = 0; p < parts; p++) sum += (double)sums[p * 2 * width + i];
		dw[i] = (float)sum;
	}
	return true;
}

const kernel vector_layer_norm = { LAYER_NORM, "vector", vector_fits, NULL, NULL, NULL, NULL, run_layer_norm, NULL };
const kernel vector_layer_norm_dx = { LAYER_NORM_DX, "vector", vector_fits, NULL, NULL, NULL, NULL, run_layer_norm_dx,
	NULL };
const kernel vector_layer_norm_dw = { LAYER_NORM_DW, "vector", vector_fits, NULL, layer_scratch_bytes, NULL, NULL,
	run_layer_norm_dw, NULL };
