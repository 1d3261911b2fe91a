/* adams.c - multistep on dx/dsigma (slope_at): the slopes of the last steps are remembered and extrapolated over the
 * next one. LMS, iPNDM, DEIS in time, and gradient estimation. */
#include "diffusion/solver.h"
#include <math.h>

enum { MAX_ORDER = 4 };

/* The integral from sigma a to b of the polynomial that is 1 at nodes[j] and 0 at the other nodes; Gauss's rule with
 * two points is exact up to the third degree. */
static double weight(const double *nodes, int order, int j, double a, double b)
{
	double sum = 0;
	for (int side = -1; side <= 1; side += 2) {
		double at = (a + b) / 2 + side * (b - a) / (2 * sqrt(3)), product = 1;
		for (int k = 0; k < order; k++)
			if (k != j) product *= (at - nodes[k]) / (nodes[j] - nodes[k]);
		sum += product;
	}
	return sum * (b - a) / 2;
}

/* Linear multistep (Katherine Crowson's LMS): Adams and Bashforth's weights for uneven steps, fourth order at most. */
void solve_lms(solver *s)
{
	float *denoised = s->buffers[0], *past[MAX_ORDER] = { s->buffers[1], s->buffers[2], s->buffers[3], s->buffers[4] };
	double sigmas[MAX_ORDER] = { 0 };
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(past, MAX_ORDER);
		shift_values(sigmas, MAX_ORDER);
		sigmas[0] = now->from.sigma;
		slope_at(s, now->from, s->x, denoised, past[0]);
		int left_out = s->options.as_begun ? s->path->skipped : 0;
		int order = s->options.order < s->done + left_out ? s->options.order : s->done + left_out;
		for (int j = s->done; j < order; j++) sigmas[j] = (now - j)->from.sigma;
		for (int j = 0; j < order && j < s->done; j++)
			MIX(s, s->x, { 1, s->x }, { weight(sigmas, order, j, now->from.sigma, now->to.sigma), past[j] });
	}
}

/* iPNDM (Zhang and Chen 2023) as diff-sampler has it, and ComfyUI after it. With variable_steps it is their iPNDM-v:
 * the published weights are followed to the letter, though from the third order on they are not quite those of Adams
 * and Bashforth for uneven steps (which are LMS's above). w[j] is the weight of the slope j steps ago, over h[0]. */
static void even_weights(double *w, int order)
{
	static const double weights[MAX_ORDER][MAX_ORDER] = { { 1 }, { 3 / 2., -1 / 2. }, { 23 / 12., -16 / 12., 5 / 12. },
		{ 55 / 24., -59 / 24., 37 / 24., -9 / 24. } };
	for (int j = 0; j < MAX_ORDER; j++) w[j] = weights[order - 1][j];
}

static void uneven_weights(double *w, int order, const double *h)
{
	w[0] = 1, w[1] = w[2] = w[3] = 0;
	if (order < 2) return;
	double share = h[0] / h[1] / 2, h01 = h[0] + h[1], h12 = h[1] + h[2];
	w[0] += share, w[1] -= share;
	if (order < 3) return;
	double third = (1 - h[0] / (3 * h01) * (h[0] * h01) / (h[1] * h12)) / 2, q = h[1] / h[2];
	w[0] += third, w[1] -= (1 + q) * third, w[2] += q * third;
	if (order < 4) return;
	double h012 = h01 + h[2], p = h[1] * h12 / (h[2] * (h[2] + h[3]));
	double fourth = ((1 - h[0] / (3 * h01)) / 2 + (1 - h[0] / (2 * h01)) * h[0] / (6 * h012)) * (h[0] * h01 * h012) /
	                (h[1] * h12 * (h12 + h[3]));
	w[0] += fourth, w[1] -= (1 + q + p) * fourth, w[2] += (q + p * (1 + h[2] / h[3])) * fourth, w[3] -= p * q * fourth;
}

