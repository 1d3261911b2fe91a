/* sa.c - SA-Solver (Xue et al. 2023, arXiv 2309.05019): Adams' predictor and corrector for the stochastic equation, in
 * lambda = log(alpha/sigma), as ComfyUI has it. Noise is drawn in the middle of the path alone. */
#include "diffusion/solver.h"
#include <math.h>

typedef struct sa {
	float *guesses[MOST_POWERS]; /* of x0, the newest first */
	double lambdas[MOST_POWERS]; /* of where they were made */
	int known;
	float *base, *noise; /* x where the step before began, corrected; the noise that it drew */
	path_point from;     /* where that was */
	double tau;          /* how much noise that step drew, 0 … eta */
} sa;

/* Between the times 0.8 and 0.2 of the model, as shares of all, and at both: even spacings of betas' times meet them.
 */
static double tau_at(const solver *s, double sigma)
{
	const trajectory *p = s->path;
	double last = p->schedule ? p->schedule->count - 1 : 0, shift = p->shift > 0 ? p->shift : 1;
	double high = p->schedule ? sigma_of_timestep(p->schedule, 0.8 * last) : shift_sigma(0.8, shift);
	double low = p->schedule ? sigma_of_timestep(p->schedule, 0.2 * last) : shift_sigma(0.2, shift);
	double slack = p->schedule ? 1e-6 : 0; /* sigmas may have been floats */
	return sigma <= high * (1 + slack) && sigma >= low * (1 - slack) ? s->options.eta : 0;
}

/* Weights of the newest `order` guesses over the step of length h that begins at `lambda`: the integral of mu·e^(mu·x)
 * times the polynomial through them, x the distance from the end and mu = 1 + tau². */
static void weights(
    const solver *s, const sa *a, int order, double lambda, double h, double tau, bool corrects, double *w)
{
	double mu = 1 + tau * tau, fade = exp(-mu * h), r[MOST_POWERS], b[MOST_POWERS];
	if (s->options.simple_order_2 && order == 2) {
		double half = mu * h / 2;
		w[corrects ? 0 : 1] = corrects ? half : half * h / (a->lambdas[1] - lambda);
		w[corrects ? 1 : 0] = 1 - fade - w[corrects ? 0 : 1];
		return;
	}
	for (int i = 0; i < order; i++) {
		r[i] = a->lambdas[i] - lambda - h;
		b[i] = (i ? 0 : 1) - pow(-h, i) * fade - (i ? i / mu * b[i - 1] : 0);
	}
	solve_powers(r, b, w, order);
}

/* x at `to` from a->base at `from`, with `order` guesses, and the noise of this step. */
static void advance(solver *s, const sa *a, path_point from, path_point to, int order, bool corrects)
{
	double w[MOST_POWERS], h = lambda_of(to) - lambda_of(from), tau = a->tau;
	weights(s, a, order, lambda_of(from), h, tau, corrects, w);
	MIX(s, s->x, { to.sigma / from.sigma * exp(-tau * tau * h), a->base });
	for (int i = 0; i < order; i++) MIX(s, s->x, { 1, s->x }, { to.alpha * w[i], a->guesses[i] });
	if (tau > 0) MIX(s, s->x, { 1, s->x }, { to.sigma * sqrt(-expm1(-2 * tau * tau * h)), a->noise });
}

static int least(int a, int b) { return a < b ? a : b; }

void solve_sa(solver *s)
{
	sa a = { .base = s->buffers[1], .noise = s->buffers[2] };
	const sampler_options *o = &s->options;
	bool to_zero = s->path->steps[s->path->count - 1].to.sigma == 0;
	for (int i = 0; i < MOST_POWERS; i++) a.guesses[i] = s->buffers[3 + i];
	for (const path_step *now; (now = next_step(s));) {
		int left = s->path->count - step_index(s); /* steps, with this one */
		shift_arrays(a.guesses, MOST_POWERS);
		shift_values(a.lambdas, MOST_POWERS);
		a.lambdas[0] = lambda_of(now->from);
		predict(s, now->from, s->x, s->buffers[0], NULL);
		MIX(s, a.guesses[0], { 1, s->buffers[0] });
		a.known = least(a.known + 1, MOST_POWERS);

		int correct =
		    s->done == 1 || (now->to.sigma == 0 && !o->evaluates_twice) ? 0 : least(o->corrector_order, a.known);
		if (to_zero) correct = least(correct, left);
		if (correct) {
			advance(s, &a, a.from, now->from, correct, true);
			if (o->evaluates_twice) predict(s, now->from, s->x, s->buffers[0], NULL);
			if (o->evaluates_twice) MIX(s, a.guesses[0], { 1, s->buffers[0] });
		}
		MIX(s, a.base, { 1, s->x });
		a.from = now->from;
		if (now->to.sigma == 0) {
			MIX(s, s->x, { 1, a.guesses[0] });
			continue;
		}
		a.tau = tau_at(s, now->to.sigma);
		MIX(s, a.noise, { 0, a.noise });
		if (a.tau > 0) add_noise(s, a.noise, now->from, now->to, 1, s->buffers[0]);
		int predicts = least(o->order, a.known);
		if (to_zero) predicts = least(predicts, left - 1);
		advance(s, &a, now->from, now->to, predicts, false);
	}
}
