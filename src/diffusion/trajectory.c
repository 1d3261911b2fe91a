/* trajectory.c - steps between points of noise. */
#include "diffusion/trajectory.h"
#include <math.h>
#include <stdlib.h>

double *make_timesteps(timestep_spacing spacing, int training, int steps, int offset, bool whole, int *count, error *e)
{
	if (steps < 1 || steps > training) {
		fail(e, BAD_USAGE, "%d steps: expected 1 to %d", steps, training);
		return NULL;
	}
	if (spacing == DISTILLED_TIMESTEPS && steps > offset) {
		fail(e, BAD_USAGE, "%d steps: this sampler has at most %d, those of the model's distillation", steps, offset);
		return NULL;
	}
	int stride = training / steps, n = spacing == COMPVIS_TIMESTEPS ? (training - 1) / stride + 1 : steps;
	double *t = malloc((size_t)n * sizeof *t), ratio = (double)training / steps;
	if (!t) {
		fail(e, NO_MEMORY, "no memory for %d timesteps", n);
		return NULL;
	}
	/* The original's lists are numpy's linspace and arange in doubles, whose last bits decide how a half is rounded: of
	 * 31 even ones up to 999 the middle is 499 and not 500. */
	double even = n > 1 ? (double)(training - 1) / (n - 1) : 0, down = (training - ratio) - training;
	for (int i = 0; i < n; i++) {
		int rest = n - 1 - i;
		switch (spacing) {
		case LEADING_TIMESTEPS: t[i] = rest * stride + offset; break;
		case TRAILING_TIMESTEPS: t[i] = (whole ? rint(training + i * down) : training + i * down) - 1; break;
		case LINSPACE_TIMESTEPS: t[i] = i == 0 && n > 1 ? training - 1 : rest * even; break;
		case COMPVIS_TIMESTEPS: t[i] = fmin(rest * stride + 1, training - 1); break; /* A1111 stops at the last, too */
		case QUADRATIC_TIMESTEPS: {
			/* rounded as numpy's linspace rounds: some squares are whole but for the last bit */
			double top = sqrt(training * 0.8), root = n == 1 ? 0 : i == 0 ? top : rest * (top / (n - 1));
			t[i] = trunc(root * root) + 1;
			break;
		}
		case DISTILLED_TIMESTEPS:
			t[i] = (offset - floor(i * ((double)offset / steps))) * (training / offset) - 1;
			break;
		}
		if (whole) t[i] = rint(t[i]);
	}
	*count = n;
	return t;
}

static bool allocate(trajectory *p, int count, error *e)
{
	p->steps = calloc((size_t)count, sizeof *p->steps);
	p->count = count;
	return p->steps || fail(e, NO_MEMORY, "no memory for %d steps", count);
}

double noise_level(const trajectory *p, path_point at)
{
	return p->form == FLOW_MATCHING ? at.sigma : at.sigma / at.alpha;
}

path_point point_of_sigma(const trajectory *p, double sigma)
{
	if (p->form == FLOW_MATCHING) return (path_point){ sigma * 1000, 1 - sigma, sigma };
	path_point point = { sigma > 0 ? timestep_of_sigma(p->schedule, sigma) : 0, 1, sigma };
	if (p->form == VARIANCE_PRESERVING) {
		point.alpha = 1 / hypot(1, sigma);
		point.sigma = isinf(sigma) ? 1 : sigma * point.alpha;
	}
	return point;
}

path_point point_of_ratio(const trajectory *p, double ratio)
{
	return point_of_sigma(p, p->form != FLOW_MATCHING ? ratio : isinf(ratio) ? 1 : ratio / (1 + ratio));
}

path_point point_of_timestep(const noise_schedule *s, double t, double final)
{
	int last = s->count - 1;
	double a = t < 0 ? final : s->alphas_cumprod[t < last ? (int)t : last];
	return (path_point){ fmax(t, 0), sqrt(a), sqrt(1 - a) };
}

bool trajectory_from_sigmas(
    trajectory *p, path_form form, const noise_schedule *schedule, const double *sigmas, int count, error *e)
{
	*p = (trajectory){ .form = form, .schedule = schedule, .start = form == VARIANCE_EXPLODING ? sigmas[0] : 1 };
	if (!allocate(p, count, e)) return false;
	for (int i = 0; i < count; i++)
		p->steps[i] = (path_step){ point_of_sigma(p, sigmas[i]), point_of_sigma(p, sigmas[i + 1]) };
	return true;
}

bool trajectory_from_timesteps(
    trajectory *p, const noise_schedule *schedule, const double *timesteps, int count, double final, error *e)
{
	*p = (trajectory){ .form = VARIANCE_PRESERVING, .schedule = schedule, .start = 1 };
	if (!allocate(p, count, e)) return false;
	for (int i = 0; i < count; i++)
		p->steps[i] = (path_step){ point_of_timestep(schedule, timesteps[i], final),
			point_of_timestep(schedule, i + 1 < count ? timesteps[i + 1] : -1, final) };
	return true;
}

double clean_of(prediction what, path_point at, double x, double output)
{
	double a = at.alpha, b = at.sigma, norm = sqrt(a * a + b * b);
	switch (what) {
	case PREDICT_NOISE: return (x - b * output) / a;
	case PREDICT_VELOCITY: return (a * x / norm - b * output) / norm;
	case PREDICT_FLOW: return x - b * output;
	default: return output;
	}
}

double output_of(prediction what, path_point at, double x, double clean)
{
	double a = at.alpha, b = at.sigma, norm = sqrt(a * a + b * b);
	switch (what) {
	case PREDICT_NOISE: return (x - a * clean) / b;
	case PREDICT_VELOCITY: return (a * x - clean * norm * norm) / (b * norm);
	case PREDICT_FLOW: return (x - clean) / b;
	default: return clean;
	}
}

void trajectory_skip(trajectory *p, int n)
{
	p->count -= n;
	p->steps += n;
	p->skipped += n;
}

void trajectory_free(trajectory *p)
{
	if (p->steps) free(p->steps - p->skipped);
	*p = (trajectory){ 0 };
}
