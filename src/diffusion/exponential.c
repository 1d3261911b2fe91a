/* exponential.c - exponential integrators on x0 in lambda = log(alpha/sigma) or in log sigma: RES multistep, ER-SDE and
 * SEEDS, as ComfyUI has them. */
#include "diffusion/solver.h"
#include <math.h>

/* h·phi_2(h) of exponential integrators; h·phi_1(h) is expm1(h). */
static double h_phi_2(double h) { return (expm1(h) - h) / h; }

/* RES multistep (Zhang et al. 2023, arXiv 2308.02157), second order in log sigma: from slope x0 - x over log sigma,
 * which holds on flow, too. eta = 1: ancestral; the guess before is then where its own step ended, before fresh noise.
 */
void solve_res_multistep(solver *s)
{
	float *past[2] = { s->buffers[1], s->buffers[2] }, *scratch = s->buffers[3];
	double before = 0, down_before = 0; /* sigma of the step before: its start, and where it ended without noise */
	for (const path_step *now; (now = next_step(s));) {
		ancestral_step part = split_step(s, now);
		double sigma = now->from.sigma, down = part.down.sigma, kept = down / sigma, h = -log(kept), old = 0;
		shift_arrays(past, 2);
		predict(s, now->from, s->x, s->buffers[0], NULL);
		MIX(s, past[0], { 1, s->buffers[0] });
		bool second = s->done > 1 && down > 0;
		if (second) { /* the guess before lies at c = log(its end/its start), over h */
			double c = log(down_before / before) / h;
			old = -h_phi_2(-h) / c;
			add_guidance(s, now->to.alpha);
		}
		MIX(s, s->x, { kept, s->x }, { 1 - kept - old, past[0] }, { old, past[1] });
		if (!second) add_guidance(s, now->to.alpha);
		if (part.grow != 1) MIX(s, s->x, { part.grow, s->x });
		add_noise(s, s->x, now->from, now->to, part.up, scratch);
		before = sigma;
		down_before = down;
	}
}

/* How fast ER-SDE forgets its noise at a ratio of sigma to alpha: the paper's phi, scaled down to eta; eta = 0 is the
 * ordinary differential equation. */
static double noise_scale(double ratio, double eta) { return ratio * (1 + eta * (exp(pow(ratio, 0.3)) + 9)); }

/* ER-SDE-Solver-3 (Cui et al. 2023, arXiv 2309.06169): stages are orders. Its integrals are sums over 200 points. */
void solve_er_sde(solver *s)
{
	enum { POINTS = 200 };
	float *past[3] = { s->buffers[1], s->buffers[2], s->buffers[3] }, *scratch = s->buffers[4];
	double ratios[3] = { 0 }, eta = s->options.eta;
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(past, 3);
		shift_values(ratios, 3);
		predict(s, now->from, s->x, s->buffers[0], NULL);
		MIX(s, past[0], { 1, s->buffers[0] });
		double start = ratios[0] = ratio_of(now->from), end = ratio_of(now->to), step = (start - end) / POINTS;
		double scale = noise_scale(end, eta), r = scale / noise_scale(start, eta), alpha = now->to.alpha;
		double sum = 0, moment = 0, slope = 0, curve = 0;
		int stages = s->options.order < s->done ? s->options.order : s->done;
		if (end == 0) stages = 1;
		for (int i = 0; stages > 1 && i < POINTS; i++) {
			double at = end + i * step;
			sum += step / noise_scale(at, eta);
			moment += step * (at - start) / noise_scale(at, eta);
		}
		if (stages > 1) slope = (end - start + sum * scale) / (start - ratios[1]);
		if (stages > 2) curve = ((end - start) * (end - start) / 2 + moment * scale) / ((start - ratios[2]) / 2);
		/* slope·(m0 - m1) + curve·((m0 - m1)/(r0 - r1) - (m1 - m2)/(r1 - r2)) */
		double a = slope + (stages > 2 ? curve / (start - ratios[1]) : 0);
		double b = stages > 2 ? curve / (ratios[1] - ratios[2]) : 0;
		MIX(s, s->x, { alpha / now->from.alpha * r, s->x }, { alpha * (1 - r + a), past[0] },
		    { alpha * (-a - b), past[1] }, { alpha * b, past[2] });
		double amount = sqrt(fmax(0, end * end - start * start * r * r));
		add_noise(s, s->x, now->from, now->to, eta > 0 ? alpha * amount : 0, scratch);
	}
}

