/* heun.c - two evaluations a step, or some remembered, on dx/dsigma: Heun, Restart, DPM2 and LMS. These need a variance
 * exploding path, where dx/dsigma is the noise, or one of flow, where it is the velocity noise - x0. */
#include "diffusion/solver.h"
#include <math.h>

static void slope_at(solver *s, path_point at, const float *x, float *denoised, float *slope)
{
	predict(s, at, x, denoised, slope);
	if (s->options.clip > 0) MIX(s, slope, { 1 / at.sigma, x }, { -at.alpha / at.sigma, denoised });
	if (s->path->form == FLOW_MATCHING) MIX(s, slope, { 1, slope }, { -1, denoised });
}

/* Heun's method (Karras et al. 2022, algorithm 1 without churn). Where a path jumps up to more noise than the last step
 * left (Restart: Xu et al. 2023), that noise is added; on flow the latent shrinks with it. */
void solve_heun(solver *s)
{
	float *denoised = s->buffers[0], *slope = s->buffers[1], *ahead = s->buffers[2], *second = s->buffers[3];
	path_point reached = { 0, 1, INFINITY };
	for (const path_step *now; (now = next_step(s));) {
		double sigma = now->from.sigma, h = now->to.sigma - sigma;
		if (sigma > reached.sigma) {
			double grow = now->from.alpha / reached.alpha, kept = grow * reached.sigma;
			MIX(s, s->x, { grow, s->x });
			add_noise(s, s->x, now->from, now->to, sqrt(sigma * sigma - kept * kept), slope);
		}
		reached = now->to;
		slope_at(s, now->from, s->x, denoised, slope);
		if (now->to.sigma > 0) {
			MIX(s, ahead, { 1, s->x }, { h, slope });
			slope_at(s, now->to, ahead, s->buffers[4], second);
			MIX(s, slope, { 0.5, slope }, { 0.5, second });
		}
		MIX(s, s->x, { 1, s->x }, { h, slope });
	}
}

/* DPM-Solver-2 as k-diffusion has it: the slope is taken half way in log sigma. eta = 1: to the lower sigma of an
 * ancestral step, then up again with noise. */
void solve_dpm2(solver *s)
{
	float *denoised = s->buffers[0], *slope = s->buffers[1], *ahead = s->buffers[2];
	for (const path_step *now; (now = next_step(s));) {
		double sigma = now->from.sigma;
		ancestral_step part = split_step(s, now);
		slope_at(s, now->from, s->x, denoised, slope);
		if (part.down.sigma > 0) {
			path_point middle = point_of_sigma(s->path, sqrt(sigma * part.down.sigma));
			MIX(s, ahead, { 1, s->x }, { middle.sigma - sigma, slope });
			slope_at(s, middle, ahead, s->buffers[3], slope);
		}
		MIX(s, s->x, { part.grow, s->x }, { part.grow * (part.down.sigma - sigma), slope });
		add_noise(s, s->x, now->from, now->to, part.up, ahead);
	}
}

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
