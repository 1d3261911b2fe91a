/* group_norm_body.h - group norm with its activation, and its gradients, channels last: the code of group_norm_avx2.c
 * and group_norm_avx512.c, which say in CODE(name) what the rows are called and in LABEL what they call themselves.
 *
 * Group norm sums over pixels for each channel first, in parts of fixed length that are added in their order: so any
 * number of threads gives the same bytes, and a group may be any number of channels. One pass finds both sums, of
 * differences from a value that is near the mean, for the variance of large values would not survive the difference
 * of two sums.
 *
 * group_norm_avx512bf16.c defines OWN_LOOPS, writes the two loops over a part itself, and has no gradients. */
#include "backend/cpu/vector.h"
#include "backend/cpu/vector_math.h"
#include <math.h>
#include <string.h>

enum { PART_PIXELS = 256, LANES = 128, NEAR_ROWS = 8 };

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

/* Gamma, beta and what the gradients share are f32. */
static bool fits(const call *c)
{
	const node *x = c->x[0], *gamma = c->y->op == GROUP_NORM ? c->x[1] : c->x[2];
	return vector_fits(c) && x->shape.d[x->shape.n - 1] <= BLOCK && gamma->dtype == F32 &&
	       (c->y->op != GROUP_NORM_SUMS || c->y->dtype == F32) &&
	       (c->y->op != GROUP_NORM || !c->x[3] || c->x[3]->dtype == F32) &&
	       (c->y->op != GROUP_NORM_DX || c->x[4]->dtype == F32) && (c->y->a[1] == NO_ACTIVATION || c->y->a[1] == SILU);
}

typedef struct workspace {
	float *parts[2];                /* [batch,parts,channels]: sums of two kinds */
	float *near, *mean, *deviation; /* [batch,channels]: a value near the channel's mean; of its group, 1/σ */
	float *factor, *shift;          /* [batch,channels] */
} workspace;

static size_t scratch_bytes(const call *c)
{
	geometry g = geometry_of(c);
	return (2 * g.part_count + 5 * g.batch) * g.channels * sizeof(float);
}

static workspace workspace_of(const call *c, const geometry *g)
{
	float *p = c->scratch;
	size_t whole = g->part_count * g->channels, small = g->batch * g->channels;
	float *rest = p + 2 * whole;
	return (workspace){ { p, p + whole }, rest, rest + small, rest + 2 * small, rest + 3 * small, rest + 4 * small };
}

/* What the loops over parts share: they are called with it. */
typedef struct norm_job {
	const call *c;
	geometry g;
	workspace w;
} norm_job;

static bool for_parts(const norm_job *job, part_fn *part)
{
	return share(job->c, job->g.part_count, PART_PIXELS * job->g.channels, part, job);
}

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
#define FOR_BLOCKS(q, g)                                \
	for (size_t at = (q).at, last = at + (q).length, m; \
	     at < last && (m = last - at < (g).block ? last - at : (g).block); at += m)

/* A row of lanes is one pixel's channels, or, of a narrow map, those of several pixels: then what belongs to the
 * channels is repeated. Loops are long enough either way. */
static const float *repeated(const float *values, const geometry *g, float *room)
{
	if (g->lanes == g->channels) return values;
	for (size_t i = 0; i < g->lanes; i += g->channels) memcpy(room + i, values, g->channels * sizeof *room);
	return room;
}

static void fold_lanes(const float *sums, const geometry *g, float *to)
{
	memset(to, 0, g->channels * sizeof *to);
	for (size_t i = 0; i < g->lanes; i += g->channels)
		for (size_t k = 0; k < g->channels; k++) to[k] += sums[i + k];
}

#define FOR_ROWS(n, lanes) \
	for (size_t row = 0, width; row < (n) && (width = (n)-row < (lanes) ? (n)-row : (lanes)); row += width)

/* ── mean and deviation ── */

/* The mean of a picture's first pixels. What lies that near to some of the values is near enough to their mean: the
 * squares of the differences are at most (all pixels / those) times too large. */
static void find_near(const call *c, const geometry *g, size_t image, float *near)
{
	float room[BLOCK];
	size_t pixels = NEAR_ROWS * (g->lanes / g->channels);
	if (pixels > g->pixels) pixels = g->pixels;
	if (pixels * g->channels > BLOCK) pixels = BLOCK / g->channels;
	const float *x = block_in(c, 0, image * g->pixels * g->channels, pixels * g->channels, room);
	memset(near, 0, g->channels * sizeof *near);
	for (size_t p = 0; p < pixels; p++)
		for (size_t k = 0; k < g->channels; k++) near[k] += x[p * g->channels + k];
	for (size_t k = 0; k < g->channels; k++) near[k] /= (float)pixels;
}

