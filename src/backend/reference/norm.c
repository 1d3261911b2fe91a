/* norm.c - group norm and layer norm, with their gradients.
 *
 * One definition serves both: values are [items, pixels, channels], and an item's channels fall into groups that are
 * normalised together. For a group norm the items are the batch; for a layer norm every row of channels is an item of
 * one pixel and one group. z = γ·x̂ + β, y = act(z), x̂ = (x − mean)·rstd (Wu & He 2018, Ba et al. 2016). */
#include "backend/reference/activation.h"
#include "backend/reference/plain.h"
#include <math.h>

typedef struct norm {
	size_t items, pixels, channels, groups, width; /* width: channels of a group */
	double epsilon;
	activation activation;
	const real *x, *dy, *gamma, *beta; /* NULL: absent */
	const real *given;                 /* [items,2,channels] mean and rstd; NULL: x's own */
} norm;

static norm norm_of(const call *c)
{
	const node *y = c->y, *x = c->x[0];
	bool grouped = y->op == GROUP_NORM || y->op == GROUP_NORM_DX || y->op == GROUP_NORM_SUMS;
	int affine = y->op == GROUP_NORM || y->op == LAYER_NORM ? 1 : 2; /* where gamma and beta are among the inputs */
	norm m = { .channels = last_axis(x), .groups = 1, .pixels = 1, .epsilon = (double)y->f[0], .x = c->in[0] };
	m.items = count_of(x) / m.channels;
	if (grouped) {
		m.groups = (size_t)y->a[0];
		m.activation = (activation)y->a[1];
		m.pixels = m.items / (size_t)x->shape.d[0];
		m.items = (size_t)x->shape.d[0];
	}
	m.width = m.channels / m.groups;
	m.dy = affine == 2 ? c->in[1] : NULL;
	m.gamma = c->x[affine] ? c->in[affine] : NULL;
	m.beta = c->x[affine + 1] ? c->in[affine + 1] : NULL;
	m.given = y->op == GROUP_NORM && c->x[3] ? c->in[3] : NULL;
	return m;
}

typedef struct statistics {
	double mean, rstd;
} statistics;

/* The first value of group g of item i; the group's next pixel is `channels` further. */
static size_t group_start(const norm *m, size_t i, size_t g) { return i * m->pixels * m->channels + g * m->width; }

static statistics statistics_of(const norm *m, size_t i, size_t g)
{
	const real *x = m->x + group_start(m, i, g);
	double sum = 0, squares = 0, count = (double)(m->pixels * m->width);
	for (size_t p = 0; p < m->pixels; p++)
		for (size_t k = 0; k < m->width; k++) sum += (double)x[p * m->channels + k];
	double mean = sum / count;
	for (size_t p = 0; p < m->pixels; p++)
		for (size_t k = 0; k < m->width; k++) {
			double d = (double)x[p * m->channels + k] - mean;
			squares += d * d;
		}
	return (statistics){ mean, 1 / sqrt(squares / count + m->epsilon) };
}

static statistics given_statistics(const norm *m, size_t i, size_t channel)
{
	const real *given = m->given + 2 * i * m->channels + channel;
	return (statistics){ (double)given[0], (double)given[m->channels] };
}

static double normalised(statistics s, real x) { return ((double)x - s.mean) * s.rstd; }

/* z of channel k, and dz = dy·act'(z) */
static double scaled(const norm *m, size_t k, double x)
{
	return (m->gamma ? (double)m->gamma[k] : 1) * x + (m->beta ? (double)m->beta[k] : 0);
}

static double inner_gradient(const norm *m, size_t k, double x, real dy)
{
	return m->activation ? (double)(dy * activation_slope(m->activation, (real)scaled(m, k, x))) : (double)dy;
}

/* A task is a group of an item. */
static bool share_groups(const call *c, part_fn *part)
{
	norm m = norm_of(c);
	return share(c, m.items * m.groups, m.pixels * m.width, part, c);
}

static bool norm_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	norm m = norm_of(c);
	for (size_t task = first; task < end; task++) {
		size_t i = task / m.groups, g = task % m.groups, start = group_start(&m, i, g);
		statistics s = { 0 };
		if (!m.given) s = statistics_of(&m, i, g);
		for (size_t p = 0; p < m.pixels; p++)
			for (size_t k = 0; k < m.width; k++) {
				size_t at = start + p * m.channels + k;
				if (m.given) s = given_statistics(&m, i, g * m.width + k);
				double z = scaled(&m, g * m.width + k, normalised(s, m.x[at]));
				((real *)c->out)[at] = activation_value(m.activation, (real)z);
			}
	}
	return true;
}

