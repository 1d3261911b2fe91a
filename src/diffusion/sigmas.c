/* sigmas.c - the spacings of sigma. */
#include "diffusion/sigmas.h"
#include "diffusion/names.h"
#include <math.h>
#include <stdlib.h>

static double share_of(int i, int n) { return n > 1 ? (double)i / (n - 1) : 0; }

void karras_sigmas(double *out, int n, double low, double high, double rho)
{
	double a = pow(high, 1 / rho), b = pow(low, 1 / rho);
	for (int i = 0; i < n; i++) out[i] = pow(a + share_of(i, n) * (b - a), rho);
}

void exponential_sigmas(double *out, int n, double low, double high, double rho)
{
	for (int i = 0; i < n; i++) out[i] = exp(log(low) + pow(1 - share_of(i, n), rho) * (log(high) - log(low)));
}

/* The continued fraction of the incomplete beta function (Lentz's method), good for x below (a + 1)/(a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
	double c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), f = d;
	for (int m = 1; m < 200; m++) {
		double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
		d = 1 / (1 + even * d);
		c = 1 + even / c;
		f *= c * d;
		d = 1 / (1 + odd * d);
		c = 1 + odd / c;
		f *= c * d;
		if (fabs(c * d - 1) < 1e-15) break;
	}
	return f;
}

static double beta_cumulative(double x, double a, double b)
{
	if (x <= 0 || x >= 1) return x >= 1;
	if (x > (a + 1) / (a + b + 2)) return 1 - beta_cumulative(1 - x, b, a);
	return exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a * beta_fraction(x, a, b);
}

static double beta_quantile(double p, double a, double b)
{
	double low = 0, high = 1;
	for (int i = 0; i < 60; i++) {
		double middle = (low + high) / 2;
		if (beta_cumulative(middle, a, b) < p)
			low = middle;
		else
			high = middle;
	}
	return p <= 0 ? 0 : p >= 1 ? 1 : (low + high) / 2;
}

void beta_sigmas(double *out, int n, double low, double high)
{
	for (int i = 0; i < n; i++) out[i] = low + beta_quantile(1 - share_of(i, n), 0.6, 0.6) * (high - low);
}

/* n of the eleven, interpolated. */
static void align_your_steps(double *out, int n, const double best[11])
{
	for (int i = 0; i < n; i++) {
		double place = share_of(i, n) * 10;
		int low = place < 10 ? (int)place : 9;
		out[i] = exp(log(best[low]) + (place - low) * (log(best[low + 1]) - log(best[low])));
	}
}

/* A1111's list for Stable Diffusion 1 and for SDXL, and ComfyUI's. */
static const double best_steps[4][11] = {
	{ 14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029 },
	{ 14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029 },
	{ 14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904, 0.6523686016,
	    0.3977456272, 0.1515232662, 0.0291671582 },
	{ 14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289, 0.3798540708,
	    0.2332364134, 0.1114188177, 0.0291671582 },
};

static bool is_aligned(sigma_spacing s)
{
	return s >= ALIGN_YOUR_STEPS_SPACING && s <= ALIGN_YOUR_STEPS_XL_ZERO_SPACING;
}

/* Times of `all`, quantiles of Beta(0.6, 0.6), each once; returns how many there are. */
static int beta_times(int *out, int steps, int all)
{
	int n = 0;
	for (int i = 0; i < steps; i++) {
		int t = (int)rint(beta_quantile(1 - (double)i / steps, 0.6, 0.6) * (all - 1));
		if (!n || t != out[n - 1]) out[n++] = t;
	}
	return n;
}

static void linear_quadratic(double *out, int steps, double high)
{
	int linear = steps / 2, rest = steps - linear;
	double drop = 0.025, missing = linear - drop * steps, square = missing / ((double)linear * rest * rest);
	double slope = drop / (linear ? linear : 1) - 2 * missing / ((double)rest * rest);
	for (int i = 0; i < steps; i++)
		out[i] = high * (1 - (!linear         ? 0
		                         : i < linear ? i * drop / linear
		                                      : square * ((double)i * i + (double)linear * linear) + slope * i));
}

/* sigmas holds `steps` values; returns how many are used. */
static int beta_times_sigmas(double *sigmas, int steps, const noise_schedule *s)
{
	int *times = (int *)(void *)sigmas, n = beta_times(times, steps, s->count);
	for (int i = n - 1; i >= 0; i--) sigmas[i] = exp(s->log_sigmas[times[i]]);
	return n;
}

