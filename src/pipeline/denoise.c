/* denoise.c - batches the branches, runs the network and guides. */
#include "pipeline/denoise.h"
#include "pipeline/latent.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t places(const denoiser *d) { return (size_t)d->width * (size_t)d->height; }

static void build(nn *n, const model *m, stage *s, const void *shapes)
{
	const denoiser *d = shapes;
	int batch = d->text->branches, tokens = d->text->tokens, width = d->text->width;
	s->in[0] = input(n->g, "x", REAL, shape4(batch, d->height, d->width, d->channels + d->extra));
	s->in[1] = input(n->g, "t", REAL, shape1(batch));
	s->in[2] = tokens ? input(n->g, "context", REAL, shape3(batch, tokens, width)) : 0;
	s->in[3] = d->embedded ? input(n->g, "guidance", REAL, shape2(batch, d->embedded)) : 0;
	denoiser_inputs in = { .x = s->in[0], .t = s->in[1], .context = s->in[2], .guidance = s->in[3] };
	s->out = family_denoise(n, &m->family, in);
}

bool denoiser_compile(denoiser *d, error *e)
{
	d->stage.name = "denoise";
	return stage_compile(&d->stage, d->model, build, d, e);
}

/* The scale less 1, in waves like a timestep (Luo et al. 2023; diffusers' get_guidance_scale_embedding): sines first.
 */
static bool write_guidance(denoiser *d, error *e)
{
	int half = d->embedded / 2, batch = d->text->branches;
	float *values = malloc((size_t)batch * (size_t)d->embedded * sizeof *values);
	if (!values) return fail(e, NO_MEMORY, "out of memory for the guidance");
	for (int b = 0; b < batch; b++)
		for (int i = 0; i < half; i++) {
			double x = (d->guidance.scale - 1) * 1000 * exp(-log(10000) * i / (half > 1 ? half - 1 : 1));
			values[b * d->embedded + i] = (float)sin(x);
			values[b * d->embedded + half + i] = (float)cos(x);
		}
	bool fine = stage_write(&d->stage, d->stage.in[3], values, e);
	free(values);
	return fine;
}

bool denoiser_allocate(denoiser *d, error *e)
{
	size_t branches = (size_t)d->text->branches, n = places(d);
	d->batch = malloc(branches * n * (size_t)(d->channels + d->extra) * sizeof(float));
	d->times = malloc(branches * sizeof(float));
	d->contexts = malloc((branches * (size_t)d->text->tokens * (size_t)d->text->width + 1) * sizeof(float));
	d->outputs = malloc(2 * branches * n * (size_t)d->channels * sizeof(float));
	d->context_step = -1;
	if (!d->batch || !d->times || !d->contexts || !d->outputs)
		return fail(e, NO_MEMORY, "out of memory for latents of %d×%d", d->width, d->height);
	return stage_allocate(&d->stage, d->model, e) && (!d->embedded || write_guidance(d, e));
}

void denoiser_free(denoiser *d)
{
	stage_free(&d->stage);
	free(d->batch);
	free(d->times);
	free(d->contexts);
	free(d->outputs);
	d->batch = d->times = d->contexts = d->outputs = NULL;
}

static bool write_contexts(denoiser *d, int step, error *e)
{
	const conditioning *c = d->text;
	size_t n = (size_t)c->tokens * (size_t)c->width;
	if (!c->tokens || d->context_step == step) return true;
	for (int b = 0; b < c->branches; b++) {
		const float *from = conditioning_context(c, step, b);
		const float *to = d->text_to ? conditioning_context(d->text_to, step, b) : from;
		float *out = d->contexts + (size_t)b * n;
		if (to == from)
			memcpy(out, from, n * sizeof *out);
		else
			for (size_t i = 0; i < n; i++) out[i] = (float)((1 - d->blend) * from[i] + d->blend * to[i]);
	}
	d->context_step = step;
	return stage_write(&d->stage, d->stage.in[2], d->contexts, e);
}

static bool write_latents(denoiser *d, double t, const float *x, error *e)
{
	int stride = d->channels + d->extra;
	size_t n = places(d);
	channels_last(d->batch, stride, 0, x, d->channels, n);
	if (d->extra) channels_last(d->batch, stride, d->channels, d->beside, d->extra, n);
	for (int b = 0; b < d->text->branches; b++) {
		if (b) memcpy(d->batch + (size_t)b * n * (size_t)stride, d->batch, n * (size_t)stride * sizeof(float));
		d->times[b] = (float)t;
	}
	return stage_write(&d->stage, d->stage.in[0], d->batch, e) && stage_write(&d->stage, d->stage.in[1], d->times, e);
}

/* The conditional branches as one: unconditional + Σ weight·(conditional − unconditional), into the first of them. */
static void compose(const denoiser *d, float *branch, size_t n)
{
	const conditioning *c = d->text;
	int first = c->unconditional ? 1 : 0;
	if (c->branches - first == 1 && c->weights[first] == 1) return;
	float *sum = branch + (size_t)first * n;
	for (size_t i = 0; i < n; i++) {
		double base = c->unconditional ? branch[i] : 0, all = base;
		for (int b = first; b < c->branches; b++) all += c->weights[b] * (branch[(size_t)b * n + i] - base);
		sum[i] = (float)all;
	}
}

bool denoiser_call(void *context, int step, double t, const float *x, float *out, error *e)
{
	denoiser *d = context;
	const conditioning *c = d->text;
	size_t n = places(d) * (size_t)d->channels, all = n * (size_t)c->branches;
	float *branches = d->outputs, *raw = d->outputs + all;
	if (!write_contexts(d, step + d->first_step, e) || !write_latents(d, t, x, e) || !stage_run(&d->stage, e) ||
	    !stage_read(&d->stage, raw, e))
		return false;
	for (int b = 0; b < c->branches; b++)
		channels_first(branches + (size_t)b * n, raw + (size_t)b * n, d->channels, places(d));
	compose(d, branches, n);
	if (!c->unconditional)
		memcpy(out, branches, n * sizeof *out);
	else if (guidance_is_on(&d->guidance, step + d->first_step, d->steps))
		guide(&d->guidance, branches, branches + n, out, 1, n);
	else
		memcpy(out, branches + n, n * sizeof *out);
	return true;
}
