/* batch.c - the stages of generate.c for several pictures: texts one by one, denoiser and decoder together. */
#include "pipeline/batch.h"
#include "base/resources.h"
#include "pipeline/latent.h"
#include "pipeline/picture.h"
#include <stdlib.h>
#include <string.h>

enum { PLACES_AT_ONCE = 4096, MOST_AT_ONCE = 16 };

struct batch {
	model own; /* the caller's, without its listener: progress is counted in pictures, by whoever draws them */
	sumi_options options;
	job shared; /* of no picture in particular: sizes, sampler, path */
	int size, branches, tokens, width;
	conditioning *texts; /* [size] */
	noise *noise;        /* [size] */
	stage denoiser, decoder;
	size_t one;                             /* values of a latent */
	float *latents;                         /* [size][C][places] */
	float *inputs, *times, *contexts, *raw; /* of the denoiser: [branches][size]…, channels last */
	float *outputs;                         /* [branches][size][C][places] */
	float *pictures;                        /* [size][height][width][3] */
};

int batch_size_for(const model *m, int width, int height)
{
	int factor = vae_factor(&m->family.autoencoder), places = width / factor * (height / factor);
	int n = places > 0 ? PLACES_AT_ONCE / places : 1;
	return n < 1 ? 1 : n > MOST_AT_ONCE ? MOST_AT_ONCE : n;
}

/* ── networks ── */

static void build_denoiser(nn *n, const model *m, stage *s, const void *shapes)
{
	const batch *b = shapes;
	const job *j = &b->shared;
	int all = b->size * b->branches;
	s->in[0] = input(n->g, "x", REAL, shape4(all, j->latent_height, j->latent_width, j->channels));
	s->in[1] = input(n->g, "t", REAL, shape1(all));
	s->in[2] = b->tokens ? input(n->g, "context", REAL, shape3(all, b->tokens, b->width)) : 0;
	denoiser_inputs in = { .x = s->in[0], .t = s->in[1], .context = s->in[2] };
	s->out = family_denoise(n, &m->family, in);
}

static void build_decoder(nn *n, const model *m, stage *s, const void *shapes)
{
	const batch *b = shapes;
	const job *j = &b->shared;
	s->in[0] = input(n->g, "latent", REAL, shape4(b->size, j->latent_height, j->latent_width, j->channels));
	s->out = family_decode_latent(n, &m->family, s->in[0]);
}

static bool make_networks(batch *b, error *e)
{
	b->denoiser.name = "denoise";
	b->decoder.name = "decode";
	if (!stage_compile(&b->denoiser, &b->own, build_denoiser, b, e) ||
	    !stage_compile(&b->decoder, &b->own, build_decoder, b, e))
		return false;
	uint64_t wanted = stage_bytes(&b->denoiser) + stage_bytes(&b->decoder), available = memory_available();
	if (b->own.max_memory && b->own.max_memory < available) available = b->own.max_memory;
	if (wanted > available)
		return fail(e, NO_MEMORY, "memory: %.1f MiB are needed to draw %d pictures at once, %.1f MiB are there",
		    (double)wanted / (1 << 20), b->size, (double)available / (1 << 20));
	return stage_allocate(&b->denoiser, &b->own, e) && stage_allocate(&b->decoder, &b->own, e);
}

static bool make_buffers(batch *b, error *e)
{
	const job *j = &b->shared;
	size_t size = (size_t)b->size, all = size * (size_t)b->branches, pixels = (size_t)j->width * (size_t)j->height * 3;
	b->texts = calloc(size, sizeof *b->texts);
	b->noise = calloc(size, sizeof *b->noise);
	b->latents = calloc(size * b->one, sizeof(float));
	b->inputs = calloc(all * b->one, sizeof(float));
	b->times = calloc(all, sizeof(float));
	b->contexts = calloc(all * (size_t)b->tokens * (size_t)b->width + 1, sizeof(float));
	b->raw = calloc(all * b->one, sizeof(float));
	b->outputs = calloc(all * b->one, sizeof(float));
	b->pictures = calloc(size * pixels, sizeof(float));
	if (b->texts && b->noise && b->latents && b->inputs && b->times && b->contexts && b->raw && b->outputs &&
	    b->pictures)
		return true;
	return fail(e, NO_MEMORY, "out of memory for %d pictures of %d×%d", b->size, j->width, j->height);
}

batch *batch_new(const model *m, const sumi_options *o, int size, error *e)
{
	batch *b = calloc(1, sizeof *b);
	if (!b) return fail(e, NO_MEMORY, "out of memory"), NULL;
	b->own = *m;
	b->own.watcher = (watcher){ 0 };
	b->own.taesd = NULL;
	b->options = *o;
	b->options.prompt = "";
	b->options.seed = 0;
	b->size = size;
	bool fine = (!o->init && !o->mask) || fail(e, BAD_USAGE, "a batch begins from noise, not from a picture");
	fine = fine && job_prepare(&b->shared, &b->own, &b->options, e);
	b->branches = b->shared.text.branches;
	b->tokens = b->shared.text.tokens;
	b->width = b->shared.text.width;
	b->one = b->shared.places * (size_t)b->shared.channels;
	if (fine && b->shared.denoiser.extra) fine = fail(e, BAD_USAGE, "%s: inpaints; no batch of it is known", m->path);
	b->own.adapters = b->shared.adapters;
	b->own.adapter_count = m->lasting.count;
	if (fine && make_buffers(b, e) && make_networks(b, e)) return b;
	batch_free(b);
	return NULL;
}

