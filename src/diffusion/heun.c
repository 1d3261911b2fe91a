/* heun.c - two or three evaluations a step on dx/dsigma: Heun, Restart, Heun++ and DPM2. These need a variance
 * exploding path or one of flow (slope_at). */
#include "diffusion/solver.h"
#include <math.h>

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

/* Heun++ as ComfyUI has it: the slopes here, at the end of this step and at the end of the next one, weighted by their
 * sigmas as shares of the first of the path. */
void solve_heunpp2(solver *s)
{
	float *denoised = s->buffers[0], *first = s->buffers[1], *second = s->buffers[2], *third = s->buffers[3],
	      *ahead = s->buffers[4], *guess = s->buffers[5];
	double top = s->path->steps[0].from.sigma;
	for (const path_step *now; (now = next_step(s));) {
		double h = now->to.sigma - now->from.sigma, w2 = 0, w3 = 0;
		bool further = !is_last_step(s) && (now + 1)->to.sigma > 0;
		slope_at(s, now->from, s->x, denoised, first);
		if (now->to.sigma > 0) {
			w2 = now->to.sigma / ((further ? 3 : 2) * top);
			MIX(s, ahead, { 1, s->x }, { h, first });
			slope_at(s, now->to, ahead, guess, second);
		}
		if (now->to.sigma > 0 && further) {
			path_point end = (now + 1)->to;
			w3 = end.sigma / (3 * top);
			MIX(s, ahead, { 1, ahead }, { end.sigma - now->to.sigma, second });
			slope_at(s, end, ahead, guess, third);
		}
		MIX(s, s->x, { 1, s->x }, { h * (1 - w2 - w3), first }, { h * w2, second }, { h * w3, third });
	}
}
