/* generate.c - runs a job: encode, denoise, decode, and the memory of each. */
#include "pipeline/generate.h"
#include "base/resources.h"
#include "pipeline/latent.h"
#include "checkpoint/hash.h"
#include "pipeline/parameters.h"
#include "pipeline/picture.h"
#include "pipeline/traces.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ── the stages of the autoencoder ── */

static void build_encoder(nn *n, const model *m, stage *s, const void *shapes)
{
	const job *j = shapes;
	s->in[0] = input(n->g, "image", REAL, shape4(1, j->height, j->width, m->family.autoencoder.in_channels));
	s->out = vae_mean(n->g, family_encode_image(n, &m->family, s->in[0]));
}

static void build_decoder(nn *n, const model *m, stage *s, const void *shapes)
{
	const job *j = shapes;
	s->in[0] = input(n->g, "latent", REAL, shape4(1, j->latent_height, j->latent_width, j->channels));
	push(n->g, m->taesd ? "taesd" : "");
	s->out = m->taesd ? taesd_decode(n, &m->tiny, s->in[0]) : family_decode_latent(n, &m->family, s->in[0]);
	pop(n->g);
}

bool job_compile(job *j, error *e)
{
	model *m = j->m;
	m->adapters = j->adapters;
	m->adapter_count = m->lasting.count + j->of_prompt.count;
	j->encoder.name = "encode";
	j->decoder.name = "decode";
	int skip = j->o->clip_skip ? j->o->clip_skip - 1 : -1;
	bool reads_picture = j->o->init || j->denoiser.extra;
	return conditioning_compile(&j->text, m, skip, e) && conditioning_compile(&j->text_to, m, skip, e) &&
	       (!reads_picture || stage_compile(&j->encoder, m, build_encoder, j, e)) &&
	       denoiser_compile(&j->denoiser, e) && stage_compile(&j->decoder, m, build_decoder, j, e);
}

/* ── memory ── */

/* Beside the graphs: latents, the sampler's buffers, contexts; and the picture as floats. */
static uint64_t host_bytes(const job *j)
{
	uint64_t latents = (uint64_t)sampler_buffers(j->sampler) + 8 + 4 * (uint64_t)j->text.branches;
	uint64_t contexts = (uint64_t)(j->text.text_count + j->text.branches) * (uint64_t)j->text.tokens;
	return sizeof(float) * (latents * j->places * (uint64_t)j->channels + contexts * (uint64_t)j->text.width);
}

static uint64_t picture_bytes(const job *j) { return (uint64_t)j->width * (uint64_t)j->height * 3 * sizeof(float); }

static double mib(uint64_t bytes) { return (double)bytes / (1 << 20); }

static void note_stage(const job *j, const stage *s)
{
	if (s->g)
		model_note(j->m, SUMI_DETAIL, "memory: %-8s %8.1f MiB values, %8.1f MiB weights, %8.1f MiB to prepare them",
		    s->name, mib(graph_arena_bytes(s->g)), mib(graph_constant_bytes(s->g)), mib(graph_setup_bytes(s->g)));
}

bool job_plan(job *j, error *e)
{
	const stage *stages[] = { &j->text.stage, &j->encoder, &j->denoiser.stage, &j->decoder, &j->text_to.stage };
	uint64_t most = 0, limit = j->m->max_memory;
	for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
		uint64_t bytes = stage_bytes(stages[i]) + (i == 1 || i == 3 ? picture_bytes(j) : 0);
		if (bytes > most) most = bytes;
		note_stage(j, stages[i]);
	}
	most += host_bytes(j);
	j->before = memory_resident();
	j->planned = j->before + most;
	uint64_t available = memory_available();
	model_note(j->m, SUMI_DETAIL,
	    "memory: peak %.1f MiB planned, %.1f MiB of it in use already; the system has %.1f MiB", mib(j->planned),
	    mib(j->before), mib(available));
	if (limit && j->planned > limit)
		return fail(e, NO_MEMORY, "memory: %.1f MiB are needed for %d×%d, more than the %.1f MiB that were allowed",
		    mib(j->planned), j->width, j->height, mib(limit));
	if (most > available)
		return fail(e, NO_MEMORY, "memory: %.1f MiB more are needed for %d×%d, the system has %.1f MiB", mib(most),
		    j->width, j->height, mib(available));
	return true;
}

static void measure(job *j)
{
	uint64_t now = memory_resident();
	if (now > j->measured) j->measured = now;
}

/* ── running ── */