bool plain_norm(const call *c) { return share_groups(c, norm_part); }

/* dx = rstd·(dx̂ − mean(dx̂) − x̂·mean(dx̂·x̂)), dx̂ = γ·dz, means over the group; all is found anew in double, not taken
 * from the sums that a group norm's gradients share. */
static bool norm_dx_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	norm m = norm_of(c);
	for (size_t task = first; task < end; task++) {
		size_t i = task / m.groups, g = task % m.groups, start = group_start(&m, i, g);
		statistics s = statistics_of(&m, i, g);
		double mean = 0, slope = 0, count = (double)(m.pixels * m.width);
		for (int pass = 0; pass < 2; pass++) {
			for (size_t p = 0; p < m.pixels; p++)
				for (size_t k = 0; k < m.width; k++) {
					size_t at = start + p * m.channels + k, channel = g * m.width + k;
					double x = normalised(s, m.x[at]), d = inner_gradient(&m, channel, x, m.dy[at]);
					if (m.gamma) d *= (double)m.gamma[channel];
					if (pass) {
						((real *)c->out)[at] = (real)(s.rstd * (d - mean / count - x * slope / count));
					} else {
						mean += d;
						slope += d * x;
					}
				}
		}
	}
	return true;
}

bool plain_norm_dx(const call *c) { return share_groups(c, norm_dx_part); }

/* [items,4,C]: Σ dz·x̂ and Σ dz over an item's pixels, mean, rstd */
static bool norm_sums_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	norm m = norm_of(c);
	for (size_t task = first; task < end; task++) {
		size_t i = task / m.groups, g = task % m.groups;
		statistics s = statistics_of(&m, i, g);
		for (size_t k = g * m.width; k < (g + 1) * m.width; k++) {
			real *out = (real *)c->out + i * 4 * m.channels + k;
			double times = 0, bare = 0;
			for (size_t p = 0; p < m.pixels; p++) {
				size_t at = (i * m.pixels + p) * m.channels + k;
				double x = normalised(s, m.x[at]), d = inner_gradient(&m, k, x, m.dy[at]);
				times += d * x;
				bare += d;
			}
			out[0] = (real)times;
			out[m.channels] = (real)bare;
			out[2 * m.channels] = (real)s.mean;
			out[3 * m.channels] = (real)s.rstd;
		}
	}
	return true;
}

bool plain_norm_sums(const call *c) { return share_groups(c, norm_sums_part); }

size_t norm_scratch(const call *c)
{
	norm m = norm_of(c);
	return m.items * m.groups * sizeof(statistics);
}

enum { CHANNELS = 64 }; /* summed together, so that pixels are read in order */

static bool statistics_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	norm m = norm_of(c);
	statistics *all = c->scratch;
	for (size_t task = first; task < end; task++) all[task] = statistics_of(&m, task / m.groups, task % m.groups);
	return true;
}

static bool norm_dw_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	norm m = norm_of(c);
	const statistics *all = c->scratch;
	for (size_t block = first; block < end; block++) {
		double dgamma[CHANNELS] = { 0 }, dbeta[CHANNELS] = { 0 };
		size_t lowest = block * CHANNELS, n = m.channels - lowest < CHANNELS ? m.channels - lowest : CHANNELS;
		for (size_t pixel = 0; pixel < m.items * m.pixels; pixel++)
			for (size_t k = 0; k < n; k++) {
				size_t channel = lowest + k, at = pixel * m.channels + channel;
				double x = normalised(all[pixel / m.pixels * m.groups + channel / m.width], m.x[at]);
				double d = inner_gradient(&m, channel, x, m.dy[at]);
				dgamma[k] += d * x;
				dbeta[k] += d;
			}
		for (size_t k = 0; k < n; k++) {
			((real *)c->out)[lowest + k] = (real)dgamma[k];
			((real *)c->out)[m.channels + lowest + k] = (real)dbeta[k];
		}
	}
	return true;
}

/* [2,C]: dγ = Σ dz·x̂, dβ = Σ dz, over items and pixels */
bool plain_norm_dw(const call *c)
{
	size_t channels = last_axis(c->x[0]), blocks = (channels + CHANNELS - 1) / CHANNELS;
	return share_groups(c, statistics_part) && parallel_for(c->threads, blocks, 1, norm_dw_part, c);
}