/* ── SEEDS (Gonzalez et al. 2023, arXiv 2305.14267) ── */

typedef struct seeds {
	const path_step *now;
	double lambda, h;       /* where the step begins, and how long it is in lambda */
	double reached;         /* as far as the noise goes, in lambda */
	path_point at;          /* likewise */
	float *noise, *scratch; /* in units of sigma; all that was drawn in this step */
} seeds;

/* Draws the noise of the way from what was reached to a point. */
static void go_on(solver *s, seeds *y, path_point to)
{
	double lambda = lambda_of(to), length = s->options.eta * (lambda - y->reached);
	MIX(s, y->noise, { y->reached == y->lambda ? 0 : exp(-length), y->noise });
	add_noise(s, y->noise, y->at, to, sqrt(-expm1(-2 * length)), y->scratch);
	y->reached = lambda;
	y->at = to;
}

/* out = x at a point, from where the step began, with two guesses of x0, whose weights are -a and -b. */
static void stage(
    solver *s, seeds *y, path_point to, double a, const float *first, double b, const float *second, float *out)
{
	double lead = to.sigma / y->now->from.sigma * exp(-s->options.eta * (lambda_of(to) - y->lambda));
	go_on(s, y, to);
	MIX(s, out, { lead, s->x }, { -to.alpha * a, first }, { -to.alpha * b, second }, { to.sigma, y->noise });
}

static path_point part_way(const solver *s, const seeds *y, double share)
{
	return point_of_ratio(s->path, exp(-(y->lambda + share * y->h)));
}

/* The last step, to no noise at all, is the guess itself; true: it was that one. */
static bool begin(solver *s, seeds *y, const path_step *now, float *denoised)
{
	predict(s, now->from, s->x, denoised, NULL);
	if (now->to.sigma == 0) {
		MIX(s, s->x, { 1, denoised });
		return true;
	}
	double lambda = lambda_of(now->from);
	*y = (seeds){ now, lambda, lambda_of(now->to) - lambda, lambda, now->from, s->buffers[1], s->buffers[2] };
	return false;
}

void solve_seeds_2(solver *s)
{
	float *denoised = s->buffers[0], *guess = s->buffers[3], *ahead = s->buffers[4];
	seeds y;
	for (const path_step *now; (now = next_step(s));) {
		if (begin(s, &y, now, denoised)) continue;
		double h = -y.h * (1 + s->options.eta);
		path_point middle = part_way(s, &y, 1 / 2.);
		stage(s, &y, middle, expm1(h / 2), denoised, 0, denoised, ahead);
		predict(s, middle, ahead, guess, NULL);
		stage(s, &y, now->to, 0, denoised, expm1(h), guess, s->x);
	}
}

void solve_seeds_3(solver *s)
{
	float *denoised = s->buffers[0], *guess = s->buffers[3], *ahead = s->buffers[4];
	const double r1 = 1 / 3., r2 = 2 / 3.;
	seeds y;
	for (const path_step *now; (now = next_step(s));) {
		if (begin(s, &y, now, denoised)) continue;
		double h = -y.h * (1 + s->options.eta), b = r2 / r1 * h_phi_2(r2 * h), c = h_phi_2(h) / r2;
		path_point first = part_way(s, &y, r1), second = part_way(s, &y, r2);
		stage(s, &y, first, expm1(r1 * h), denoised, 0, denoised, ahead);
		predict(s, first, ahead, guess, NULL);
		stage(s, &y, second, expm1(r2 * h) - b, denoised, b, guess, ahead);
		predict(s, second, ahead, guess, NULL);
		stage(s, &y, now->to, expm1(h) - c, denoised, c, guess, s->x);
	}
}