static bool encode_one(job *j, const float *image, float *latent, error *e)
{
	size_t n = j->places * (size_t)j->channels;
	float *out = malloc(n * sizeof *out);
	if (!out) return fail(e, NO_MEMORY, "out of memory for a latent");
	bool fine = stage_write(&j->encoder, j->encoder.in[0], image, e) && stage_run(&j->encoder, e) &&
	            stage_read(&j->encoder, out, e);
	if (fine) {
		channels_first(latent, out, j->channels, j->places);
		for (size_t i = 0; i < n; i++) latent[i] = (latent[i] - j->m->family.latent_shift) * j->m->family.latent_scale;
	}
	free(out);
	return fine;
}

/* The picture that is begun from, and what an inpainting model reads beside the latent: the mask, and the latent of the
 * picture with what is to be painted grey. Without a picture all is to be painted. */
static bool encode_pictures(job *j, error *e)
{
	size_t n = j->places * (size_t)j->channels;
	if (!j->encoder.g) return true;
	if (!stage_allocate(&j->encoder, j->m, e) || !model_progress(j->m, "encode", 0, 1, e)) return false;
	float *image = picture_of(j->o->init, j->width, j->height, e);
	bool fine = image != NULL;
	if (fine && j->o->init) {
		j->original = malloc(n * sizeof *j->original);
		fine = j->original ? encode_one(j, image, j->original, e) : fail(e, NO_MEMORY, "out of memory for a latent");
	}
	if (fine && j->o->mask) fine = (j->mask = mask_of(j->o->mask, j->latent_width, j->latent_height, e)) != NULL;
	if (fine && j->denoiser.extra) {
		j->beside = malloc((n + j->places) * sizeof *j->beside);
		for (size_t i = 0; j->beside && i < j->places; i++) j->beside[i] = j->mask ? j->mask[i] : j->o->init ? 0 : 1;
		fine = j->beside ? grey_masked(image, j->o->init ? j->o->mask : NULL, j->width, j->height, e) &&
		                       encode_one(j, image, j->beside + j->places, e)
		                 : fail(e, NO_MEMORY, "out of memory for a latent");
	}
	measure(j);
	free(image);
	stage_free(&j->encoder);
	return fine && model_progress(j->m, "encode", 1, 1, e);
}

static bool draw_noise(void *context, double from, double to, float *out, size_t n, error *e)
{
	(void)from, (void)to, (void)e;
	noise_draw(context, out, n);
	return true;
}

static bool after_step(void *context, int done, int calls, const float *x, const float *denoised)
{
	const job *j = context;
	(void)calls, (void)x, (void)denoised;
	return model_progress(j->m, "denoise", done, j->path.count, NULL);
}

/* Turns the noise towards that of another seed. */
static bool vary_noise(job *j, error *e)
{
	size_t n = j->places * (size_t)j->channels;
	float *other = malloc(n * sizeof *other);
	noise source;
	if (!other) return fail(e, NO_MEMORY, "out of memory for a latent");
	noise_seed(&source, j->cuda, (uint64_t)j->o->variation_seed);
	noise_draw(&source, other, n);
	noise_turn(j->latent, other, j->o->variation_strength, j->channels, j->latent_height, j->latent_width);
	free(other);
	return true;
}

/* The first latent: noise as strong as the path begins, on the picture's latent if there is one. */
static bool begin_latent(job *j, error *e)
{
	size_t n = j->places * (size_t)j->channels;
	j->latent = malloc(n * sizeof *j->latent);
	if (!j->latent) return fail(e, NO_MEMORY, "out of memory for a latent");
	noise_seed(&j->noise, j->cuda, (uint64_t)j->seed);
	noise_draw(&j->noise, j->latent, n);
	if (j->o->variation_strength > 0 && !vary_noise(j, e)) return false;
	for (size_t i = 0; i < n; i++)
		j->latent[i] = j->original
		                   ? (float)(j->start.alpha * (double)j->original[i] + j->start.sigma * (double)j->latent[i])
		                   : (float)(j->path.start * (double)j->latent[i]);
	return true;
}

