/* singlestep.c - DPM-Solver++ whose later evaluations lie inside the step: 2S, 2S ancestral and SDE. */
#include "diffusion/solver.h"
#include <math.h>
#include <string.h>

/* Half way in lambda from flow's sigma 1, where lambda is infinite; ComfyUI's. */
static const double NEARLY_NOISE = 0.9999;

/* The guesses that a step with CFG++ goes on: the unconditional ones, to whose end the guidance of the beginning is
 * added, or, with guides_middle, as ComfyUI had it until 2025, the guided ones: x is first taken for that of the guided
 * guess and the unconditional noise, and in the whole step with the unconditional guess of the middle, which takes away
 * some of the noise. */
static const float *begin_guided(solver *s, double alpha, float *denoised, float *ahead)
{
	if (!s->guidance || !s->options.guides_middle) return s->x;
	MIX(s, ahead, { 1, s->x }, { alpha, s->guidance });
	take_guidance(s, denoised);
	return ahead;
}

static void end_guided(solver *s, double alpha, const float *denoised, float *middle_guess)
{
	if (!s->guidance || !s->options.guides_middle) return;
	MIX(s, s->x, { 1, s->x }, { alpha, denoised }, { -alpha, middle_guess });
	take_guidance(s, middle_guess);
}

/* k-diffusion's DPM++ 2S a: half way in lambda to the lower sigma of an ancestral step, the whole step with the guess
 * from there, up again with noise. */
void solve_dpmpp_2s_ancestral(solver *s)
{
	float *denoised = s->buffers[0], *middle_guess = s->buffers[1], *ahead = s->buffers[2];
	for (const path_step *now; (now = next_step(s));) {
		ancestral_step part = split_step(s, now);
		const float *guess = denoised;
		predict(s, now->from, s->x, denoised, NULL);
		const float *x = begin_guided(s, now->from.alpha, denoised, ahead);
		if (part.down.sigma > 0) {
			double ratio = sqrt(ratio_of(now->from) * ratio_of(part.down));
			path_point middle = isinf(ratio) ? point_of_sigma(s->path, NEARLY_NOISE) : point_of_ratio(s->path, ratio);
			float *guidance = s->guidance;
			if (guidance) s->guidance = s->buffers[3];
			move(s, ahead, x, now->from, middle.alpha, middle.sigma, denoised);
			predict(s, middle, ahead, middle_guess, NULL);
			end_guided(s, now->from.alpha, denoised, middle_guess);
			s->guidance = guidance;
			guess = middle_guess;
		}
		move(s, s->x, s->x, now->from, part.down.alpha, part.down.sigma, guess);
		if (part.grow != 1) MIX(s, s->x, { part.grow, s->x });
		add_guidance(s, now->to.alpha); /* of the beginning; 0 where it was taken */
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

/* The order of a step of the solver below: groups of `order` steps, of orders 1, 2, 3. */
static int singlestep_order(const solver *s, const path_step *now)
{
	int order = s->options.order, left_out = s->path->skipped, count = s->path->count + left_out;
	bool whole = s->options.lower_order_final && count % order == 0;
	return is_last_step(s) && (whole || now->to.sigma == 0) ? 1 : (step_index(s) + left_out) % order + 1;
}

/* diffusers' singlestep DPM-Solver (Lu et al. 2022): steps go in groups, and each step of a group starts over from
 * where the group started, with the guesses m of the steps before it. eta, heun, noise_form as in multistep.c, whose
 * formula this is, but that the derivatives D1 and D2 are taken at the group's start, and h is from there. A start
 * that has no finite lambda (flow from noise alone) is a group of its own. */
void solve_dpmpp_2s(solver *s)
{
	const sampler_options *o = &s->options;
	float *past[3] = { s->buffers[1], s->buffers[2], s->buffers[3] }, *start = s->buffers[4], *scratch = s->buffers[5];
	path_point points[3] = { 0 }; /* where the guesses were made, the newest first */
	int known = 0;
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(past, 3);
		memmove(points + 1, points, 2 * sizeof *points);
		points[0] = now->from;
		predict(s, now->from, s->x, s->buffers[0], o->noise_form ? past[0] : NULL);
		if (!o->noise_form) MIX(s, past[0], { 1, s->buffers[0] });
		known += known < 3;
		int order = singlestep_order(s, now);
		if (order > known) order = known;
		if (now->from.alpha == 0) known = 0;
		if (order == 1) MIX(s, start, { 1, s->x });

		path_point origin = points[order - 1];
		double lambda = lambda_of(origin), h = lambda_of(now->to) - lambda, fade = o->eta > 0 ? exp(-o->eta * h) : 1;
		double lead = o->noise_form ? now->to.alpha / origin.alpha : now->to.sigma / origin.sigma * fade;
		double k = o->noise_form ? now->to.sigma : now->to.alpha, H = o->noise_form ? h : -h * (1 + o->eta);
		double c0 = expm1(H), m0 = 0, m1 = 0; /* factors of the newest guess and the one before it, less the start's */
		if (order > 1) {
			double r0 = (lambda_of(points[0]) - lambda) / h, c1 = order > 2 || o->heun ? c0 / H - 1 : c0 / 2;
			m0 = c1 / r0;
			if (order > 2 && o->heun) {
				double r1 = (lambda_of(points[1]) - lambda) / h;
				double c2 = (c0 - H) / (H * H) + (o->plus_half && o->eta > 0 ? 0.5 : -0.5);
				m0 = (2 * c2 - r1 * c1) / (r0 - r1) / r0;
				m1 = (r0 * c1 - 2 * c2) / (r0 - r1) / r1;
			}
		}
		if (order == 1)
			MIX(s, s->x, { lead, start }, { -k * c0, past[0] });
		else
			MIX(s, s->x, { lead, start }, { -k * (c0 - m0 - m1), past[order - 1] }, { -k * m0, past[0] },
			    { -k * m1, past[1] });
		double amount = o->eta > 0 ? now->to.sigma * sqrt(-expm1(-2 * o->eta * h)) : 0;
		add_noise(s, s->x, now->from, now->to, amount, scratch);
	}
}
