/* guidance.c - the step away from the unconditional output. */
#include "diffusion/guidance.h"
#include "diffusion/names.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool guidance_is_on(const guidance *g, int step, int steps)
{
	double share = (double)step / steps;
	return g->scale != 1 && !(share >= g->skip_from && share < g->skip_to);
}

bool guidance_has_memory(const guidance *g) { return g->momentum != 0; }

/* ── sums ── */

static double dot(const float *a, const float *b, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
	return sum;
}

/* With Bessel's correction, as torch.std has it. */
static double deviation(const float *x, size_t n)
{
	double mean = 0, squares = 0;
	for (size_t i = 0; i < n; i++) mean += (double)x[i];
	mean /= (double)n;
	for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
	return sqrt(squares / (double)(n > 1 ? n - 1 : 1));
}

/* ── the formulas ── */

void guide_plainly(double scale, double rescale, const float *u, const float *c, float *out, size_t n)
{
	double wanted = rescale > 0 ? deviation(c, n) : 0;
	for (size_t i = 0; i < n; i++) out[i] = u[i] + (float)scale * (c[i] - u[i]);
	double found = rescale > 0 ? deviation(out, n) : 0;
	if (!(found > 0)) return;
	double factor = rescale * wanted / found + 1 - rescale;
	for (size_t i = 0; i < n; i++) out[i] = (float)(factor * (double)out[i]);
}

void project_update(const guidance *g, const float *u, const float *c, float *average, float *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double update = (double)c[i] - (double)u[i] + (average ? g->momentum * (double)average[i] : 0);
		out[i] = (float)update;
		if (average) average[i] = (float)update;
	}
	double norm = sqrt(dot(out, out, n)), cut = g->norm > 0 && norm > g->norm ? g->norm / norm : 1;
	double size = dot(c, c, n), along = size > 0 ? (1 - g->eta) * cut * dot(out, c, n) / size : 0;
	for (size_t i = 0; i < n; i++) out[i] = (float)(cut * (double)out[i] - along * (double)c[i]);
}

double zero_factor(const float *u, const float *c, size_t n) { return dot(c, u, n) / (dot(u, u, n) + 1e-8); }

void guide_from_zero(double scale, double factor, const float *u, const float *c, float *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double base = factor * (double)u[i];
		out[i] = (float)(base + scale * ((double)c[i] - base));
	}
}

static void limit_norms(const guidance *g, const float *c, float *out, size_t n, size_t channels)
{
	for (size_t i = 0; i < n; i += channels) {
		double wanted = sqrt(dot(c + i, c + i, channels)), found = sqrt(dot(out + i, out + i, channels));
		double factor = g->amount * fmin(wanted / (found + 1e-8), 1);
		for (size_t k = i; k < i + channels; k++) out[k] = (float)(factor * (double)out[k]);
	}
}

/* ── dynamic thresholding ── */