/* Adds to each lane's sums those of a part. */
static void add_part(const call *c, const geometry *g, part q, const float *near, float *sum, float *squares);

#ifndef OWN_LOOPS
static void add_moments(const float *restrict x, size_t n, size_t lanes, const float *restrict near,
    float *restrict sum, float *restrict squares)
{
	FOR_ROWS(n, lanes)
	for (size_t i = 0; i < width; i++) {
		float d = x[row + i] - near[i];
		sum[i] += d;
		squares[i] += d * d;
	}
}

static void add_part(const call *c, const geometry *g, part q, const float *near, float *sum, float *squares)
{
	float room[BLOCK];
	FOR_BLOCKS(q, *g) add_moments(block_in(c, 0, at, m, room), m, g->lanes, near, sum, squares);
}
#endif

/* Of channel k of an image: its sum over the parts. */
static double sum_of(const geometry *g, const float *parts, size_t image, size_t k)
{
	double sum = 0;
	for (size_t p = 0; p < g->parts; p++) sum += (double)parts[(image * g->parts + p) * g->channels + k];
	return sum;
}

/* Means and squares of a group's channels about their own means make those of the group. */
static void find_group(const call *c, const geometry *g, const workspace *w, size_t image, size_t group)
{
	size_t width = g->channels / g->groups, first = group * width, at = image * g->channels;
	double mean = 0, squares = 0, n = (double)g->pixels;
	for (size_t k = first; k < first + width; k++)
		mean += (double)w->near[at + k] + sum_of(g, w->parts[0], image, k) / n;
	mean /= (double)width;
	for (size_t k = first; k < first + width; k++) {
		double offset = sum_of(g, w->parts[0], image, k) / n, away = (double)w->near[at + k] + offset - mean;
		squares += sum_of(g, w->parts[1], image, k) - n * offset * offset + n * away * away;
	}
	double variance = fmax(squares, 0) / (n * (double)width);
	for (size_t k = first; k < first + width; k++) {
		w->mean[at + k] = (float)mean;
		w->deviation[at + k] = (float)(1 / sqrt(variance + (double)c->y->f[0]));
	}
}

static bool moments_of_parts(const void *context, size_t first, size_t end, int worker)
{
	const norm_job *job = context;
	const call *c = job->c;
	const geometry g = job->g;
	const workspace w = job->w;
	(void)worker;
	float sums[2][BLOCK], lanes[LANES];
	for (size_t p = first; p < end; p++) {
		part q = part_of(&g, p);
		const float *near = repeated(w.near + q.image * g.channels, &g, lanes);
		for (int k = 0; k < 2; k++) memset(sums[k], 0, g.lanes * sizeof(float));
		add_part(c, &g, q, near, sums[0], sums[1]);
		for (int k = 0; k < 2; k++) fold_lanes(sums[k], &g, w.parts[k] + p * g.channels);
	}
	return true;
}

/* Given statistics are [batch,2,channels]: mean and deviation. */
static bool take_statistics(const norm_job *job, const float *given)
{
	size_t row = job->g.channels;
	for (size_t n = 0; n < job->g.batch; n++, given += 2 * row) {
		memcpy(job->w.mean + n * row, given, row * sizeof *given);
		memcpy(job->w.deviation + n * row, given + row, row * sizeof *given);
	}
	return true;
}

static bool find_statistics(const norm_job *job)
{
	const geometry *g = &job->g;
	if (job->c->y->op == GROUP_NORM && job->c->x[3]) return take_statistics(job, job->c->in[3]);
	for (size_t n = 0; n < g->batch; n++) find_near(job->c, g, n, job->w.near + n * g->channels);
	if (!for_parts(job, moments_of_parts)) return false;
	for (size_t n = 0; n < g->batch; n++)
		for (size_t k = 0; k < g->groups; k++) find_group(job->c, g, &job->w, n, k);
	return true;
}

static norm_job job_of(const call *c)
{
	geometry g = geometry_of(c);
	return (norm_job){ c, g, workspace_of(c, &g) };
}

/* ── forward ── */

/* The result of a part: act(x·factor + shift). */
static void scale_part(const call *c, const geometry *g, part q, const float *factor, const float *shift);

#ifndef OWN_LOOPS
static void scale_rows(const float *restrict x, size_t n, size_t lanes, const float *restrict factor,
    const float *restrict shift, bool silu, float *y)
{
	FOR_ROWS(n, lanes)
	if (silu)
		for (size_t i = 0; i < width; i++) y[row + i] = silu_f32(x[row + i] * factor[i] + shift[i]);
	else
		for (size_t i = 0; i < width; i++) y[row + i] = x[row + i] * factor[i] + shift[i];
}

