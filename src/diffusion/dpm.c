/* dpm.c - DPM-Solver (Lu et al. 2022) on dx/dsigma in log sigma, with points of its own between the path's first and
 * its last above 0, as k-diffusion has it: DPM fast, whose number of evaluations is the number of steps, and DPM
 * adaptive, whose steps are as long as the error allows. Both end at that last sigma, with the little noise that is
 * left. */
#include "diffusion/solver.h"
#include <math.h>

enum { GUESS, SLOPE, INNER, OUTER, AHEAD, LOW, HIGH, BEFORE }; /* buffers */

typedef struct range {
	double high, low; /* sigma */
} range;

static range range_of(const trajectory *p)
{
	const path_step *last = &p->steps[p->count - 1];
	return (range){ p->steps[0].from.sigma, last->to.sigma > 0 ? last->to.sigma : last->from.sigma };
}

static void slope_between(solver *s, double sigma, const float *x, float *slope)
{
	slope_at(s, point_of_sigma(s->path, sigma), x, s->buffers[LOW], slope);
}

/* A step of first, second or third order from the slope in SLOPE; r: where in it, as a share of log sigma, the inner
 * evaluation lies, whose slope is in INNER already if `known`. */
static void step_of_order(solver *s, int order, double from, double to, double r, bool known, float *out)
{
	float *slope = s->buffers[SLOPE], *inner = s->buffers[INNER], *outer = s->buffers[OUTER],
	      *ahead = s->buffers[AHEAD];
	double h = log(from / to), all = to * expm1(h);
	if (order > 1 && !known) {
		double at = from * exp(-r * h);
		MIX(s, ahead, { 1, s->x }, { -at * expm1(r * h), slope });
		slope_between(s, at, ahead, inner);
	}
	if (order == 1)
		MIX(s, out, { 1, s->x }, { -all, slope });
	else if (order == 2)
		MIX(s, out, { 1, s->x }, { -all * (1 - 1 / (2 * r)), slope }, { -all / (2 * r), inner });
	else {
		double r2 = 2 / 3., at = from * exp(-r2 * h), c = at * r2 / r * (expm1(r2 * h) / (r2 * h) - 1);
		MIX(s, ahead, { 1, s->x }, { -at * expm1(r2 * h) + c, slope }, { -c, inner });
		slope_between(s, at, ahead, outer);
		c = to / r2 * (expm1(h) / h - 1);
		MIX(s, out, { 1, s->x }, { -all + c, slope }, { -c, outer });
	}
}

/* An ancestral step to sigma `to`, which at the end of the range draws no noise. */
static ancestral_step split(const solver *s, double from, double to, double end)
{
	path_step step = { point_of_sigma(s->path, from), point_of_sigma(s->path, to) };
	if (s->options.eta == 0 || to <= end) return (ancestral_step){ step.to, 1, 0 };
	ancestral_step part = split_step(s, &step);
	if (s->path->form != FLOW_MATCHING && part.down.sigma < end) {
		part.down.sigma = end;
		part.up = sqrt(to * to - end * end);
	}
	return part;
}

static void take(solver *s, const float *x, double from, double to, ancestral_step part)
{
	MIX(s, s->x, { part.grow, x });
	add_noise(s, s->x, point_of_sigma(s->path, from), point_of_sigma(s->path, to), part.up, s->buffers[AHEAD]);
}

/* A path of one step has no range: Euler's. */
static bool single_step(solver *s)
{
	const path_step *only = s->path->steps;
	if (s->path->count > 1) return false;
	reach(s, only->from.sigma * 2);
	slope_at(s, only->from, s->x, s->buffers[GUESS], s->buffers[SLOPE]);
	MIX(s, s->x, { 1, s->x }, { only->to.sigma - only->from.sigma, s->buffers[SLOPE] });
	reach(s, only->to.sigma);
	return true;
}

void solve_dpm_fast(solver *s)
{
	range y = range_of(s->path);
	int calls = s->path->count, steps = calls / 3 + 1;
	if (single_step(s)) return;
	for (int i = 0; i < steps && reach(s, y.high * pow(y.low / y.high, (double)i / steps)); i++) {
		double from = y.high * pow(y.low / y.high, (double)i / steps);
		double to = i == steps - 1 ? y.low : y.high * pow(y.low / y.high, (double)(i + 1) / steps);
		int order = 3;
		if (i == steps - 1) order = calls % 3 ? calls % 3 : 1;
		if (i == steps - 2 && calls % 3 == 0) order = 2;
		ancestral_step part = split(s, from, to, y.low);
		slope_at(s, point_of_sigma(s->path, from), s->x, s->buffers[GUESS], s->buffers[SLOPE]);
		step_of_order(s, order, from, part.down.sigma, order == 3 ? 1 / 3. : 1 / 2., false, s->buffers[HIGH]);
		take(s, s->buffers[HIGH], from, to, part);
	}
	reach(s, y.low);
}

/* The root of the mean square of low - high over what is allowed: 0.0078, or that share of the larger of the two. */
static double difference_of(const solver *s, const float *low, const float *high, const float *before)
{
	double sum = 0;
	if (s->failed) return 0;
	for (size_t i = 0; i < s->n; i++) {
		double allowed = fmax(0.0078, s->options.tolerance * fmax(fabs((double)low[i]), fabs((double)before[i])));
		double off = ((double)low[i] - (double)high[i]) / allowed;
		sum += off * off;
	}
	return sqrt(sum / (double)s->n);
}

void solve_dpm_adaptive(solver *s)
{
	enum { MOST_STEPS = 10000 };
	range y = range_of(s->path);
	int order = s->options.order;
	double sigma = y.high, h = s->options.first_step, power = 1 / (s->options.eta > 0 ? 1.5 : order);
	if (single_step(s)) return;
	MIX(s, s->buffers[BEFORE], { 1, s->x });
	for (int i = 0; reach(s, sigma); i++) {
		double to = fmax(y.low, sigma * exp(-h)), r = order == 3 ? 1 / 3. : 1 / 2.;
		if (to < y.low * (1 + 1e-5)) to = y.low;
		ancestral_step part = split(s, sigma, to, y.low);
		slope_at(s, point_of_sigma(s->path, sigma), s->x, s->buffers[GUESS], s->buffers[SLOPE]);
		step_of_order(s, order, sigma, part.down.sigma, r, false, s->buffers[HIGH]);
		step_of_order(s, order - 1, sigma, part.down.sigma, r, true, s->buffers[LOW]);
		double off = difference_of(s, s->buffers[LOW], s->buffers[HIGH], s->buffers[BEFORE]);
		double factor = 1 + atan(pow(1 / (off + 1e-8), power) - 1);
		if (factor >= 0.81) {
			MIX(s, s->buffers[BEFORE], { 1, s->buffers[LOW] });
			take(s, s->buffers[HIGH], sigma, to, part);
			sigma = to;
		}
		h *= factor;
		if (i == MOST_STEPS && !s->failed) {
			s->failed = true;
			fail(s->e, BAD_USAGE, "DPM adaptive: no step is short enough at sigma %g; take another sampler", sigma);
		}
	}
}