void batch_free(batch *b)
{
	if (!b) return;
	stage_free(&b->denoiser);
	stage_free(&b->decoder);
	for (int i = 0; b->texts && i < b->size; i++) conditioning_free(&b->texts[i]);
	if (b->shared.m) job_free(&b->shared);
	free(b->texts);
	free(b->noise);
	free(b->latents);
	free(b->inputs);
	free(b->times);
	free(b->contexts);
	free(b->raw);
	free(b->outputs);
	free(b->pictures);
	free(b);
}

/* ── drawing ── */

/* The text of place i. Chunks of a longer prompt would be another network: what does not fit the first is cut. */
static bool read_prompt(batch *b, int i, const char *prompt, error *e)
{
	const sumi_options *o = &b->options;
	conditioning *c = &b->texts[i];
	const char *negative = o->negative_prompt ? o->negative_prompt : "";
	int skip = o->clip_skip ? o->clip_skip - 1 : -1;
	conditioning_free(c);
	if (!conditioning_read(c, &b->own, prompt, negative, b->shared.text.unconditional, o->steps, e) ||
	    !conditioning_compile(c, &b->own, skip, e) || !conditioning_encode(c, &b->own, e))
		return false;
	if (c->branches == b->branches && c->tokens >= b->tokens && c->weights[b->branches - 1] == 1) return true;
	return fail(e, BAD_USAGE, "prompt \"%.200s\": AND is not known in a batch", prompt);
}

static bool write_contexts(batch *b, int step, error *e)
{
	size_t n = (size_t)b->tokens * (size_t)b->width;
	if (!n) return true;
	for (int k = 0; k < b->branches; k++)
		for (int i = 0; i < b->size; i++)
			memcpy(b->contexts + (size_t)(k * b->size + i) * n, conditioning_context(&b->texts[i], step, k),
			    n * sizeof(float));
	return stage_write(&b->denoiser, b->denoiser.in[2], b->contexts, e);
}

/* The guided output for all latents, [size][C][places]. */
static bool denoise(void *context, int step, double t, const float *x, float *out, error *e)
{
	batch *b = context;
	const job *j = &b->shared;
	size_t all = (size_t)b->size * b->one;
	for (int k = 0; k < b->size * b->branches; k++) {
		channels_last(
		    b->inputs + (size_t)k * b->one, j->channels, 0, x + (size_t)(k % b->size) * b->one, j->channels, j->places);
		b->times[k] = (float)t;
	}
	if (!write_contexts(b, step, e) || !stage_write(&b->denoiser, b->denoiser.in[0], b->inputs, e) ||
	    !stage_write(&b->denoiser, b->denoiser.in[1], b->times, e) || !stage_run(&b->denoiser, e) ||
	    !stage_read(&b->denoiser, b->raw, e))
		return false;
	for (int k = 0; k < b->size * b->branches; k++)
		channels_first(b->outputs + (size_t)k * b->one, b->raw + (size_t)k * b->one, j->channels, j->places);
	if (b->branches > 1 && guidance_is_on(&j->denoiser.guidance, step, j->path.count))
		guide(&j->denoiser.guidance, b->outputs, b->outputs + all, out, (size_t)b->size, b->one);
	else
		memcpy(out, b->outputs + (b->branches > 1 ? all : 0), all * sizeof *out);
	return true;
}

static bool draw_noise(void *context, double from, double to, float *out, size_t n, error *e)
{
	batch *b = context;
	(void)from, (void)to, (void)n, (void)e;
	for (int i = 0; i < b->size; i++) noise_draw(&b->noise[i], out + (size_t)i * b->one, b->one);
	return true;
}

static bool sample_latents(batch *b, error *e)
{
	const job *j = &b->shared;
	size_t n = (size_t)b->size * b->one;
	draw_noise(b, 0, 0, b->latents, n, e);
	for (size_t i = 0; i < n; i++) b->latents[i] = (float)(j->path.start * (double)b->latents[i]);
	sampling hooks = {
		.denoise = denoise,
		.denoise_context = b,
		.noise = draw_noise,
		.noise_context = b,
		.prediction = j->prediction,
	};
	return sample(j->sampler, &j->settings, &j->path, &hooks, b->latents, n, e);
}

static bool decode(batch *b, error *e)
{
	const job *j = &b->shared;
	const family *f = &b->own.family;
	for (int i = 0; i < b->size; i++)
		channels_last(
		    b->inputs + (size_t)i * b->one, j->channels, 0, b->latents + (size_t)i * b->one, j->channels, j->places);
	for (size_t i = 0; i < (size_t)b->size * b->one; i++)
		b->inputs[i] = b->inputs[i] / f->latent_scale + f->latent_shift;
	return stage_write(&b->decoder, b->decoder.in[0], b->inputs, e) && stage_run(&b->decoder, e) &&
	       stage_read(&b->decoder, b->pictures, e);
}

bool batch_draw(batch *b, const char *const *prompts, const int64_t *seeds, int count, sumi_image **pictures, error *e)
{
	const job *j = &b->shared;
	size_t each = (size_t)j->width * (size_t)j->height * 3;
	bool fine = (count > 0 && count <= b->size) || fail(e, BAD_USAGE, "%d pictures in a batch of %d", count, b->size);
	for (int i = 0; fine && i < b->size; i++) { /* what is left of the batch repeats the last picture */
		int from = i < count ? i : count - 1;
		noise_seed(&b->noise[i], j->cuda, (uint64_t)seeds[from]);
		fine = read_prompt(b, i, prompts[from], e);
	}
	fine = fine && sample_latents(b, e) && decode(b, e);
	for (int i = 0; i < count; i++) {
		pictures[i] = fine ? picture_from(b->pictures + (size_t)i * each, j->width, j->height, NULL, NULL, e) : NULL;
		if (!pictures[i]) fine = false;
	}
	for (int i = 0; !fine && i < count; i++) {
		sumi_image_free(pictures[i]);
		pictures[i] = NULL;
	}
	return fine;
}
