/* solver.c - the moves that samplers are made of. */
#include "diffusion/solver.h"
#include <math.h>
#include <string.h>

const path_step *next_step(solver *s)
{
	const sampling *h = s->hooks;
	if (!s->failed && s->done && h->progress &&
	    !h->progress(h->progress_context, s->done, s->calls, s->x, s->buffers[0])) {
		s->failed = true;
		fail(s->e, STOPPED, "stopped after step %d of %d", s->done, s->path->count);
	}
	return s->failed || s->done == s->path->count ? NULL : &s->path->steps[s->done++];
}

/* The output that means x0: the inverse of interpret. */
static double output_of(prediction what, path_point at, double x, double x0)
{
	double a = at.alpha, b = at.sigma, norm = sqrt(a * a + b * b);
	switch (what) {
	case PREDICT_NOISE: return (x - a * x0) / b;
	case PREDICT_VELOCITY: return (a * x - x0 * norm * norm) / (b * norm);
	case PREDICT_FLOW: return (x - x0) / b;
	default: return x0;
	}
}

static void restore_known(const solver *s, path_point at, const float *x, float *out)
{
	const sampling *h = s->hooks;
	for (size_t i = 0; i < s->n; i++) {
		double kept = 1 - (double)h->mask[i];
		if (kept <= 0) continue;
		double known = output_of(h->prediction, at, (double)x[i], (double)h->known[i]);
		out[i] = (float)(kept * known + (1 - kept) * (double)out[i]);
	}
}

void call_denoiser(solver *s, path_point at, const float *x, float *out)
{
	if (s->failed) return;
	const float *input = x;
	if (s->path->form == VARIANCE_EXPLODING && s->hooks->prediction != PREDICT_FLOW) {
		MIX(s, s->scaled, { 1 / sqrt(at.alpha * at.alpha + at.sigma * at.sigma), x });
		input = s->scaled;
	}
	s->calls++;
	s->failed = !s->hooks->denoise(s->hooks->denoise_context, step_index(s), at.t, input, out, s->e);
	if (!s->failed && s->hooks->mask) restore_known(s, at, x, out);
}

void interpret(solver *s, path_point at, const float *x, const float *out, float *denoised, float *noise)
{
	if (s->failed) return;
	double a = at.alpha, b = at.sigma, norm = sqrt(a * a + b * b), clip = s->options.clip;
	for (size_t i = 0; i < s->n; i++) {
		double value = (double)x[i], o = (double)out[i], x0, fresh;
		switch (s->hooks->prediction) {
		case PREDICT_NOISE:
			fresh = o;
			x0 = (value - b * o) / a;
			break;
		case PREDICT_VELOCITY:
			fresh = (a * o + b * value / norm) / norm;
			x0 = (a * value / norm - b * o) / norm;
			break;
		case PREDICT_FLOW:
			x0 = value - b * o;
			fresh = value * (1 - a) / b + a * o;
			break;
		default: x0 = o; fresh = (value - a * o) / b;
		}
		if (clip > 0) x0 = fmin(fmax(x0, -clip), clip);
		if (denoised) denoised[i] = (float)x0;
		if (noise) noise[i] = (float)fresh;
	}
}

void predict(solver *s, path_point at, const float *x, float *denoised, float *noise)
{
	float *out = denoised ? denoised : noise;
	call_denoiser(s, at, x, out);
	interpret(s, at, x, out, denoised, noise);
}

void mix_terms(const solver *s, float *out, const term *terms)
{
	if (s->failed) return;
	for (size_t i = 0; i < s->n; i++) {
		double sum = 0;
		for (const term *t = terms; t->values; t++) sum += t->factor * (double)t->values[i];
		out[i] = (float)sum;
	}
}

void move(
    const solver *s, float *out, const float *x, path_point from, double alpha, double sigma, const float *denoised)
{
	double kept = sigma / from.sigma;
	MIX(s, out, { kept, x }, { alpha - from.alpha * kept, denoised });
}

noise_split split_noise(path_point from, path_point to, double eta)
{
	double shrink = ratio_of(to) / ratio_of(from); /* 0 where `from` is noise alone */
	double up = fmin(1, eta * sqrt(fmax(0, 1 - shrink * shrink)));
	return (noise_split){ to.sigma * sqrt(1 - up * up), to.sigma * up };
}

ancestral_step split_step(const solver *s, const path_step *step)
{
	path_point from = step->from, to = step->to;
	double eta = s->options.eta;
	if (s->path->form != FLOW_MATCHING) {
		noise_split part = split_noise(from, to, eta);
		return (ancestral_step){ { to.t, to.alpha, part.down }, 1, part.up };
	}
	double down = to.sigma * (1 + eta * (to.sigma / from.sigma - 1)), grow = to.alpha / (1 - down);
	return (ancestral_step){ { to.t, 1 - down, down }, grow,
		sqrt(fmax(0, to.sigma * to.sigma - grow * grow * down * down)) };
}

void add_noise(solver *s, float *x, path_point from, path_point to, double amount, float *scratch)
{
	if (s->failed || amount == 0) return;
	const sampling *h = s->hooks;
	if (!h->noise)
		s->failed = !fail(s->e, BAD_USAGE, "this sampler draws noise and was given no source of it");
	else
		s->failed =
		    !h->noise(h->noise_context, noise_level(s->path, from), noise_level(s->path, to), scratch, s->n, s->e);
	MIX(s, x, { 1, x }, { amount, scratch });
}

void shift_arrays(float **past, int n)
{
	float *oldest = past[n - 1];
	memmove(past + 1, past, (size_t)(n - 1) * sizeof *past);
	past[0] = oldest;
}

void shift_values(double *past, int n) { memmove(past + 1, past, (size_t)(n - 1) * sizeof *past); }

double lambda_of(path_point p) { return log(p.alpha) - log(p.sigma); }

int order_of_step(const solver *s, const path_step *now, int known)
{
	const sampler_options *o = &s->options;
	bool few = o->lower_order_final && s->path->count + s->path->skipped < 15;
	int order = o->order < known ? o->order : known;
	if (is_last_step(s) && (now->to.sigma == 0 || few || o->euler_at_final)) return 1;
	if (few && s->done == s->path->count - 1 && order > 2) return 2;
	return order;
}
