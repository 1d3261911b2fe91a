/* multistep.c - DPM-Solver++ (Lu et al. 2022) and its stochastic variants as k-diffusion has them, and DPM-Solver. All
 * work in lambda = log(alpha/sigma), in which the linear part of the equation is solved exactly; h is the step in
 * lambda. */
#include "diffusion/solver.h"
#include <math.h>

/* Multistep of first to third order. eta = 1 is the SDE; noise_form integrates the noise (DPM-Solver) instead of x0.
 * With H = -h(1 + eta), or h for the noise form, and k = alpha, or sigma(1 + eta), at the end, the step is
 *
 *     x' = lead·x - k·(c0·D0 + c1·D1 + c2·D2),  c0 = e^H - 1
 *
 * where D1 and D2 are the derivatives by h of the guesses D at the last two or three points: from the slopes a (the
 * last two) and b (the two before), D1 = a + r0/(r0 + r1)·(a - b) and D2 = (a - b)/(r0 + r1), r0 and r1 their lengths
 * over h. */
void solve_dpmpp_multistep(solver *s)
{
	const sampler_options *o = &s->options;
	float *past[3] = { s->buffers[1], s->buffers[2], s->buffers[3] }, *scratch = s->buffers[4];
	double steps[3] = { 0 }; /* h of this step, of the one before, … */
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(past, 3);
		shift_values(steps, 3);
		double h = steps[0] = lambda_of(now->to) - lambda_of(now->from);
		predict(s, now->from, s->x, s->buffers[0], o->noise_form ? past[0] : NULL);
		if (!o->noise_form) MIX(s, past[0], { 1, s->buffers[0] });

		int order = order_of_step(s, now, s->done < 3 ? s->done : 3);
		double fade = o->eta > 0 ? exp(-o->eta * h) : 1;
		double lead = o->noise_form ? now->to.alpha / now->from.alpha : now->to.sigma / now->from.sigma * fade;
		double k = o->noise_form ? now->to.sigma * (1 + o->eta) : now->to.alpha,
		       H = o->noise_form ? h : -h * (1 + o->eta);
		double c0 = expm1(H), c1 = 0, c2 = 0, r0 = 1, r1 = 1;
		if (order > 1) {
			r0 = steps[1] / h;
			c1 = order > 2 || o->heun ? c0 / H - 1 : c0 / 2;
		}
		if (order > 2) {
			r1 = steps[2] / h;
			c2 = (c0 - H) / (H * H) + (o->plus_half && o->eta > 0 ? 0.5 : -0.5);
		}
		double curve = order > 2 ? (c1 * r0 + c2) / (r0 + r1) : 0;
		double a = c1 + curve, b = -curve;
		if (order == 1)
			MIX(s, s->x, { lead, s->x }, { -k * c0, past[0] });
		else
			MIX(s, s->x, { lead, s->x }, { -k * (c0 + a / r0), past[0] }, { k * (a / r0 - b / r1), past[1] },
			    { k * b / r1, past[order > 2 ? 2 : 1] });
		add_guidance(
		    s, now->to.alpha - (order > 1 ? k * a / r0 : 0)); /* CFG++: the newest slope is the guided guess's */
		double amount = o->eta > 0 ? now->to.sigma * sqrt(fabs(expm1((o->noise_form ? 2 : -2) * o->eta * h))) : 0;
		add_noise(s, s->x, now->from, now->to, amount, scratch);
	}
}
