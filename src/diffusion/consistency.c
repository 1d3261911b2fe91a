/* consistency.c - samplers for distilled models, a few steps each of which guesses the picture: LCM and TCD. */
#include "diffusion/solver.h"
#include <math.h>

/* Latent consistency (Luo et al. 2023): the guess, blended with x near t = 0 by the boundary condition, is noised
 * again. */
void solve_lcm(solver *s)
{
	float *denoised = s->buffers[0], *scratch = s->buffers[1];
	for (const path_step *now; (now = next_step(s));) {
		double t = now->from.t * s->options.boundary_scale, data = 0.5; /* deviation of the data, as in training */
		double skip = data * data / (t * t + data * data), out = t / sqrt(t * t + data * data);
		predict(s, now->from, s->x, denoised, NULL);
		if (s->options.boundary_scale > 0) MIX(s, denoised, { out, denoised }, { skip, s->x });
		MIX(s, s->x, { now->to.alpha, denoised });
		add_noise(s, s->x, now->from, now->to, is_last_step(s) ? 0 : now->to.sigma, scratch);
	}
}

/* Trajectory consistency (Zheng et al. 2024): straight to the noise of time (1 - eta)·t', from there up to t' with
 * fresh noise. eta is the paper's gamma. */
void solve_tcd(solver *s)
{
	float *denoised = s->buffers[0], *noise = s->buffers[1];
	for (const path_step *now; (now = next_step(s));) {
		double a0 = s->path->schedule->alphas_cumprod[0];
		path_point low = point_of_timestep(s->path->schedule, floor((1 - s->options.eta) * now->to.t), a0);
		predict(s, now->from, s->x, denoised, noise);
		MIX(s, s->x, { low.alpha, denoised }, { low.sigma, noise });
		double up = now->to.alpha / low.alpha;
		if (is_last_step(s) || s->options.eta == 0) continue;
		MIX(s, s->x, { up, s->x });
		add_noise(s, s->x, now->from, now->to, sqrt(1 - up * up), noise);
	}
}
