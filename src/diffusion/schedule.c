/* schedule.c - betas, their products, sigma and time. */
#include "diffusion/schedule.h"
#include "diffusion/names.h"
#include <math.h>
#include <stdlib.h>

const schedule_config stable_diffusion_schedule = { SCALED_LINEAR_BETAS, 0.00085, 0.012, 1000, false };

static double cosine_alpha(double t)
{
	double c = cos((t + 0.008) / 1.008 * acos(-1) / 2);
	return c * c;
}

static double beta_at(const schedule_config *c, int i)
{
	double share = (double)i / (c->count - 1), n = c->count;
	switch (c->curve) {
	case SCALED_LINEAR_BETAS: {
		double root = sqrt(c->start) + share * (sqrt(c->end) - sqrt(c->start));
		return root * root;
	}
	case ROOT_BETAS: return sqrt(c->start + share * (c->end - c->start));
	case COSINE_BETAS: return fmin(1 - cosine_alpha((i + 1) / n) / cosine_alpha(i / n), 0.999);
	default: return c->start + share * (c->end - c->start);
	}
}

/* Shifts and stretches sqrt(a) so that it ends in 0 and starts where it did (Lin et al. 2023, algorithm 1). */
static void end_in_noise(double *betas, int count)
{
	double product = 1, first = sqrt(1 - betas[0]), last, previous = 1;
	for (int i = 0; i < count; i++) product *= 1 - betas[i];
	last = sqrt(product);
	product = 1;
	for (int i = 0; i < count; i++) {
		product *= 1 - betas[i];
		double root = i == count - 1 ? 0 : (sqrt(product) - last) * first / (first - last);
		betas[i] = 1 - root * root / previous;
		previous = root * root;
	}
}

static bool allocate(noise_schedule *s, int count, error *e)
{
	if (count < 2 || count > 100000)
		return fail(e, BAD_FILE, "noise schedule: %d timesteps, expected 2 to 100000", count);
	double *block = malloc((size_t)count * 3 * sizeof *block);
	if (!block) return fail(e, NO_MEMORY, "noise schedule: no memory for %d timesteps", count);
	*s = (noise_schedule){ count, block, block + count, block + 2 * count };
	return true;
}

static void derive(noise_schedule *s, bool zero_terminal_snr)
{
	if (zero_terminal_snr) end_in_noise(s->betas, s->count);
	double product = 1;
	for (int i = 0; i < s->count; i++) {
		product *= 1 - s->betas[i];
		double a = s->alphas_cumprod[i] = (double)(float)product;
		if (a == 0) a = 0x1p-24;
		s->log_sigmas[i] = 0.5 * log((1 - a) / a);
	}
}

bool noise_schedule_make(noise_schedule *s, const schedule_config *c, error *e)
{
	if (!(c->start > 0 && c->start <= c->end && c->end < 1))
		return fail(
		    e, BAD_FILE, "noise schedule: betas from %g to %g, expected 0 < start <= end < 1", c->start, c->end);
	if (!allocate(s, c->count, e)) return false;
	for (int i = 0; i < c->count; i++) s->betas[i] = beta_at(c, i);
	derive(s, c->zero_terminal_snr);
	return true;
}

void noise_schedule_free(noise_schedule *s)
{
	free(s->betas);
	*s = (noise_schedule){ 0 };
}

/* ── names ── */
static const struct name curves[] = { { SCALED_LINEAR_BETAS, "scaled_linear" }, { LINEAR_BETAS, "linear" },
	{ COSINE_BETAS, "squaredcos_cap_v2" }, { COSINE_BETAS, "cosine" }, { LINEAR_BETAS, "sqrt_linear" },
	{ ROOT_BETAS, "sqrt" }, { 0, NULL } };
static const struct name predictions[] = { { PREDICT_NOISE, "epsilon" }, { PREDICT_NOISE, "eps" },
	{ PREDICT_NOISE, "noise" }, { PREDICT_VELOCITY, "v_prediction" }, { PREDICT_VELOCITY, "v" },
	{ PREDICT_VELOCITY, "velocity" }, { PREDICT_SAMPLE, "sample" }, { PREDICT_SAMPLE, "x0" }, { PREDICT_FLOW, "flow" },
	{ PREDICT_FLOW, "flow_prediction" }, { 0, NULL } };

bool beta_curve_from_name(const char *name, beta_curve *curve)
{
	int value = value_of(curves, name);
	if (value >= 0) *curve = (beta_curve)value;
	return value >= 0;
}

const char *beta_curve_name(beta_curve curve) { return name_of(curves, (int)curve); }

bool prediction_from_name(const char *name, prediction *p)
{
	int value = value_of(predictions, name);
	if (value >= 0) *p = (prediction)value;
	return value >= 0;
}

const char *prediction_name(prediction p) { return name_of(predictions, (int)p); }

/* t as a whole timestep below and the share of the way to the next. */
static int place(const noise_schedule *s, double t, double *share)
{
	t = fmin(fmax(t, 0), s->count - 1);
	int low = t < s->count - 1 ? (int)t : s->count - 2;
	*share = t - low;
	return low;
}

double sigma_of_timestep(const noise_schedule *s, double t)
{
	double share;
	int low = place(s, t, &share);
	return exp((1 - share) * s->log_sigmas[low] + share * s->log_sigmas[low + 1]);
}

double linear_sigma_of_timestep(const noise_schedule *s, double t)
{
	double share;
	int low = place(s, t, &share);
	return (1 - share) * exp(s->log_sigmas[low]) + share * exp(s->log_sigmas[low + 1]);
}

double timestep_of_sigma(const noise_schedule *s, double sigma)
{
	double target = log(sigma);
	int low = 0, high = s->count - 1; /* log_sigmas[low] <= target < log_sigmas[high], but for the clamps */
	if (!(target > s->log_sigmas[0])) return 0;
	if (target >= s->log_sigmas[high]) return high;
	while (high - low > 1) {
		int middle = (low + high) / 2;
		if (s->log_sigmas[middle] <= target)
			low = middle;
		else
			high = middle;
	}
	return low + (target - s->log_sigmas[low]) / (s->log_sigmas[high] - s->log_sigmas[low]);
}