static int rising(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

/* The mean of a channel, and its magnitudes around it, sorted, into `sorted`. */
static double magnitudes(const float *x, size_t n, size_t channels, size_t channel, float *sorted)
{
	size_t positions = n / channels;
	double mean = 0;
	for (size_t i = 0; i < positions; i++) mean += (double)x[i * channels + channel];
	mean /= (double)positions;
	for (size_t i = 0; i < positions; i++) sorted[i] = (float)fabs((double)x[i * channels + channel] - mean);
	qsort(sorted, positions, sizeof *sorted, rising);
	return mean;
}

/* Each channel of out is clamped around its mean to the larger of two ranges, its own percentile and the range that the
 * smaller scale gives (mimicked, which is scratch from then on), and shrunk to the latter. */
static void threshold(const guidance *g, float *mimicked, float *out, size_t n, size_t channels, float *sorted)
{
	size_t positions = n / channels;
	for (size_t c = 0; c < channels; c++) {
		magnitudes(mimicked, n, channels, c, sorted);
		double wanted = (double)sorted[positions - 1], mean = magnitudes(out, n, channels, c, sorted);
		double place = g->percentile * (double)(positions - 1);
		size_t low = (size_t)place, high = low + 1 < positions ? low + 1 : low;
		double range = (double)sorted[low] + (place - (double)low) * ((double)sorted[high] - (double)sorted[low]);
		range = fmax(range, wanted);
		for (size_t i = c; i < n && range > 0; i += channels)
			out[i] = (float)(mean + fmax(-range, fmin(range, (double)out[i] - mean)) / range * wanted);
	}
}

/* ── methods ── */

static prediction space_of(guidance_method m, prediction meaning)
{
	bool flow = meaning == PREDICT_FLOW;
	switch (m) {
	case PLAIN_GUIDANCE:
	case ZERO_STAR: return meaning;
	case VELOCITY_RESCALE: return flow ? PREDICT_FLOW : PREDICT_VELOCITY;
	default: return PREDICT_SAMPLE;
	}
}

static void convert(const guided_outputs *p, prediction from, prediction to, float *values)
{
	for (size_t i = 0; from != to && i < p->n; i++) {
		double x = (double)p->x[i];
		values[i] = (float)output_of(to, p->at, x, clean_of(from, p->at, x, (double)values[i]));
	}
}

/* APG's base and factor; the update comes to lie where it is not needed any more. */
static void guide_projected(const guidance *g, const guided_outputs *p, float *out, float *update)
{
	const float *base = g->method == PROJECTED_DIFFUSERS ? p->unconditional : p->conditional;
	double factor = g->method == PROJECTED ? g->scale - 1 : g->scale;
	project_update(g, p->unconditional, p->conditional, p->average, update, p->n);
	for (size_t i = 0; i < p->n; i++) out[i] = (float)((double)base[i] + factor * (double)update[i]);
}

void guide(const guidance *g, const guided_outputs *p, float *out)
{
	float *u = p->unconditional, *c = p->conditional;
	size_t n = p->n;
	prediction space = space_of(g->method, p->prediction);
	float *scratch = p->scratch;
	convert(p, p->prediction, space, u);
	convert(p, p->prediction, space, c);
	switch (g->method) {
	case PROJECTED:
	case PROJECTED_COMFY:
	case PROJECTED_DIFFUSERS: guide_projected(g, p, out, scratch); break;
	case ZERO_STAR: guide_from_zero(g->scale, zero_factor(u, c, n), u, c, out, n); break;
	case ZERO_STAR_COMFY: {
		double k =
		    p->prediction == PREDICT_FLOW ? 1 : 1 / p->at.alpha; /* x - x0 is sigma·velocity, sigma/alpha·noise */
		for (size_t i = 0; i < n; i++) {
			scratch[i] = (float)(k * (double)p->x[i] - (double)u[i]);
			scratch[n + i] = (float)(k * (double)p->x[i] - (double)c[i]);
		}
		guide_from_zero(g->scale, zero_factor(scratch, scratch + n, n), u, c, out, n);
		break;
	}
	case NORM_LIMITED:
		guide_plainly(g->scale, 0, u, c, scratch, n);
		limit_norms(g, c, scratch, n, p->channels);
		memcpy(out, scratch, n * sizeof *out);
		break;
	case VELOCITY_RESCALE: guide_plainly(g->scale, g->amount, u, c, out, n); break;
	case DYNAMIC_THRESHOLD:
		guide_plainly(g->mimic, 0, u, c, scratch, n);
		guide_plainly(g->scale, 0, u, c, out, n);
		threshold(g, scratch, out, n, p->channels, scratch + n);
		break;
	case PLAIN_GUIDANCE: guide_plainly(g->scale, g->rescale, u, c, out, n); break;
	}
	convert(p, space, p->prediction, out);
	convert(p, space, p->prediction, c);
}

/* ── names ── */

static const struct name names[] = {
	{ PLAIN_GUIDANCE, "CFG" },
	{ PROJECTED, "APG" },
	{ PROJECTED_COMFY, "APG ComfyUI" },
	{ PROJECTED_DIFFUSERS, "APG diffusers" },
	{ ZERO_STAR, "CFG-Zero" },
	{ ZERO_STAR, "CFG-Zero-star" },
	{ ZERO_STAR_COMFY, "CFG-Zero ComfyUI" },
	{ NORM_LIMITED, "CFG norm" },
	{ VELOCITY_RESCALE, "Rescale CFG" },
	{ DYNAMIC_THRESHOLD, "Dynamic thresholding" },
	{ DYNAMIC_THRESHOLD, "dynthres" },
	{ -1, NULL },
};

static const guidance standards[] = {
	[PLAIN_GUIDANCE] = { 0 },
	[PROJECTED] = { .eta = 0, .norm = 15, .momentum = -0.5 },
	[PROJECTED_COMFY] = { .eta = 1, .norm = 5 },
	[PROJECTED_DIFFUSERS] = { .eta = 1, .norm = 15 },
	[ZERO_STAR] = { 0 },
	[ZERO_STAR_COMFY] = { 0 },
	[NORM_LIMITED] = { .amount = 1 },
	[VELOCITY_RESCALE] = { .amount = 0.7 },
	[DYNAMIC_THRESHOLD] = { .mimic = 7, .percentile = 1 },
};

static const struct value {
	const char *name;
	size_t offset;
	double low, high;
	guidance_method of[3];
} values[] = {
	{ "eta", offsetof(guidance, eta), -10, 10, { PROJECTED, PROJECTED_COMFY, PROJECTED_DIFFUSERS } },
	{ "norm", offsetof(guidance, norm), 0, 1e6, { PROJECTED, PROJECTED_COMFY, PROJECTED_DIFFUSERS } },
	{ "momentum", offsetof(guidance, momentum), -1, 1, { PROJECTED, PROJECTED_COMFY, PROJECTED_DIFFUSERS } },
	{ "strength", offsetof(guidance, amount), 0, 100, { NORM_LIMITED } },
	{ "share", offsetof(guidance, amount), 0, 1, { VELOCITY_RESCALE } },
	{ "mimic", offsetof(guidance, mimic), 0, 1000, { DYNAMIC_THRESHOLD } },
	{ "percentile", offsetof(guidance, percentile), 0, 1, { DYNAMIC_THRESHOLD } },
};
enum { VALUES = sizeof values / sizeof *values };

const char *guidance_name(int i) { return name_of(names, i); }

static bool belongs(const struct value *v, guidance_method m)
{
	return v->of[0] == m || v->of[1] == m || v->of[2] == m;
}

/* "eta=0" to its field. */
static bool read_value(const char *text, guidance *g, error *e)
{
	size_t length = strcspn(text, "=,");
	for (int i = 0; i < VALUES; i++) {
		const struct value *v = &values[i];
		if (!belongs(v, g->method) || strlen(v->name) != length || strncmp(text, v->name, length)) continue;
		char *end = NULL;
		double number = text[length] == '=' ? strtod(text + length + 1, &end) : NAN;
		if (!end || end == text + length + 1 || (*end && *end != ',') || !(number >= v->low && number <= v->high))
			return fail(
			    e, BAD_USAGE, "guidance method: '%.40s': expected %s=NUMBER, %g to %g", text, v->name, v->low, v->high);
		memcpy((char *)g + v->offset, &number, sizeof number);
		return true;
	}
	char known[128] = "";
	for (int i = 0; i < VALUES; i++)
		if (belongs(&values[i], g->method)) {
			if (*known) strcat(known, ", ");
			strcat(known, values[i].name);
		}
	return fail(e, BAD_USAGE, "guidance method %s: '%.40s' is not known to it; it takes %s",
	    guidance_name((int)g->method), text, *known ? known : "nothing");
}

bool guidance_from_text(const char *text, guidance *g, error *e)
{
	char name[64];
	size_t length = strcspn(text, ":");
	memcpy(name, text, length < sizeof name ? length : sizeof name - 1);
	name[length < sizeof name ? length : sizeof name - 1] = 0;
	int found = value_of(names, name);
	if (found < 0)
		return fail(e, BAD_USAGE, "unknown guidance method '%s'; did you mean '%s'?", name, nearest_name(names, name));
	guidance standard = standards[found];
	g->method = (guidance_method)found;
	g->eta = standard.eta, g->norm = standard.norm, g->momentum = standard.momentum;
	g->amount = standard.amount, g->mimic = standard.mimic, g->percentile = standard.percentile;
	for (const char *rest = text[length] ? text + length + 1 : ""; *rest;) {
		if (!read_value(rest, g, e)) return false;
		rest += strcspn(rest, ",");
		if (*rest) rest++;
	}
	return true;
}