double *make_sigmas(sigma_spacing kind, const noise_schedule *s, int steps, int *count, error *e)
{
	if (steps < 1 || steps > s->count) {
		fail(e, BAD_USAGE, "%d steps: expected 1 to %d", steps, s->count);
		return NULL;
	}
	int last = s->count - 1, stride = s->count / steps;
	double step = (double)s->count / steps; /* summed in this order, as the original cuts to whole times */
	*count = kind == DDIM_UNIFORM_SPACING ? (last - 1) / stride + 1 : steps;
	double *sigmas = malloc(((size_t)*count + 1) * sizeof *sigmas);
	if (!sigmas) {
		fail(e, NO_MEMORY, "no memory for %d sigmas", *count);
		return NULL;
	}
	double low = exp(s->log_sigmas[0]), high = exp(s->log_sigmas[last]);
	switch (kind) {
	case KARRAS_SPACING: karras_sigmas(sigmas, steps, low, high, 7); break;
	case EXPONENTIAL_SPACING:
	case POLYEXPONENTIAL_SPACING: exponential_sigmas(sigmas, steps, low, high, 1); break;
	case BETA_SPACING: beta_sigmas(sigmas, steps, low, high); break;
	case ALIGN_YOUR_STEPS_SPACING:
	case ALIGN_YOUR_STEPS_XL_SPACING:
		align_your_steps(sigmas, steps, best_steps[kind - ALIGN_YOUR_STEPS_SPACING]);
		break;
	case ALIGN_YOUR_STEPS_ZERO_SPACING:
	case ALIGN_YOUR_STEPS_XL_ZERO_SPACING:
		align_your_steps(sigmas, steps + 1, best_steps[kind - ALIGN_YOUR_STEPS_SPACING]);
		break;
	case LINEAR_QUADRATIC_SPACING: linear_quadratic(sigmas, steps, high); break;
	case KL_OPTIMAL_ZERO_SPACING:
		for (int i = 0; i < steps; i++) sigmas[i] = tan(atan(high) + share_of(i, steps) * (atan(low) - atan(high)));
		break;
	case BETA_TIMES_SPACING: *count = beta_times_sigmas(sigmas, steps, s); break;
	case SIMPLE_SPACING:
		for (int i = 0; i < steps; i++) sigmas[i] = exp(s->log_sigmas[last - (int)(i * step)]);
		break;
	case DDIM_UNIFORM_SPACING:
		for (int i = 0; i < *count; i++) sigmas[*count - 1 - i] = exp(s->log_sigmas[1 + i * stride]);
		break;
	case KL_OPTIMAL_SPACING:
		for (int i = 0; i < steps; i++) sigmas[i] = tan(atan(high) + (double)i / steps * (atan(low) - atan(high)));
		break;
	case SGM_UNIFORM_SPACING:
		for (int i = 0; i < steps; i++) sigmas[i] = sigma_of_timestep(s, last * (1 - (double)i / steps));
		break;
	default:
		for (int i = 0; i < steps; i++) sigmas[i] = sigma_of_timestep(s, last * (1 - share_of(i, steps)));
	}
	sigmas[*count] = kind == KL_OPTIMAL_SPACING ? low : 0;
	return sigmas;
}

double shift_sigma(double sigma, double shift) { return shift * sigma / (1 + (shift - 1) * sigma); }

enum { FLOW_TIMES = 1000 };

static double flow_sigma(int i, double shift) { return shift_sigma((double)i / FLOW_TIMES, shift); }

static int beta_flow_sigmas(double *sigmas, int steps, double shift)
{
	int *times = (int *)(void *)sigmas, n = beta_times(times, steps, FLOW_TIMES);
	for (int i = n - 1; i >= 0; i--) sigmas[i] = flow_sigma(times[i] + 1, shift);
	return n;
}

