/* norm_avx2.c - group norm with its activation, layer norm, and their gradients, channels last.
 *
 * Group norm sums over pixels for each channel first, in parts of fixed length that are added in their order: so any
 * number of threads gives the same bytes, and a group may be any number of channels. Mean and variance take a pass
 * each: the variance of large values would not survive the difference of two sums. */
#include "backend/cpu/vector.h"
#include "backend/cpu/vector_math.h"
#include <math.h>
#include <string.h>

enum { PART_PIXELS = 256, LANES = 128 };

typedef struct geometry {
	size_t batch, pixels, channels, groups, parts, part_count;
	size_t lanes, block; /* values of a row, and of a block of rows */
} geometry;

static geometry geometry_of(const call *c)
{
	const node *x = c->x[0];
	size_t batch = (size_t)x->shape.d[0], channels = (size_t)x->shape.d[x->shape.n - 1];
	size_t pixels = shape_count(x->shape) / batch / channels, parts = (pixels + PART_PIXELS - 1) / PART_PIXELS;
	size_t lanes = channels <= LANES / 2 ? LANES / channels * channels : channels;
	size_t block = lanes < BLOCK / 2 ? BLOCK / 2 / lanes * lanes : lanes;
	return (geometry){ batch, pixels, channels, (size_t)c->y->a[0], parts, batch * parts, lanes, block };
}

