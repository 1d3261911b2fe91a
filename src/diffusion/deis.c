/* deis.c - DEIS (Zhang and Chen 2023) with polynomials in log rho, rho = sigma/alpha, as diffusers has it: the noise is
 * extrapolated through the last points and integrated exactly. Orders 1 to 3. */
#include "diffusion/solver.h"
#include <math.h>

enum { MAX_ORDER = 3 };

/* The antiderivative of (log rho)^power. */
static double integral(double rho, int power)
{
	double l = log(rho);
	if (rho == 0) return 0;
	return power == 0 ? rho : power == 1 ? rho * (l - 1) : rho * (l * l - 2 * l + 2);
}

/* The integral from rho a to b of the polynomial in log rho that is 1 at node j and 0 at the others. */
static double weight(const double *nodes, int order, int j, double a, double b)
{
	double coefficients[MAX_ORDER] = { 1 }, sum = 0;
	for (int k = 0, degree = 0; k < order; k++) {
		if (k == j) continue;
		double root = log(nodes[k]), scale = 1 / (log(nodes[j]) - root);
		for (int i = ++degree; i >= 0; i--)
			coefficients[i] = scale * ((i ? coefficients[i - 1] : 0) - (i < degree ? root * coefficients[i] : 0));
	}
	for (int i = 0; i < order; i++) sum += coefficients[i] * (integral(b, i) - integral(a, i));
	return sum;
}

void solve_deis(solver *s)
{
	float *denoised = s->buffers[0], *past[MAX_ORDER] = { s->buffers[1], s->buffers[2], s->buffers[3] };
	double rhos[MAX_ORDER] = { 0 };
	int known = 0; /* points with a finite rho */
	for (const path_step *now; (now = next_step(s));) {
		shift_arrays(past, MAX_ORDER);
		shift_values(rhos, MAX_ORDER);
		rhos[0] = ratio_of(now->from);
		predict(s, now->from, s->x, denoised, past[0]);
		if (isinf(rhos[0])) { /* flow from noise alone */
			MIX(s, s->x, { now->to.alpha, denoised }, { now->to.sigma, past[0] });
			continue;
		}
		known += known < MAX_ORDER;
		int order = order_of_step(s, now, known);
		MIX(s, s->x, { now->to.alpha / now->from.alpha, s->x });
		for (int j = 0; j < order; j++) {
			double w = weight(rhos, order, j, rhos[0], ratio_of(now->to));
			MIX(s, s->x, { 1, s->x }, { now->to.alpha * w, past[j] });
		}
	}
}