void solve_ipndm(solver *s)
{
	float *denoised = s->buffers[0], *past[MAX_ORDER] = { s->buffers[1], s->buffers[2], s->buffers[3], s->buffers[4] };
	double h[MAX_ORDER] = { 0 }, w[MAX_ORDER];
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(past, MAX_ORDER);
		shift_values(h, MAX_ORDER);
		h[0] = now->to.sigma - now->from.sigma;
		slope_at(s, now->from, s->x, denoised, past[0]);
		int order = s->options.order < s->done ? s->options.order : s->done;
		if (now->to.sigma == 0) order = 1;
		if (s->options.variable_steps)
			uneven_weights(w, order, h);
		else
			even_weights(w, order);
		for (int j = 0; j < order; j++) MIX(s, s->x, { 1, s->x }, { h[0] * w[j], past[j] });
	}
}

/* The betas of the variance preserving path that has sigma 0.002 at time 0.001 and 80 at 1, and betas that rise
 * linearly: what diff-sampler takes for DEIS, whatever the model's schedule is. */
typedef struct deis_path {
	double first, slope; /* beta at time 0; its rise up to time 1 */
} deis_path;

static deis_path deis_betas(void)
{
	double low = log1p(0.002 * 0.002), high = log1p(80. * 80.), slope = 2 * (low / 1e-3 - high) / (1e-3 - 1);
	return (deis_path){ high - slope / 2, slope };
}

/* The time of a sigma on that path. */
static double deis_time(double sigma)
{
	const deis_path d = deis_betas();
	return (sqrt(d.first * d.first + 2 * d.slope * log1p(sigma * sigma)) - d.first) / d.slope;
}

/* The integral over sigma from time a to b of the polynomial in time that is 1 at node j and 0 at the others, as
 * diff-sampler takes it: the mean of 10,000 points with both ends, times the length. In the long first steps that is
 * up to 3e-4 from the exact value. */
static double time_weight(const double *times, int order, int j, double a, double b)
{
	enum { POINTS = 10000 };
	const deis_path d = deis_betas();
	double sum = 0;
	for (int i = 0; i < POINTS; i++) {
		double t = a + (b - a) * i / (POINTS - 1), grown = exp(t * (d.first + d.slope * t / 2));
		double product = (d.first + d.slope * t) * grown / (2 * sqrt(grown - 1)); /* of sigma over time */
		for (int k = 0; k < order; k++)
			if (k != j) product *= (t - times[k]) / (times[j] - times[k]);
		sum += product;
	}
	return sum * (b - a) / POINTS;
}

/* DEIS (Zhang and Chen 2023), polynomials in time ("tab"), as diff-sampler and ComfyUI have it. */
void solve_deis_times(solver *s)
{
	float *denoised = s->buffers[0], *past[MAX_ORDER] = { s->buffers[1], s->buffers[2], s->buffers[3], s->buffers[4] };
	double times[MAX_ORDER] = { 0 };
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(past, MAX_ORDER);
		shift_values(times, MAX_ORDER);
		times[0] = deis_time(now->from.sigma);
		slope_at(s, now->from, s->x, denoised, past[0]);
		int order = s->options.order < s->done ? s->options.order : s->done;
		if (now->to.sigma == 0) order = 1;
		double end = deis_time(now->to.sigma), euler = now->to.sigma - now->from.sigma;
		for (int j = 0; j < order; j++)
			MIX(s, s->x, { 1, s->x }, { order == 1 ? euler : time_weight(times, order, j, times[0], end), past[j] });
	}
}

/* Gradient estimation (Permenter and Yuan 2024) as ComfyUI has it: Euler's step along slope + (gamma - 1)·(slope - the
 * one before). */
void solve_gradient_estimation(solver *s)
{
	float *denoised = s->buffers[0], *past[2] = { s->buffers[1], s->buffers[2] };
	for (const path_step *now; (now = next_step(s));) {
		double h = now->to.sigma - now->from.sigma;
		double more = s->done > 1 && now->to.sigma > 0 ? s->options.gamma - 1 : 0;
		shift_arrays(past, 2);
		slope_at(s, now->from, s->x, denoised, past[0]);
		MIX(s, s->x, { 1, s->x }, { h * (1 + more), past[0] }, { -h * more, past[1] });
		add_guidance(s, now->to.alpha);
	}
}