/* Gamma, beta and their gradients are f32. */
static bool silu_or_none(const call *c)
{
	const node *x = c->x[0], *gamma = c->y->op == GROUP_NORM ? c->x[1] : c->x[2];
	return vector_fits(c) && x->shape.d[x->shape.n - 1] <= BLOCK && gamma->dtype == F32 &&
	       (c->y->op != GROUP_NORM_DW || c->y->dtype == F32) && (c->y->a[1] == NO_ACTIVATION || c->y->a[1] == SILU);
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

/* A part: `length` values from `at` on, of picture `image`. */
typedef struct part {
	size_t image, at, length;
} part;

static part part_of(const geometry *g, size_t p)
{
	size_t first = p % g->parts * PART_PIXELS, image = p / g->parts;
	size_t count = g->pixels - first < PART_PIXELS ? g->pixels - first : PART_PIXELS;
	return (part){ image, (image * g->pixels + first) * g->channels, count * g->channels };
}

/* The blocks of a part: m values from `at` on, whole rows of lanes but for the last. */
#define FOR_BLOCKS(q)                                                                                             \
	for (size_t at = (q).at, end = at + (q).length, m; at < end && (m = end - at < g.block ? end - at : g.block); \
	     at += m)

/* A row of lanes is one pixel's channels, or, of a narrow map, those of several pixels: then what belongs to the
 * channels is repeated. Loops are long enough either way. */
static const float *repeated(const float *values, const geometry *g, float *room)
{
	if (g->lanes == g->channels) return values;
	for (size_t i = 0; i < g->lanes; i++) room[i] = values[i % g->channels];
	return room;
}

static void fold_lanes(const float *sums, const geometry *g, float *to)
{
	memset(to, 0, g->channels * sizeof *to);
	for (size_t i = 0; i < g->lanes; i++) to[i % g->channels] += sums[i];
}

#define FOR_ROWS(n, lanes) \
	for (size_t row = 0, width; row < (n) && (width = (n)-row < (lanes) ? (n)-row : (lanes)); row += width)

static void add_values(const float *restrict x, size_t n, size_t lanes, float *restrict sum)
{
	FOR_ROWS(n, lanes)
	for (size_t i = 0; i < width; i++) sum[i] += x[row + i];
}

static void add_squares(
    const float *restrict x, size_t n, size_t lanes, const float *restrict mean, float *restrict sum)
{
	FOR_ROWS(n, lanes)
	for (size_t i = 0; i < width; i++) {
		float d = x[row + i] - mean[i];
		sum[i] += d * d;
	}
}

static void find_statistics(const call *c, geometry g, workspace w)
{
	for (int pass = 0; pass < 2; pass++) {
		FOR_PARTS
		{
			float room[BLOCK], sums[BLOCK], means[LANES];
			part q = part_of(&g, p);
			const float *mean = pass ? repeated(w.mean + q.image * g.channels, &g, means) : NULL;
			memset(sums, 0, g.lanes * sizeof *sums);
			FOR_BLOCKS(q)
			{
				const float *x = block_in(c, 0, at, m, room);
				if (pass)
					add_squares(x, m, g.lanes, mean, sums);
				else
					add_values(x, m, g.lanes, sums);
			}
			fold_lanes(sums, &g, w.parts[0] + p * g.channels);
		}
		for (size_t n = 0; n < g.batch; n++)
			spread_group(&g, w.parts[0], n, pass ? w.deviation : w.mean, pass == 1, c->y->f[0]);
	}
}

static void scale_rows(const float *restrict x, size_t n, size_t lanes, const float *restrict factor,
    const float *restrict shift, bool silu, float *y)
{
	FOR_ROWS(n, lanes)
	if (silu)
		for (size_t i = 0; i < width; i++) y[row + i] = silu_f32(x[row + i] * factor[i] + shift[i]);
	else
		for (size_t i = 0; i < width; i++) y[row + i] = x[row + i] * factor[i] + shift[i];
}

static bool run_group_norm(const call *c)
{
	geometry g = geometry_of(c);
	workspace w = workspace_of(c, &g);
	find_statistics(c, g, w);
	const float *gamma = c->in[1], *beta = c->in[2];
	float *factor = w.sums[0], *shift = w.sums[1];
	for (size_t n = 0; n < g.batch; n++)
		for (size_t i = 0; i < g.channels; i++) {
			size_t k = n * g.channels + i;
			factor[k] = gamma[i] * w.deviation[k];
			shift[k] = beta[i] - w.mean[k] * factor[k];
		}
	FOR_PARTS
	{
		float rooms[2][BLOCK], lanes[2][LANES];
		part q = part_of(&g, p);
		const float *f = repeated(factor + q.image * g.channels, &g, lanes[0]);
		const float *s = repeated(shift + q.image * g.channels, &g, lanes[1]);
		FOR_BLOCKS(q)
		{
			const float *x = block_in(c, 0, at, m, rooms[0]);
			scale_rows(x, m, g.lanes, f, s, c->y->a[1] == SILU, block_out(c, at, rooms[1]));
			block_done(c, at, m, rooms[1]);
		}
	}
	return true;
}

/* What the gradients need of each lane. */
typedef struct lane_values {
	const float *mean, *deviation, *gamma, *beta, *plain, *times;
} lane_values;

static lane_values lanes_for(const call *c, const geometry *g, const workspace *w, size_t image, float rooms[][LANES])
{
	size_t at = image * g->channels;
	return (lane_values){ repeated(w->mean + at, g, rooms[0]), repeated(w->deviation + at, g, rooms[1]),
		repeated(c->in[2], g, rooms[2]), repeated(c->in[3], g, rooms[3]), repeated(w->sums[0] + at, g, rooms[4]),
		repeated(w->sums[1] + at, g, rooms[5]) };
}

/* dz is the gradient at the norm's affine output, dy·act'(z): Σ dz and Σ dz·normed. */
static void add_gradients(const float *restrict x, const float *restrict dy, size_t n, size_t lanes,
    const lane_values *v, bool silu, float *restrict plain, float *restrict times)
{
	const float *mean = v->mean, *deviation = v->deviation, *gamma = v->gamma, *beta = v->beta;
	FOR_ROWS(n, lanes)
	for (size_t i = 0; i < width; i++) {
		float normed = (x[row + i] - mean[i]) * deviation[i], z = normed * gamma[i] + beta[i];
		float dz = dy[row + i] * (silu ? silu_slope_f32(z) : 1);
		plain[i] += dz;
		times[i] += dz * normed;
	}
}

static void gradient_rows(
    const float *x, const float *dy, size_t n, size_t lanes, const lane_values *v, bool silu, float *restrict dx)
{
	const float *mean = v->mean, *deviation = v->deviation, *gamma = v->gamma, *beta = v->beta, *plain = v->plain,
	            *times = v->times;
	FOR_ROWS(n, lanes)
	for (size_t i = 0; i < width; i++) {
		float normed = (x[row + i] - mean[i]) * deviation[i], z = normed * gamma[i] + beta[i];
		float dz = dy[row + i] * (silu ? silu_slope_f32(z) : 1);
		dx[row + i] = deviation[i] * (dz * gamma[i] - plain[i] - normed * times[i]);
	}
}

static void find_gradient_sums(const call *c, geometry g, workspace w)
{
	FOR_PARTS
	{
		float rooms[2][BLOCK], sums[2][BLOCK], lanes[6][LANES];
		part q = part_of(&g, p);
		lane_values v = lanes_for(c, &g, &w, q.image, lanes);
		memset(sums[0], 0, g.lanes * sizeof(float));
		memset(sums[1], 0, g.lanes * sizeof(float));
		FOR_BLOCKS(q)
		{
			const float *x = block_in(c, 0, at, m, rooms[0]), *dy = block_in(c, 1, at, m, rooms[1]);
			add_gradients(x, dy, m, g.lanes, &v, c->y->a[1] == SILU, sums[0], sums[1]);
		}
		for (int k = 0; k < 2; k++) fold_lanes(sums[k], &g, w.parts[k] + p * g.channels);
	}
}

static bool run_group_norm_dx(const call *c)
{
	geometry g = geometry_of(c);
	workspace w = workspace_of(c, &g);
	memset(w.sums[0], 0, 2 * g.batch * g.channels * sizeof(float));
	find_statistics(c, g, w);
	find_gradient_sums(c, g, w);
	const float *gamma = c->in[2];
	for (size_t k = 0; k < 2; k++) {
		for (size_t p = 0; p < g.part_count; p++)
			for (size_t i = 0; i < g.channels; i++) w.parts[k][p * g.channels + i] *= gamma[i];
		for (size_t n = 0; n < g.batch; n++) spread_group(&g, w.parts[k], n, w.sums[k], false, 0);
	}
	FOR_PARTS
	{
		float rooms[3][BLOCK], lanes[6][LANES];
		part q = part_of(&g, p);
		lane_values v = lanes_for(c, &g, &w, q.image, lanes);
		FOR_BLOCKS(q)
		{
			const float *x = block_in(c, 0, at, m, rooms[0]), *dy = block_in(c, 1, at, m, rooms[1]);
			gradient_rows(x, dy, m, g.lanes, &v, c->y->a[1] == SILU, block_out(c, at, rooms[2]));
			block_done(c, at, m, rooms[2]);
		}
	}
	return true;
}

static bool run_group_norm_dw(const call *c)
{
	geometry g = geometry_of(c);
	workspace w = workspace_of(c, &g);
	memset(w.sums[0], 0, 2 * g.batch * g.channels * sizeof(float));
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

static bool run_layer_norm(const call *c)
{
	size_t width = width_of(c), rows = shape_count(c->y->shape) / width;
	const float *gamma = c->in[1], *beta = c->in[2];
#pragma omp parallel for num_threads(c->threads) schedule(static)
	for (size_t r = 0; r < rows; r++) {
		float rooms[2][BLOCK], mean, deviation;
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

static bool run_layer_norm_dx(const call *c)
{
	size_t width = width_of(c), rows = shape_count(c->y->shape) / width;
	const float *gamma = c->in[2];
#pragma omp parallel for num_threads(c->threads) schedule(static)
	for (size_t r = 0; r < rows; r++) {
		float rooms[3][BLOCK], mean, deviation, plain = 0, times = 0;
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
			float rooms[2][BLOCK], mean, deviation;
			const float *x = block_in(c, 0, r * width, width, rooms[0]);
			const float *dy = block_in(c, 1, r * width, width, rooms[1]);
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

const kernel vector_layer_norm = { LAYER_NORM, "vector", row_fits, NULL, NULL, NULL, NULL, run_layer_norm, NULL };
const kernel vector_layer_norm_dx = { LAYER_NORM_DX, "vector", row_fits, NULL, NULL, NULL, NULL, run_layer_norm_dx,
	NULL };
const kernel vector_layer_norm_dw = { LAYER_NORM_DW, "vector", row_fits, NULL, layer_scratch_bytes, NULL, NULL,
	run_layer_norm_dw, NULL };