static void scale_part(const call *c, const geometry *g, part q, const float *factor, const float *shift)
{
	float rooms[2][BLOCK];
	FOR_BLOCKS(q, *g)
	{
		const float *x = block_in(c, 0, at, m, rooms[0]);
		scale_rows(x, m, g->lanes, factor, shift, c->y->a[1] == SILU, block_out(c, at, rooms[1]));
		block_done(c, at, m, rooms[1]);
	}
}
#endif

static bool scale_parts(const void *context, size_t first, size_t end, int worker)
{
	const norm_job *job = context;
	const call *c = job->c;
	const geometry g = job->g;
	const workspace w = job->w;
	(void)worker;
	float lanes[2][LANES];
	for (size_t p = first; p < end; p++) {
		part q = part_of(&g, p);
		const float *factor = repeated(w.factor + q.image * g.channels, &g, lanes[0]);
		const float *shift = repeated(w.shift + q.image * g.channels, &g, lanes[1]);
		scale_part(c, &g, q, factor, shift);
	}
	return true;
}

static bool run_group_norm(const call *c, error *e)
{
	(void)e;
	const norm_job job = job_of(c);
	const geometry g = job.g;
	const workspace w = job.w;
	if (!find_statistics(&job)) return false;
	const float *gamma = c->in[1], *beta = c->in[2];
	for (size_t n = 0; n < g.batch; n++)
		for (size_t i = 0; i < g.channels; i++) {
			size_t k = n * g.channels + i;
			w.factor[k] = gamma[i] * w.deviation[k];
			w.shift[k] = beta[i] - w.mean[k] * w.factor[k];
		}
	return for_parts(&job, scale_parts);
}

#ifndef OWN_LOOPS
/* ── backward ──
 * dz is the gradient at the norm's affine output, dy·act'(z). */

/* What the gradients need of each lane: normed = x·deviation + offset, z = x·factor + shift, and for dx
 * = dz·factor − plain − normed·times. */
typedef struct lane_values {
	const float *deviation, *offset, *factor, *shift, *plain, *times;
} lane_values;

static void add_gradients(const float *restrict x, const float *restrict dy, size_t n, size_t lanes,
    const lane_values *v, bool silu, float *restrict times, float *restrict plain)
{
	const float *deviation = v->deviation, *offset = v->offset, *factor = v->factor, *shift = v->shift;
	FOR_ROWS(n, lanes)
	for (size_t i = 0; i < width; i++) {
		float dz = dy[row + i] * (silu ? silu_slope_f32(x[row + i] * factor[i] + shift[i]) : 1);
		plain[i] += dz;
		times[i] += dz * (x[row + i] * deviation[i] + offset[i]);
	}
}

static void gradient_rows(
    const float *x, const float *dy, size_t n, size_t lanes, const lane_values *v, bool silu, float *restrict dx)
{
	const float *deviation = v->deviation, *offset = v->offset, *factor = v->factor, *shift = v->shift,
	            *plain = v->plain, *times = v->times;
	FOR_ROWS(n, lanes)
	for (size_t i = 0; i < width; i++) {
		float dz = dy[row + i] * (silu ? silu_slope_f32(x[row + i] * factor[i] + shift[i]) : 1);
		dx[row + i] = dz * factor[i] - plain[i] - (x[row + i] * deviation[i] + offset[i]) * times[i];
	}
}

/* Rows of [batch,4,channels]: Σ dz·normed, Σ dz, mean, deviation. */
enum { TIMES, PLAIN, MEAN, DEVIATION, SHARED };
static float *shared(const float *sums, const geometry *g, size_t image, int row)
{
	return (float *)sums + (image * SHARED + (size_t)row) * g->channels;
}

typedef struct lane_rooms {
	float lanes[6][BLOCK];
} lane_rooms;

/* times and plain stay as they are given: NULL where only the first four are wanted. */
static lane_values lanes_for(const call *c, const geometry *g, const float *sums, size_t image, const float *plain,
    const float *times, lane_rooms *r)
{
	const float *gamma = c->in[2], *beta = c->in[3];
	const float *mean = shared(sums, g, image, MEAN), *deviation = shared(sums, g, image, DEVIATION);
	for (size_t i = 0; i < g->lanes; i += g->channels)
		for (size_t k = 0; k < g->channels; k++) {
			r->lanes[0][i + k] = deviation[k];
			r->lanes[1][i + k] = -mean[k] * deviation[k];
			r->lanes[2][i + k] = gamma[k] * deviation[k];
			r->lanes[3][i + k] = beta[k] - mean[k] * deviation[k] * gamma[k];
			r->lanes[4][i + k] = plain ? plain[k] : 0;
			r->lanes[5][i + k] = times ? times[k] : 0;
		}
	return (lane_values){ r->lanes[0], r->lanes[1], r->lanes[2], r->lanes[3], r->lanes[4], r->lanes[5] };
}

