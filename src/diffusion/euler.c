/* euler.c - one evaluation a step, nothing remembered: Euler, Euler ancestral, DDIM and DDPM. */
#include "diffusion/solver.h"
#include <math.h>

/* CFG++ (Chung et al. 2024): the guided x0 with the unconditional noise. Ancestral as DDIM is, on flow, too. */
static void solve_euler_cfg_pp(solver *s)
{
	float *unconditional = s->buffers[0], *noise = s->buffers[1];
	for (const path_step *now; (now = next_step(s));) {
		noise_split part = split_noise(now->from, now->to, s->options.eta);
		predict(s, now->from, s->x, unconditional, noise);
		MIX(s, s->x, { now->to.alpha, unconditional }, { part.down, noise });
		add_guidance(s, now->to.alpha);
		add_noise(s, s->x, now->from, now->to, part.up, noise);
	}
}

/* x0 and noise are held over the step. eta = 0: Euler's method (Karras et al. 2022, algorithm 2 without churn), which
 * on a variance preserving path is DDIM (Song et al. 2021, equation 12); eta = 1: k-diffusion's Euler ancestral, or
 * DDIM with the variance of DDPM, or, on flow, ComfyUI's. */
void solve_euler(solver *s)
{
	if (s->guidance) {
		solve_euler_cfg_pp(s);
		return;
	}
	float *denoised = s->buffers[0], *noise = s->buffers[1];
	for (const path_step *now; (now = next_step(s));) {
		ancestral_step part = split_step(s, now);
		predict(s, now->from, s->x, denoised, noise);
		MIX(s, s->x, { part.grow * part.down.alpha, denoised }, { part.grow * part.down.sigma, noise });
		add_noise(s, s->x, now->from, now->to, part.up, noise);
	}
}

/* The posterior of Ho et al. 2020, equation 7. Its mean is DDIM's with eta = 1, but that x0 may be clipped here and the
 * noise follows it; the larger variance is beta of the step. */
void solve_ddpm(solver *s)
{
	float *denoised = s->buffers[0], *scratch = s->buffers[1];
	for (const path_step *now; (now = next_step(s));) {
		noise_split part = split_noise(now->from, now->to, 1);
		double shrink = now->from.alpha / now->to.alpha;
		double amount = s->options.large_variance ? sqrt(1 - shrink * shrink) : part.up;
		predict(s, now->from, s->x, denoised, NULL);
		move(s, s->x, s->x, now->from, now->to.alpha, part.down, denoised);
		add_noise(s, s->x, now->from, now->to, now->from.t > 0 ? amount : 0, scratch);
	}
}
