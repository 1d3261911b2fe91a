/* e2e.c - whole tiny models of SDXL and Stable Diffusion 3 against their reference code: contexts and vectors of all
 * text encoders, every step's last latent, the decoded picture. Token ids are given. */
#include "arrays.h"
#include "goldens.h"
#include "models/config.h"
#include "pipeline/engine.h"
#include "pipeline/latent.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── the model that a file holds, known from its shapes ── */

__attribute__((format(printf, 3, 4))) static int axis(const arrays *a, int i, const char *format, ...)
{
	char name[256];
	va_list list;
	va_start(list, format);
	vsnprintf(name, sizeof name, format, list);
	va_end(list);
	dtype d;
	shape s;
	const void *data;
	return array_find(a, name, &d, &s, &data) && i < s.n ? s.d[i] : 0;
}

/* How many of "before.0.after", "before.1.after", … there are. */
static int count_of(const arrays *a, const char *format)
{
	int n = 0;
	char name[256];
	do snprintf(name, sizeof name, format, n);
	while (json_object_get(a->header, name) && ++n);
	return n;
}

static void size_hugging_face(const arrays *a, const char *prefix, clip_config *c)
{
	char format[256];
	c->vocabulary = axis(a, 0, "%s.text_model.embeddings.token_embedding.weight", prefix);
	c->width = axis(a, 1, "%s.text_model.embeddings.token_embedding.weight", prefix);
	c->inner = axis(a, 0, "%s.text_model.encoder.layers.0.mlp.fc1.weight", prefix);
	snprintf(format, sizeof format, "%s.text_model.encoder.layers.%%d.layer_norm1.bias", prefix);
	c->layers = count_of(a, format);
	if (c->projection) c->projection = c->width;
}

static void size_open_clip(const arrays *a, const char *prefix, clip_config *c)
{
	char format[256];
	c->vocabulary = axis(a, 0, "%s.token_embedding.weight", prefix);
	c->width = axis(a, 1, "%s.token_embedding.weight", prefix);
	c->projection = axis(a, 1, "%s.text_projection", prefix);
	c->inner = 4 * c->width;
	snprintf(format, sizeof format, "%s.transformer.resblocks.%%d.ln_1.bias", prefix);
	c->layers = count_of(a, format);
}

static void size_t5(const arrays *a, const char *prefix, t5_config *c)
{
	char format[256];
	c->vocabulary = axis(a, 0, "%s.encoder.embed_tokens.weight", prefix);
	c->width = axis(a, 1, "%s.encoder.embed_tokens.weight", prefix);
	c->heads = axis(a, 1, "%s.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", prefix);
	c->head_width = axis(a, 0, "%s.encoder.block.0.layer.0.SelfAttention.q.weight", prefix) / c->heads;
	c->inner = axis(a, 0, "%s.encoder.block.0.layer.1.DenseReluDense.wi_0.weight", prefix);
	snprintf(format, sizeof format, "%s.encoder.block.%%d.layer.0.layer_norm.weight", prefix);
	c->layers = count_of(a, format);
}

static void size_autoencoder(const arrays *a, vae_config *c)
{
	c->channels = axis(a, 1, "first_stage_model.decoder.conv_out.weight");
	c->levels = count_of(a, "first_stage_model.decoder.up.%d.block.0.norm1.weight");
	c->blocks = count_of(a, "first_stage_model.decoder.up.0.block.%d.norm1.weight") - 1;
	for (int i = 0; i < c->levels; i++)
		c->multiplier[i] = axis(a, 0, "first_stage_model.decoder.up.%d.block.0.conv1.weight", i) / c->channels;
}

static json_t *described(const arrays *a, const char *key)
{
	return json_loads(json_string_value(json_object_get(json_object_get(a->header, "__metadata__"), key)), 0, NULL);
}

static bool read_denoiser(const arrays *a, family *f, error *e)
{
	json_t *unet = described(a, "unet"), *mmdit = described(a, "mmdit");
	bool fine = unet || mmdit;
	if (unet) fine = unet_config_from_json(unet, &f->denoiser.unet, e);
	if (mmdit) {
		mmdit_config *c = &f->denoiser.mmdit;
		fine = mmdit_config_from_json(mmdit, c, e);
		c->positions = (int)json_integer_value(json_object_get(mmdit, "pm"));
		c->context = axis(a, 1, "model.diffusion_model.context_embedder.weight");
		c->vector = axis(a, 1, "model.diffusion_model.y_embedder.mlp.0.weight");
		c->width = axis(a, 0, "model.diffusion_model.context_embedder.weight");
	}
	json_decref(unet);
	json_decref(mmdit);
	return fine;
}

/* How many heads each encoder has stands nowhere: it is tried. Begin and end are the last two of the vocabulary. */
static bool read_family(const arrays *a, const char *name, const int *heads, family *f, error *e)
{
	*f = *family_by_name(name, e);
	if (!read_denoiser(a, f, e)) return false;
	size_autoencoder(a, &f->autoencoder);
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		text_config *t = &f->text[i];
		if (t->kind == T5_TEXT) size_t5(a, f->prefix[TEXT_ENCODER + i], &t->t5);
		if (t->kind != CLIP_TEXT) continue;
		(t->clip.fused ? size_open_clip : size_hugging_face)(a, f->prefix[TEXT_ENCODER + i], &t->clip);
		t->begin = t->clip.vocabulary - 2;
		t->end = t->clip.vocabulary - 1;
		t->clip.heads = heads[i];
		if (t->clip.width % heads[i]) return fail(e, BAD_FILE, "%d channels in %d heads", t->clip.width, heads[i]);
	}
	return true;
}

static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const arrays *a = context;
	shape found;
	char other[512];
	const char *shared = strstr(name, "transformer.shared.weight");
	if (shared && !json_object_get(a->header, name)) { /* files hold either */
		snprintf(other, sizeof other, "%.*stransformer.encoder.embed_tokens.weight", (int)(shared - name), name);
		name = other;
	}
	return (array_find(a, name, d, &found, data) && shape_count(found) == shape_count(s)) ||
	       fail(e, BAD_FILE, "no tensor '%s' of that shape", name);
}

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
		if (!read_family(a, name, tried, &y->m->family, &e)) continue;
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
		.bind = bind,
		.bind_context = &a };
	run y = { file, &m, NULL, &io, r };
	family f = *family_by_name(known, &e);
	int heads[TEXT_ENCODERS] = { 0 };
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (f.text[i].kind != NO_TEXT) m.tokenizers[i] = tokenizer_open(f.text[i].tokenizer, NULL, 0, &e);
	bool found = a.header && io.header && find_heads(&y, &a, known, cases[0], heads) &&
	             read_family(&a, known, heads, &m.family, &e);
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
