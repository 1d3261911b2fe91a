/* unipc.c - UniPC (Zhao et al. 2023), multistep, as diffusers has it: a predictor, and before the next step a corrector
 * that uses the evaluation made there, so it costs none. Orders 1 to 3. */
#include "diffusion/solver.h"
#include <math.h>

enum { MAX_ORDER = 3 };

typedef struct unipc {
	float *guesses[MAX_ORDER + 1]; /* of x0 or the noise, the newest first */
	double lambdas[MAX_ORDER + 1]; /* of the points where they were made */
	float *base;                   /* x where the step began */
	path_point from;
	int order; /* of the step before */
} unipc;

/* One step of B(h) form from u->base at u->from to a point, with the guesses from `newest` on; with `ahead` (the guess
 * at the point itself) it is the corrector, without the predictor. */
static void update(solver *s, const unipc *u, path_point to, int newest, int order, const float *ahead, float *out)
{
	bool noise_form = s->options.noise_form;
	double lambda = u->lambdas[newest], h = lambda_of(to) - lambda, signed_h = noise_form ? h : -h;
	double first = expm1(signed_h), scale = s->options.bh1 ? signed_h : first;
	double lead = noise_form ? to.alpha / u->from.alpha : to.sigma / u->from.sigma;
	double k = noise_form ? to.sigma : to.alpha;
	const float *const *g = (const float *const *)&u->guesses[newest];
	MIX(s, out, { lead, u->base }, { -k * first, g[0] });
	if (order == 1 && !ahead) return;

	double r[MAX_ORDER], b[MAX_ORDER], w[MAX_ORDER], phi = first / signed_h - 1, factorial = 1;
	for (int i = 0; i < order; i++) {
		r[i] = i < order - 1 ? (u->lambdas[newest + 1 + i] - lambda) / h : 1;
		b[i] = phi * factorial / scale;
		factorial *= i + 2;
		phi = phi / signed_h - 1 / factorial;
	}
	if (ahead ? order == 1 : order == 2)
		w[0] = 0.5; /* as the paper's code has it, whatever B(h) */
	else
		solve_powers(r, b, w, ahead ? order : order - 1);
	for (int i = 0; i < order - 1; i++) {
		double c = -k * scale * w[i] / r[i];
		MIX(s, out, { 1, out }, { c, g[1 + i] }, { -c, g[0] });
	}
	if (ahead) {
		double c = -k * scale * w[order - 1];
		MIX(s, out, { 1, out }, { c, ahead }, { -c, g[0] });
	}
}

void solve_unipc(solver *s)
{
	unipc u = { .base = s->buffers[5] };
	int most = s->options.order < MAX_ORDER ? s->options.order : MAX_ORDER, known = 0;
	for (int i = 0; i <= MAX_ORDER; i++) u.guesses[i] = s->buffers[1 + i];
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(u.guesses, MAX_ORDER + 1);
		shift_values(u.lambdas, MAX_ORDER + 1);
		u.lambdas[0] = lambda_of(now->from);
		predict(s, now->from, s->x, s->buffers[0], s->options.noise_form ? u.guesses[0] : NULL);
		if (!s->options.noise_form) MIX(s, u.guesses[0], { 1, s->buffers[0] });
		int step = step_index(s) + s->path->skipped; /* the first has nothing to correct */
		bool corrected = step > 64 || (step > 0 && !(s->options.uncorrected >> (step - 1) & 1));
		if (known && corrected) update(s, &u, now->from, 1, u.order, u.guesses[0], s->x);

		bool infinite = isinf(u.lambdas[0]); /* flow from noise alone: first order, and nothing to remember */
		if (infinite) known = 0;
		int rest = s->path->count - step_index(s);
		u.order = s->options.lower_order_final && rest < most ? rest : most;
		if (u.order > known + 1) u.order = known + 1;
		known += known < most && !infinite;
		MIX(s, u.base, { 1, s->x });
		u.from = now->from;
		update(s, &u, now->to, 0, u.order, NULL, s->x);
	}
}
