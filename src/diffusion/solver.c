/* solver.c - the moves that samplers are made of. */
#include "diffusion/solver.h"
#include <math.h>
#include <string.h>

/* Tells progress of the steps that are done, with the guided guess where CFG++ steps by the other. */
static bool report(solver *s, int done)
{
	const sampling *h = s->hooks;
	if (s->failed || !h->progress) return !s->failed;
	if (s->guidance) MIX(s, s->buffers[0], { 1, s->buffers[0] }, { 1, s->guidance });
	if (h->progress(h->progress_context, done, s->calls, s->x, s->buffers[0])) return true;
	s->failed = true;
	return fail(s->e, STOPPED, "stopped after step %d of %d", done, s->path->count);
}

const path_step *next_step(solver *s)
{
	if (s->done) report(s, s->done);
	return s->failed || s->done == s->path->count ? NULL : &s->path->steps[s->done++];
}

bool reach(solver *s, double sigma)
{
	const trajectory *p = s->path;
	int before = s->done ? s->done - 1 : 0, ended = before, last = p->count;
	double end =
	    p->steps[last - 1].to.sigma > 0 || last == 1 ? p->steps[last - 1].to.sigma : p->steps[last - 1].from.sigma;
	if (sigma <= end * (1 + 1e-9))
		ended = last;
	else
		while (ended < last - 1 && p->steps[ended].to.sigma >= sigma * (1 - 1e-9)) ended++;
	s->done = ended < last ? ended + 1 : last;
	return ended > before ? report(s, ended) && ended < last : !s->failed && ended < last;
}

static void restore_known(const solver *s, path_point at, const float *x, float *out)
{
	const sampling *h = s->hooks;
	double done = (double)step_index(s) / s->path->count;
	for (size_t i = 0; i < s->n; i++)
		if (done < 1 - (double)h->mask[i])
			out[i] = (float)output_of(h->prediction, at, (double)x[i], (double)h->known[i]);
}

static void call(solver *s, path_point at, const float *x, float *out, float *unconditional)
{
	if (s->failed) return;
	const float *input = x;
	const sampling *h = s->hooks;
	path_point scaled = at;
	if (s->path->form == VARIANCE_EXPLODING && h->prediction != PREDICT_FLOW) {
		double factor = 1 / sqrt(at.alpha * at.alpha + at.sigma * at.sigma);
		MIX(s, s->scaled, { factor, x });
		input = s->scaled;
		scaled.alpha *= factor;
		scaled.sigma *= factor;
	}
	s->calls++;
	s->failed = !h->denoise(h->denoise_context, step_index(s), scaled, input, out, unconditional, s->e);
	if (s->failed || !h->mask) return;
	restore_known(s, at, x, out);
	if (unconditional) restore_known(s, at, x, unconditional);
}

void call_denoiser(solver *s, path_point at, const float *x, float *out) { call(s, at, x, out, NULL); }

void interpret(solver *s, path_point at, const float *x, const float *out, float *denoised, float *noise)
{
	if (s->failed) return;
	double a = at.alpha, b = at.sigma, norm = sqrt(a * a + b * b), clip = s->options.clip;
	for (size_t i = 0; i < s->n; i++) {
		double value = (double)x[i], o = (double)out[i], x0 = clean_of(s->hooks->prediction, at, value, o), fresh;
		switch (s->hooks->prediction) {
		case PREDICT_NOISE: fresh = o; break;
		case PREDICT_VELOCITY: fresh = (a * o + b * value / norm) / norm; break;
		case PREDICT_FLOW: fresh = value * (1 - a) / b + a * o; break;
		default: fresh = (value - a * o) / b;
		}
		if (clip > 0) x0 = fmin(fmax(x0, -clip), clip);
		if (denoised) denoised[i] = (float)x0;
		if (noise) noise[i] = (float)fresh;
	}
}

void predict(solver *s, path_point at, const float *x, float *denoised, float *noise)
{
	float *out = denoised ? denoised : noise;
	call(s, at, x, s->guidance ? s->guidance : out, s->guidance ? out : NULL);
	if (s->guidance) interpret(s, at, x, s->guidance, s->guidance, NULL);
	interpret(s, at, x, out, denoised, noise);
	if (s->guidance) MIX(s, s->guidance, { 1, s->guidance }, { -1, denoised });
}

void add_guidance(solver *s, double amount)
{
	if (s->guidance) MIX(s, s->x, { 1, s->x }, { amount, s->guidance });
}

void take_guidance(solver *s, float *denoised)
{
	if (!s->guidance) return;
	MIX(s, denoised, { 1, denoised }, { 1, s->guidance });
	MIX(s, s->guidance, { 0, s->guidance });
}

void slope_at(solver *s, path_point at, const float *x, float *denoised, float *slope)
{
	predict(s, at, x, denoised, slope);
	if (s->options.clip > 0) MIX(s, slope, { 1 / at.sigma, x }, { -at.alpha / at.sigma, denoised });
	if (s->path->form == FLOW_MATCHING) MIX(s, slope, { 1, slope }, { -1, denoised });
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

void solve_powers(const double *r, const double *b, double *w, int n)
{
	double m[MOST_POWERS][MOST_POWERS + 1];
	for (int i = 0; i < n; i++) {
		for (int j = 0; j < n; j++) m[i][j] = pow(r[j], i);
		m[i][n] = b[i];
	}
	for (int i = 0; i < n; i++)
		for (int k = 0; k < n; k++) {
			if (k == i) continue;
			double factor = m[k][i] / m[i][i];
			for (int j = i; j <= n; j++) m[k][j] -= factor * m[i][j];
		}
	for (int i = 0; i < n; i++) w[i] = m[i][n] / m[i][i];
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