static bool gradients_of_parts(const void *context, size_t first, size_t end, int worker)
{
	const norm_job *job = context;
	const call *c = job->c;
	const geometry g = job->g;
	const workspace w = job->w;
	(void)worker;
	float rooms[2][BLOCK], sums[2][BLOCK];
	lane_rooms lanes;
	for (size_t p = first; p < end; p++) {
		part q = part_of(&g, p);
		lane_values v = lanes_for(c, &g, c->out, q.image, NULL, NULL, &lanes);
		for (int k = 0; k < 2; k++) memset(sums[k], 0, g.lanes * sizeof(float));
		FOR_BLOCKS(q, g)
		{
			const float *x = block_in(c, 0, at, m, rooms[0]), *dy = block_in(c, 1, at, m, rooms[1]);
			add_gradients(x, dy, m, g.lanes, &v, c->y->a[1] == SILU, sums[TIMES], sums[PLAIN]);
		}
		for (int k = 0; k < 2; k++) fold_lanes(sums[k], &g, w.parts[k] + p * g.channels);
	}
	return true;
}

static bool run_group_norm_sums(const call *c, error *e)
{
	(void)e;
	const norm_job job = job_of(c);
	const geometry g = job.g;
	const workspace w = job.w;
	float *out = c->out;
	if (!find_statistics(&job)) return false;
	for (size_t n = 0; n < g.batch; n++) {
		memcpy(shared(out, &g, n, MEAN), w.mean + n * g.channels, g.channels * sizeof *out);
		memcpy(shared(out, &g, n, DEVIATION), w.deviation + n * g.channels, g.channels * sizeof *out);
	}
	if (!for_parts(&job, gradients_of_parts)) return false;
	for (size_t n = 0; n < g.batch; n++)
		for (int row = TIMES; row <= PLAIN; row++)
			for (size_t k = 0; k < g.channels; k++) shared(out, &g, n, row)[k] = (float)sum_of(&g, w.parts[row], n, k);
	return true;
}

/* dx = deviation·(dz·γ − mean(dz·γ) − normed·mean(dz·γ·normed)), means over the group: the deviation is moved inside.
 */
static void find_means(const call *c, const geometry *g, const float *sums, size_t image, float *plain, float *times)
{
	const float *gamma = c->in[2], *of[] = { shared(sums, g, image, PLAIN), shared(sums, g, image, TIMES) };
	const float *deviation = shared(sums, g, image, DEVIATION);
	float *to[] = { plain, times };
	size_t width = g->channels / g->groups;
	for (int row = 0; row < 2; row++)
		for (size_t first = 0; first < g->channels; first += width) {
			double sum = 0;
			for (size_t k = first; k < first + width; k++) sum += (double)of[row][k] * (double)gamma[k];
			sum *= (double)deviation[first] / (double)(g->pixels * width);
			for (size_t k = first; k < first + width; k++) to[row][k] = (float)sum;
		}
}

static bool dx_of_parts(const void *context, size_t first, size_t end, int worker)
{
	const norm_job *job = context;
	const call *c = job->c;
	const geometry g = job->g;
	const workspace w = job->w;
	(void)worker;
	const float *sums = c->in[4];
	float rooms[3][BLOCK];
	lane_rooms lanes;
	for (size_t p = first; p < end; p++) {
		part q = part_of(&g, p);
		size_t own = q.image * g.channels;
		lane_values v = lanes_for(c, &g, sums, q.image, w.factor + own, w.shift + own, &lanes);
		FOR_BLOCKS(q, g)
		{
			const float *x = block_in(c, 0, at, m, rooms[0]), *dy = block_in(c, 1, at, m, rooms[1]);
			gradient_rows(x, dy, m, g.lanes, &v, c->y->a[1] == SILU, block_out(c, at, rooms[2]));
			block_done(c, at, m, rooms[2]);
		}
	}
	return true;
}

static bool run_group_norm_dx(const call *c, error *e)
{
	(void)e;
	const norm_job job = job_of(c);
	const geometry g = job.g;
	const workspace w = job.w;
	const float *sums = c->in[4];
	for (size_t n = 0; n < g.batch; n++)
		find_means(c, &g, sums, n, w.factor + n * g.channels, w.shift + n * g.channels);
	return for_parts(&job, dx_of_parts);
}

const kernel CODE(group_norm) = { GROUP_NORM, LABEL, fits, NULL, scratch_bytes, NULL, NULL, run_group_norm, NULL };
const kernel CODE(
    group_norm_sums) = { GROUP_NORM_SUMS, LABEL, fits, NULL, scratch_bytes, NULL, NULL, run_group_norm_sums, NULL };
const kernel CODE(
    group_norm_dx) = { GROUP_NORM_DX, LABEL, fits, NULL, scratch_bytes, NULL, NULL, run_group_norm_dx, NULL };
#endif