bool job_denoise(job *j, error *e)
{
	size_t n = j->places * (size_t)j->channels;
	denoiser *d = &j->denoiser;
	if (!begin_latent(j, e)) return false;
	if (j->skipped >= j->path.count) { /* nothing may change */
		memcpy(j->latent, j->original, n * sizeof *j->latent);
		return true;
	}
	j->tree = brownian_tree_over(&j->path, (uint64_t)j->seed);
	trajectory_skip(&j->path, j->skipped);
	d->beside = j->beside;
	sampling hooks = {
		.denoise = denoiser_call,
		.denoise_context = d,
		.noise = sampler_is_brownian(j->sampler) ? brownian_noise : draw_noise,
		.noise_context = sampler_is_brownian(j->sampler) ? (void *)&j->tree : &j->noise,
		.progress = after_step,
		.progress_context = j,
		.prediction = j->prediction,
		.known = j->original,
		.mask = j->original ? j->mask : NULL,
		.places = j->places,
	};
	bool fine = denoiser_allocate(d, e) && model_progress(j->m, "denoise", 0, j->path.count, e) &&
	            sample(j->sampler, &j->settings, &j->path, &hooks, j->latent, n, e);
	measure(j);
	denoiser_free(d);
	if (fine && hooks.mask) keep_unmasked(j->latent, j->original, j->mask, j->channels, j->places);
	return fine;
}

bool job_decode(job *j, error *e)
{
	size_t n = j->places * (size_t)j->channels;
	const family *f = &j->m->family;
	float *latent = malloc(n * sizeof *latent);
	j->picture = malloc((size_t)picture_bytes(j));
	bool fine =
	    (latent && j->picture) || fail(e, NO_MEMORY, "out of memory for a picture of %d×%d", j->width, j->height);
	fine = fine && stage_allocate(&j->decoder, j->m, e) && model_progress(j->m, "decode", 0, 1, e);
	if (fine) {
		channels_last(latent, j->channels, 0, j->latent, j->channels, j->places);
		for (size_t i = 0; !j->m->taesd && i < n; i++) latent[i] = latent[i] / f->latent_scale + f->latent_shift;
		fine = stage_write(&j->decoder, j->decoder.in[0], latent, e) && stage_run(&j->decoder, e) &&
		       stage_read(&j->decoder, j->picture, e);
	}
	for (size_t i = 0; fine && j->m->taesd && i < (size_t)j->width * (size_t)j->height * 3; i++)
		j->picture[i] = 2 * j->picture[i] - 1;
	measure(j);
	free(latent);
	stage_free(&j->decoder);
	return fine && model_progress(j->m, "decode", 1, 1, e);
}

bool job_run(job *j, error *e)
{
	if (!conditioning_encode(&j->text, j->m, e) || !conditioning_encode(&j->text_to, j->m, e)) return false;
	measure(j);
	if (!encode_pictures(j, e) || !job_denoise(j, e) || !job_decode(j, e)) return false;
	model_note(
	    j->m, SUMI_DETAIL, "memory: peak %.1f MiB planned, %.1f MiB measured", mib(j->planned), mib(j->measured));
	return true;
}

void job_free(job *j)
{
	conditioning_free(&j->text);
	conditioning_free(&j->text_to);
	stage_free(&j->encoder);
	denoiser_free(&j->denoiser);
	stage_free(&j->decoder);
	trajectory_free(&j->path);
	noise_schedule_free(&j->schedule);
	adapters_close(&j->of_prompt);
	free(j->adapters);
	free(j->prompt);
	free(j->latent);
	free(j->original);
	free(j->mask);
	free(j->beside);
	free(j->picture);
	j->m->adapters = NULL;
	j->m->adapter_count = 0;
	*j = (job){ 0 };
}

/* ── the whole ── */

/* "NAME hash" and "NAME" */
static void describe_file(parameters *p, const char *name, const char *path, bool hashes)
{
	char label[32], hex[65];
	const char *slash = strrchr(path, '/');
	snprintf(label, sizeof label, "%s hash", name);
	if (hashes && file_hash(path, hex)) {
		hex[10] = 0;
		parameters_text(p, label, hex);
	}
	parameters_text(p, name, slash && slash[1] ? slash + 1 : path);
}

