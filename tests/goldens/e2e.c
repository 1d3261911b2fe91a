/* e2e.c - whole tiny models of SDXL and Stable Diffusion 3 against their reference code: contexts and vectors of all
 * text encoders, every step's last latent, the decoded picture. Token ids are given. */
#include "arrays.h"
#include "goldens.h"
#include "tiny_family.h"
#include "pipeline/engine.h"
#include "pipeline/latent.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── a case ── */

typedef struct run {
	const char *name; /* of the file: "sdxl", "sd3" */
	model *m;
	session *s;
	const arrays *io;
	report *r;
} run;

static void give_ids(const run *y, job *j)
{
	static const char *const names[][TEXT_ENCODERS] = { { "ids_clip_l", "ids_open_clip", "" },
		{ "ids_clip_l", "ids_clip_g", "ids_t5" } };
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		dtype d;
		shape s;
		const void *ids;
		if (!array_find(y->io, names[y->m->family.conditioning == STACKED][i], &d, &s, &ids)) continue;
		for (int b = 0; b < j->text.branches; b++) {
			int32_t *to = j->text.texts[j->text.chosen[b]].of[i].ids; /* NULL: zeros in place of a text */
			if (to) memcpy(to, (const int32_t *)ids + b * s.d[1], (size_t)s.d[1] * sizeof *to);
		}
	}
}

/* Falling, the last of them 0; the caller frees. */
static double *sigmas_of(const arrays *io, const char *name, int *steps)
{
	size_t n = 0;
	const float *list = array_of(io, &n, "%s/sigmas", name);
	if (!list) list = array_of(io, &n, "sigmas");
	double *out = calloc(1001, sizeof *out);
	*steps = list ? (int)n - 1 : 0;
	for (int i = 0; list && i < (int)n; i++) out[i] = (double)list[i];
	for (const float *one; !list && (one = array_of(io, NULL, "%s/sigma.%d", name, *steps)); ++*steps)
		out[*steps] = (double)*one;
	return out;
}

static bool prepare(const run *y, const char *name, job *j, error *e)
{
	size_t n = 0;
	dtype d;
	shape s;
	const void *data;
	char key[128];
	int steps;
	snprintf(key, sizeof key, "%s/x.0", name);
	const float *x = array_of(y->io, &n, "%s", key);
	if (!array_find(y->io, key, &d, &s, &data) || !x) return fail(e, BAD_FILE, "no first latent");
	double *sigmas = sigmas_of(y->io, name, &steps);
	int factor = vae_factor(&y->m->family.autoencoder);
	const float *sizes = array_of(y->io, NULL, "size_crop_target");
	sumi_options o = sumi_defaults();
	o.prompt = "given";
	o.negative_prompt = strstr(name, "zero") || strstr(name, "diffusers") ? "" : "given too";
	o.zero_negative = true;
	o.width = factor * s.d[3];
	o.height = factor * s.d[2];
	o.steps = steps;
	o.guidance = y->m->family.conditioning == STACKED ? 4.5 : 5;
	o.sampler = strstr(name, "2m") ? "DPM++ 2M" : "Euler";
	if (sizes) {
		o.original_height = (int)sizes[0], o.original_width = (int)sizes[1];
		o.crop_top = (int)sizes[2], o.crop_left = (int)sizes[3];
		o.target_height = (int)sizes[4], o.target_width = (int)sizes[5];
	}
	bool flow = y->m->family.prediction == PREDICT_FLOW, fine = job_prepare(j, y->s, NULL, &o, e);
	if (fine) {
		trajectory_free(&j->path);
		fine =
		    trajectory_from_sigmas(&j->path, flow ? FLOW_MATCHING : VARIANCE_EXPLODING, &j->schedule, sigmas, steps, e);
		give_ids(y, j);
	}
	if (fine && flow) { /* as the reference has it: k-diffusion's solvers on flow's sigmas */
		j->path.form = VARIANCE_EXPLODING;
		for (int i = 0; i < steps; i++) j->path.steps[i].from.alpha = j->path.steps[i].to.alpha = 1;
	}
	if (fine) {
		j->original = malloc(n * sizeof *x);
		channels_last(j->original, x, j->channels, j->positions);
		j->start = (path_point){ .alpha = 1 };
	}
	free(sigmas);
	return fine;
}

/* T5's scores are not divided by √d, which multiplies what bf16 rounds off queries and keys. */
static double tolerance_of(const run *y)
{
	return y->m->compute != BF16 ? 1e-4 : y->m->family.conditioning == STACKED ? 5e-2 : 3e-2;
}

static double text_error(const run *y, const job *j, double *vector)
{
	size_t one = (size_t)j->text.tokens * (size_t)j->text.width, n, width = (size_t)j->text.vector;
	const float *expected = array_of(y->io, &n, "context_uncond_cond");
	const float *v =
	    array_of(y->io, NULL, "%s", y->m->family.conditioning == STACKED ? "y_uncond_cond" : "vector_uncond_cond");
	float *out = malloc((width + 1) * sizeof *out);
	double worst = 0;
	*vector = v ? 0 : INFINITY;
	if (!expected || n != 2 * one) worst = INFINITY;
	for (int b = 0; b < 2 && isfinite(worst); b++) {
		worst = worse(worst, relative_max(conditioning_context(&j->text, 0, b), expected + (size_t)b * one, one));
		conditioning_vector(&j->text, 0, b, out);
		if (v) *vector = worse(*vector, relative_max(out, v + (size_t)b * width, width));
	}
	free(out);
	return worst;
}