double *make_flow_sigmas(sigma_spacing kind, double shift, int steps, int *count, error *e)
{
	int most = kind == UNIFORM_SPACING ? 100000 : FLOW_TIMES;
	if (steps < 1 || steps > most) return fail(e, BAD_USAGE, "%d steps: expected 1 to %d", steps, most), NULL;
	if (is_aligned(kind))
		return fail(e, BAD_USAGE, "schedule '%s' is for models with Stable Diffusion's noise, not for flow",
		           spacing_name(kind)),
		       NULL;
	int stride = FLOW_TIMES / steps;
	*count = kind == DDIM_UNIFORM_SPACING ? (FLOW_TIMES - 2) / stride + 1 : steps;
	double *sigmas = malloc(((size_t)*count + 1) * sizeof *sigmas), low = flow_sigma(1, shift);
	if (!sigmas) return fail(e, NO_MEMORY, "no memory for %d sigmas", *count), NULL;
	switch (kind) {
	case KARRAS_SPACING: karras_sigmas(sigmas, steps, low, 1, 7); break;
	case EXPONENTIAL_SPACING:
	case POLYEXPONENTIAL_SPACING: exponential_sigmas(sigmas, steps, low, 1, 1); break;
	case BETA_SPACING:
	case BETA_TIMES_SPACING: *count = beta_flow_sigmas(sigmas, steps, shift); break;
	case LINEAR_QUADRATIC_SPACING: linear_quadratic(sigmas, steps, 1); break;
	case NORMAL_SPACING:
		for (int i = 0; i < steps; i++) sigmas[i] = shift_sigma(1 + (low - 1) * share_of(i, steps), shift);
		break;
	case SIMPLE_SPACING:
		for (int i = 0; i < steps; i++)
			sigmas[i] = flow_sigma(FLOW_TIMES - (int)(i * ((double)FLOW_TIMES / steps)), shift);
		break;
	case DDIM_UNIFORM_SPACING:
		for (int i = 0; i < *count; i++) sigmas[*count - 1 - i] = flow_sigma(2 + i * stride, shift);
		break;
	case KL_OPTIMAL_SPACING:
	case KL_OPTIMAL_ZERO_SPACING:
		for (int i = 0; i < steps; i++) sigmas[i] = tan(atan(1) + share_of(i, steps) * (atan(low) - atan(1)));
		break;
	case SGM_UNIFORM_SPACING: /* ends at the time whose number is the last sigma, which is shifted already */
		for (int i = 0; i < steps; i++) sigmas[i] = shift_sigma(1 + (low - 1) * i / steps, shift);
		break;
	default:
		for (int i = 0; i < steps; i++) sigmas[i] = shift_sigma(1 - (double)i / steps, shift);
	}
	if (sigmas[0] > 1 - 1e-9) sigmas[0] = 1; /* to the last bit: from noise alone the solvers step in their own way */
	sigmas[*count] = 0;
	return sigmas;
}

static const struct name names[] = {
	{ UNIFORM_SPACING, "Uniform" },
	{ UNIFORM_SPACING, "discrete" },
	{ UNIFORM_SPACING, "default" },
	{ SIMPLE_SPACING, "Simple" },
	{ KARRAS_SPACING, "Karras" },
	{ EXPONENTIAL_SPACING, "Exponential" },
	{ POLYEXPONENTIAL_SPACING, "Polyexponential" },
	{ SGM_UNIFORM_SPACING, "SGM Uniform" },
	{ DDIM_UNIFORM_SPACING, "DDIM" },
	{ DDIM_UNIFORM_SPACING, "ddim_uniform" },
	{ BETA_SPACING, "Beta" },
	{ KL_OPTIMAL_SPACING, "KL Optimal" },
	{ ALIGN_YOUR_STEPS_SPACING, "Align Your Steps" },
	{ ALIGN_YOUR_STEPS_SPACING, "ays" },
	{ ALIGN_YOUR_STEPS_XL_SPACING, "Align Your Steps XL" },
	{ ALIGN_YOUR_STEPS_XL_SPACING, "ays sdxl" },
	{ ALIGN_YOUR_STEPS_ZERO_SPACING, "Align Your Steps ComfyUI" },
	{ ALIGN_YOUR_STEPS_XL_ZERO_SPACING, "Align Your Steps XL ComfyUI" },
	{ NORMAL_SPACING, "Normal" },
	{ BETA_TIMES_SPACING, "Beta ComfyUI" },
	{ KL_OPTIMAL_ZERO_SPACING, "KL Optimal ComfyUI" },
	{ LINEAR_QUADRATIC_SPACING, "Linear Quadratic" },
	{ -1, NULL },
};

const char *spacing_name(sigma_spacing s) { return name_of(names, (int)s); }

bool spacing_from_name(const char *name, sigma_spacing *s, error *e)
{
	int value = value_of(names, name);
	if (value >= 0) *s = (sigma_spacing)value;
	return value >= 0 ||
	       fail(e, BAD_USAGE, "unknown schedule '%.60s'; did you mean '%s'?", name, nearest_name(names, name));
}