static void describe(const job *j, parameters *p)
{
	const sumi_options *o = j->o;
	const model *m = j->m;
	char text[65];
	bool timesteps = j->path.form == VARIANCE_PRESERVING;
	trace_prompts(p, m, o);
	parameters_integer(p, "Steps", o->steps);
	parameters_text(p, "Sampler", sampler_name(j->sampler));
	if (!timesteps && !j->own_scheduler) parameters_text(p, "Schedule type", spacing_name(j->spacing));
	parameters_number(p, "CFG scale", j->guidance);
	parameters_integer(p, "Seed", j->seed);
	if (o->variation_strength > 0) {
		parameters_integer(p, "Variation seed", o->variation_seed);
		parameters_number(p, "Variation seed strength", o->variation_strength);
	}
	if (j->text_to.branches) {
		parameters_text(p, "Prompt to", o->prompt_to);
		parameters_number(p, "Blend", o->blend);
	}
	snprintf(text, sizeof text, "%dx%d", j->width, j->height);
	parameters_text(p, "Size", text);
	if (o->hashes && file_hash(m->path, text)) {
		text[10] = 0;
		parameters_text(p, "Model hash", text);
	}
	parameters_text(p, "Model", m->name);
	if (m->vae_path) describe_file(p, "VAE", m->vae_path, o->hashes);
	if (m->taesd_path) {
		parameters_text(p, "VAE Decoder", "TAESD");
		describe_file(p, "TAESD", m->taesd_path, o->hashes);
	}
	if (o->init) parameters_number(p, "Denoising strength", o->strength);
	if (o->clip_skip > 1) parameters_integer(p, "Clip skip", o->clip_skip);
	parameters_text(p, "RNG", j->cuda ? "NV" : "CPU");
	if (o->eta >= 0) parameters_number(p, "Eta", o->eta);
	if (o->guidance_rescale > 0) parameters_number(p, "Guidance rescale", o->guidance_rescale);
	if (o->guidance_skip_to > o->guidance_skip_from) {
		parameters_number(p, "Guidance skip from", o->guidance_skip_from);
		parameters_number(p, "Guidance skip to", o->guidance_skip_to);
	}
	if (o->hashes) trace_hashes(p, m, o);
	parameters_text(p, "Version", "sumi " SUMI_VERSION);
}

sumi_image *generate(model *m, const sumi_options *o, error *e)
{
	job j = { 0 };
	sumi_image init, mask;
	sumi_options own = *o;
	if (o->init && !adopt_image(&init, o->init, "the picture to begin from", e)) return NULL;
	if (o->mask && !adopt_image(&mask, o->mask, "the mask", e)) return NULL;
	if (o->init) own.init = &init;
	if (o->mask) own.mask = &mask;
	o = &own;
	if (!adopt_listener(&m->watcher.listener, o->listener, e)) return NULL;
	m->watcher.cancel = o->cancel;
	parameters p = { 0 };
	sumi_image *image = NULL;
	bool fine = job_prepare(&j, m, o, e) && job_compile(&j, e) && job_plan(&j, e) && job_run(&j, e);
	if (fine) image = picture_from(j.picture, j.width, j.height, o->init, o->mask, e);
	if (image) {
		describe(&j, &p);
		image->seed = j.seed;
		image->parameters = p.text;
		if (p.full) fail(e, NO_MEMORY, "out of memory for the picture's text");
	}
	j.m = m;
	job_free(&j);
	m->watcher = (watcher){ 0 };
	return image;
}

/* What a graph prints, for whoever writes. */
static bool write_dump(const graph *g, sumi_write_fn *write, void *context, error *e)
{
	char *text = NULL;
	size_t count = 0;
	FILE *to = open_memstream(&text, &count);
	if (to) graph_dump(g, to);
	bool fine = to && !fclose(to);
	if (!fine)
		fail(e, NO_MEMORY, "out of memory for the text");
	else if (!write(context, text, count))
		fine = fail(e, BAD_FILE, "the text could not be written");
	free(text);
	return fine;
}

bool dump_stage(
    model *m, const sumi_options *o, const char *name, bool profile, sumi_write_fn *write, void *context, error *e)
{
	if (!adopt_listener(&m->watcher.listener, o->listener, e)) return false;
	job j = { 0 };
	stage *chosen = NULL;
	bool fine = job_prepare(&j, m, o, e) && job_compile(&j, e);
	stage *stages[] = { &j.text.stage, &j.denoiser.stage, &j.decoder };
	for (size_t i = 0; fine && i < sizeof stages / sizeof *stages; i++)
		if (stages[i]->g && !strcmp(stages[i]->name, name)) chosen = stages[i];
	if (fine && !chosen)
		fine = fail(e, BAD_USAGE, "'%.40s' is no network of this model: encode, denoise or decode", name);
	if (fine && profile) {
		fine = job_plan(&j, e) && stage_allocate(chosen, m, e) && stage_run(chosen, e);
		graph_profile(chosen->g, true);
		fine = fine && stage_run(chosen, e);
	}
	if (fine) fine = write_dump(chosen->g, write, context, e);
	j.m = m;
	job_free(&j);
	m->watcher = (watcher){ 0 };
	return fine;
}