static void compare(const run *y, const char *name, const char *what, const float *ours, const float *golden, size_t n)
{
	char topic[160];
	snprintf(topic, sizeof topic, "e2e/%s %s: %s%s", y->name, name, what, y->m->compute == BF16 ? " bf16" : "");
	report_error(y->r, topic, ours && golden ? relative_l2(ours, golden, n) : INFINITY, tolerance_of(y));
}

static void run_case(const run *y, const char *name)
{
	job one = { 0 }, *j = &one;
	error e = { 0 };
	char topic[160];
	float *latent = NULL, *picture = NULL;
	if (prepare(y, name, j, &e) && conditioning_encode(&j->text, y->s, j->adapters, j->skip, NULL, &e)) {
		double vector, text = text_error(y, j, &vector), tolerance = tolerance_of(y);
		snprintf(topic, sizeof topic, "e2e/%s %s: context%s", y->name, name, y->m->compute == BF16 ? " bf16" : "");
		if (*j->o->negative_prompt) report_error(y->r, topic, text, tolerance);
		snprintf(topic, sizeof topic, "e2e/%s %s: vector%s", y->name, name, y->m->compute == BF16 ? " bf16" : "");
		if (*j->o->negative_prompt) report_error(y->r, topic, vector, tolerance);
		latent = engine_denoise(y->s, &j, 1, NULL, &e);
	}
	if (latent) picture = engine_decode(y->s, &j, 1, latent, NULL, &e);
	if (!picture) printf("      e2e/%s %s: %s\n", y->name, name, e.text);
	size_t n = j->positions * (size_t)j->channels, values = (size_t)j->width * (size_t)j->height * 3;
	float *planes = malloc((n > values ? n : values) * sizeof *planes);
	if (latent) channels_first(planes, latent, j->channels, j->positions);
	compare(
	    y, name, "the last latent", latent ? planes : NULL, array_of(y->io, NULL, "%s/x.%d", name, j->path.count), n);
	if (picture) channels_first(planes, picture, 3, values / 3);
	compare(y, name, "decoded", picture ? planes : NULL, array_of(y->io, NULL, "%s/decoded", name), values);
	free(planes);
	free(latent);
	free(picture);
	job_free(j);
}

/* The heads of the first two encoders with which the first context is the golden's. */
static bool find_heads(const run *y, const arrays *a, const char *name, const char *first, int *heads)
{
	enum { MOST = 12 };
	double least = INFINITY;
	for (int i = 0; i < MOST * MOST; i++) {
		const int tried[TEXT_ENCODERS] = { 1 + i / MOST, 1 + i % MOST };
		error e = { 0 };
		job one = { 0 };
		double vector;
		run here = *y;
		if (!tiny_family(a, name, tried, &y->m->family, &e)) continue;
		here.s = session_open(y->m, 0, false, &e);
		if (here.s && prepare(&here, first, &one, &e) &&
		    conditioning_encode(&one.text, here.s, one.adapters, one.skip, NULL, &e)) {
			double off = text_error(&here, &one, &vector);
			if (off < least) least = off, memcpy(heads, tried, sizeof tried);
		}
		job_free(&one);
		session_close(here.s);
	}
	return isfinite(least);
}

static void run_file(const char *dir, const char *file, const char *known, const char *const *cases, report *r)
{
	arrays a = arrays_open(path_of(dir, "e2e/%s.safetensors", file));
	arrays io = arrays_open(path_of(dir, "e2e/%s.io.safetensors", file));
	error e = { 0 };
	model m = { .path = (char *)"e2e",
		.name = "e2e",
		.compute = REAL,
		.threads = 2,
		.backend = golden_backend(),
		.bind = tiny_bind,
		.bind_context = &a };
	run y = { file, &m, NULL, &io, r };
	family f = *family_by_name(known, &e);
	int heads[TEXT_ENCODERS] = { 0 };
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (f.text[i].kind != NO_TEXT) m.tokenizers[i] = tokenizer_open(f.text[i].tokenizer, NULL, 0, &e);
	bool found = a.header && io.header && find_heads(&y, &a, known, cases[0], heads) &&
	             tiny_family(&a, known, heads, &m.family, &e);
	if (!found) report_error(r, file, INFINITY, 0);
	for (int i = 0; found && i < 2; i++) {
		m.compute = i ? BF16 : REAL;
		y.s = session_open(&m, 0, false, &e);
		for (int k = 0; cases[k]; k++) run_case(&y, cases[k]);
		session_close(y.s);
	}
	for (int i = 0; i < TEXT_ENCODERS; i++) tokenizer_close(m.tokenizers[i]);
	arrays_close(&io);
	arrays_close(&a);
}

void golden_e2e(const char *dir, report *r)
{
	static const char *const sdxl[] = { "sgm_euler", "sgm_euler_zero_uncond", "diffusers_euler", NULL };
	static const char *const sd3[] = { "euler", "dpmpp_2m", NULL };
	if (exists(path_of(dir, "e2e/sdxl.safetensors"))) run_file(dir, "sdxl", "sdxl", sdxl, r);
	if (exists(path_of(dir, "e2e/sd3.safetensors"))) run_file(dir, "sd3", "sd3-medium", sd3, r);
}
