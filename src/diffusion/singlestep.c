/* singlestep.c - DPM-Solver++ of second order whose second evaluation lies inside the step: 2S, 2S ancestral and SDE.
 */
#include "diffusion/solver.h"
#include <math.h>

/* Half way in lambda from flow's sigma 1, where lambda is infinite; ComfyUI's. */
static const double NEARLY_NOISE = 0.9999;

/* k-diffusion's DPM++ 2S a: half way in lambda to the lower sigma of an ancestral step, the whole step with the guess
 * from there, up again with noise. */
void solve_dpmpp_2s_ancestral(solver *s)
{
	float *denoised = s->buffers[0], *middle_guess = s->buffers[1], *ahead = s->buffers[2];
	for (const path_step *now; (now = next_step(s));) {
		ancestral_step part = split_step(s, now);
		const float *guess = denoised;
		predict(s, now->from, s->x, denoised, NULL);
		if (part.down.sigma > 0) {
			double ratio = sqrt(ratio_of(now->from) * ratio_of(part.down));
			path_point middle = isinf(ratio) ? point_of_sigma(s->path, NEARLY_NOISE) : point_of_ratio(s->path, ratio);
			move(s, ahead, s->x, now->from, middle.alpha, middle.sigma, denoised);
			predict(s, middle, ahead, middle_guess, NULL);
			guess = middle_guess;
		}
		move(s, s->x, s->x, now->from, part.down.alpha, part.down.sigma, guess);
		if (part.grow != 1) MIX(s, s->x, { part.grow, s->x });
		add_noise(s, s->x, now->from, now->to, part.up, ahead);
	}
}

/* k-diffusion's DPM++ SDE with r = 1/2: both the half step and the whole one draw noise. */
void solve_dpmpp_sde(solver *s)
{
	float *denoised = s->buffers[0], *middle_guess = s->buffers[1], *ahead = s->buffers[2], *scratch = s->buffers[3];
	for (const path_step *now; (now = next_step(s));) {
		noise_split part = split_noise(now->from, now->to, s->options.eta);
		const float *guess = denoised;
		predict(s, now->from, s->x, denoised, NULL);
		if (now->to.sigma > 0) {
			path_point middle = point_of_ratio(s->path, sqrt(ratio_of(now->from) * ratio_of(now->to)));
			noise_split half = split_noise(now->from, middle, s->options.eta);
			move(s, ahead, s->x, now->from, middle.alpha, half.down, denoised);
			add_noise(s, ahead, now->from, middle, half.up, scratch);
			predict(s, middle, ahead, middle_guess, NULL);
			guess = middle_guess; /* (1 - 1/(2r))·here + 1/(2r)·middle */
		}
		move(s, s->x, s->x, now->from, now->to.alpha, part.down, guess);
		add_noise(s, s->x, now->from, now->to, part.up, scratch);
	}
}

/* diffusers' singlestep solver of second order: steps go in pairs, the first of a pair is of first order, the second
 * starts over from where the pair started with the slope between the two guesses. A last step to sigma 0 is of first
 * order and so is one without a partner, and one from noise alone, which has no finite lambda. */
void solve_dpmpp_2s(solver *s)
{
	float *denoised = s->buffers[0], *first = s->buffers[1], *start = s->buffers[2];
	path_point origin = { 0 };
	bool paired = false; /* the step before was the first of a pair */
	for (const path_step *now; (now = next_step(s));) {
		bool second = paired && now->to.sigma > 0;
		paired = !second && now->from.alpha > 0;
		predict(s, now->from, s->x, denoised, NULL);
		if (second) {
			double lambda = -log(ratio_of(origin)), h = -log(ratio_of(now->to)) - lambda;
			double r = (-log(ratio_of(now->from)) - lambda) / h, k = -now->to.alpha * expm1(-h);
			MIX(s, s->x, { now->to.sigma / origin.sigma, start }, { k * (1 - 0.5 / r), first },
			    { k * 0.5 / r, denoised });
			continue;
		}
		MIX(s, start, { 1, s->x });
		MIX(s, first, { 1, denoised });
		origin = now->from;
		move(s, s->x, s->x, now->from, now->to.alpha, now->to.sigma, denoised);
	}
}
