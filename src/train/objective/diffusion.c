/* diffusion.c - `train diffusion`: a text encoder and a U-Net on the latents of a frozen autoencoder, from nothing or
 * from a checkpoint. A batch's noise, times, samples of the latents and dropped captions are drawn for each sample from
 * its own seed; the network sees them as inputs, so its graph is the same for every way of training. */
#include "train/objective/diffusion.h"
#include "train/run/jobs.h"
#include "train/run/setup.h"
#include "train/run/survey.h"
#include "train/run/snapshot.h"
#include "train/objective/validation.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ── the graph ── */
tensor diffusion_build(void *context, nn *n, int count, int height, int width)
{
	diffusion *d = context;
	const family *f = &d->learner.family;
	graph *g = n->g;
	int factor = d->pixel_sizes ? vae_factor(&f->autoencoder) : 1, h = height / factor, w = width / factor;
	int channels = f->autoencoder.latent_channels;
	tensor x = input(g, "x", REAL, shape4(count, h, w, channels)), t = input(g, "t", REAL, shape1(count));
	tensor target = input(g, "target", REAL, shape4(count, h, w, channels));
	tensor importance = input(g, "weight", REAL, shape4(count, 1, 1, 1));
	denoiser_inputs in = { .x = x, .t = t };
	conditions_build(&d->conditions, f, n, count, &in);
	if (d->extend) d->extend(d->extend_context, n, &in);
	tensor out = family_denoise(n, f, in);
	tensor squares = activate(g, sub(g, out, target), SQUARE);
	return mean_all(g, mul(g, squares, importance));
}

/* ── the inputs ── */
static void take_sample(diffusion *d, generator *random, const float *moments, size_t places, float *latent)
{
	const family *f = &d->learner.family;
	int c = f->autoencoder.latent_channels;
	random_normal(random, d->scratch, places * (size_t)c);
	for (size_t p = 0; p < places; p++)
		for (int k = 0; k < c; k++) {
			float z = moments[p * 2 * (size_t)c + (size_t)k];
			z += expf(0.5f * moments[p * 2 * (size_t)c + (size_t)(c + k)]) * d->scratch[(size_t)k * places + p];
			latent[p * (size_t)c + (size_t)k] = (z - f->latent_shift) * f->latent_scale;
		}
}

enum { X, TARGET, TIMES, WEIGHTS, INPUTS };
static const char *const input_names[INPUTS] = { "x", "target", "t", "weight" };

static bool make_inputs(const graph *g, float *inputs[INPUTS], error *e)
{
	for (int k = 0; k < INPUTS; k++) {
		tensor t = find(g, input_names[k]);
		inputs[k] = malloc(shape_count(shape_of(g, t)) * sizeof *inputs[k]);
		if (!inputs[k]) return fail(e, NO_MEMORY, "no memory for a batch");
	}
	return true;
}

static bool write_inputs(graph *g, float *const inputs[INPUTS], error *e)
{
	for (int k = 0; k < INPUTS; k++)
		if (!graph_write_floats(g, find(g, input_names[k]), inputs[k], e)) return false;
	return true;
}

static const float *moments_of_batch(diffusion *d, const data_batch *b, error *e)
{
	if (d->encoder && !encoder_fits(d->encoder, b->count, b->height, b->width)) {
		encoder_free(d->encoder);
		d->encoder = NULL;
	}
	if (!d->encoder)
		d->encoder = encoder_new(&d->learner, b->count, b->height, b->width, d->compute, threads_of(d->options), e);
	return d->encoder ? encoder_run(d->encoder, b->pixels, e) : NULL;
}

static bool make_room(diffusion *d, size_t each, error *e)
{
	if (each <= d->room) return true;
	float *scratch = realloc(d->scratch, 5 * each * sizeof *scratch);
	if (!scratch) return fail(e, NO_MEMORY, "no memory for latents");
	d->scratch = scratch;
	d->room = each;
	return true;
}

/* What is noised of a batch of latents [.., height, width, channels], as s has them, and whose captions are dropped. */
static bool fill_inputs(
    diffusion *d, float *const inputs[INPUTS], bool *dropped, shape s, const data_batch *b, error *e)
{
	size_t places = (size_t)s.d[1] * (size_t)s.d[2], each = places * (size_t)s.d[3];
	const float *encoded = d->cache ? NULL : moments_of_batch(d, b, e);
	if ((!encoded && !d->cache) || !make_room(d, each, e)) return false;
	float *noised = inputs[X], *target = inputs[TARGET], *times = inputs[TIMES], *loss_weights = inputs[WEIGHTS];
	float *latent = d->scratch + each, *noise = d->scratch + 2 * each, *cached = d->scratch + 3 * each;
	for (int i = 0; i < b->count; i++) {
		if (d->cache && !cache_moments(d->cache, b->picture[i], s.d[1], s.d[2], cached, e)) return false;
		const float *moments = encoded ? encoded + (size_t)i * 2 * each : cached;
		generator random;
		generator_seed(&random, b->seeds[i]);
		float drop;
		random_uniform(&random, &drop, 1);
		double t = draw_timestep(&d->noising, &random);
		take_sample(d, &random, moments, places, latent);
		noise_draw_latent(&d->noising, &random, (int)places, s.d[3], noise, d->scratch);
		size_t at = (size_t)i * each;
		double importance = noise_latent(&d->noising, t, latent, noise, each, noised + at, target + at);
		if (d->class_first >= 0 && b->index[i] >= d->class_first) importance *= d->options->prior_loss_weight;
		loss_weights[i] = (float)importance;
		times[i] = (float)t;
		dropped[i] = (double)drop < d->options->caption_dropout;
	}
	return true;
}

bool diffusion_fill(void *context, graph *g, const data_batch *b, error *e)
{
	diffusion *d = context;
	float *inputs[INPUTS] = { NULL };
	bool *dropped = calloc((size_t)b->count, sizeof *dropped);
	bool fine = (dropped || fail(e, NO_MEMORY, "no memory for a batch")) && make_inputs(g, inputs, e) &&
	            fill_inputs(d, inputs, dropped, shape_of(g, find(g, "x")), b, e) && write_inputs(g, inputs, e) &&
	            conditions_fill(&d->conditions, &d->learner, g, b, dropped, d->cache, e);
	for (int k = 0; k < INPUTS; k++) free(inputs[k]);
	free(dropped);
	return fine;
}

/* ── the models ── */
static bool open_model(diffusion *d, error *e)
{
	const train_options *o = d->options;
	family *f = &d->learner.family;
	if (*o->model) {
		if (!(d->source = checkpoint_open(o->model, e))) return false;
		*f = *checkpoint_family(d->source);
		const char *lines = checkpoint_metadata(d->source, "sumi.vocabulary");
		if (lines && !(d->learner.vocabulary = strdup(lines))) return fail(e, NO_MEMORY, "no memory for a vocabulary");
	} else if (!family_from_option(o->model_config, f, e)) {
		return false;
	}
	if (*o->vae) {
		if (!(d->vae = checkpoint_open(o->vae, e))) return false;
		const family *own = checkpoint_family(d->vae);
		f->autoencoder = own->autoencoder;
		memcpy(f->prefix[AUTOENCODER], own->prefix[AUTOENCODER], sizeof f->prefix[AUTOENCODER]);
	} else if (!d->source) {
		return fail(e, BAD_USAGE, "--vae is missing: a new model needs an autoencoder");
	}
	denoiser_sizes sizes = denoiser_sizes_of(&f->denoiser);
	if (sizes.vector != family_vector_width(f))
		return fail(e, BAD_USAGE, "the denoiser reads a vector of %d numbers, the text encoders and sizes make %d",
		    sizes.vector, family_vector_width(f));
	if (sizes.in_channels != f->autoencoder.latent_channels ||
	    (family_has(f, TEXT_ENCODER) && sizes.context != family_context_width(f)))
		return fail(e, BAD_USAGE,
		    "the denoiser reads %d channels and contexts of width %d, the autoencoder makes %d and the text encoder %d",
		    sizes.in_channels, sizes.context, f->autoencoder.latent_channels, family_context_width(f));
	if (*o->prediction_type && !prediction_from_name(o->prediction_type, &f->prediction))
		return fail(e, BAD_USAGE, "no prediction '%s': epsilon, v_prediction or flow", o->prediction_type);
	f->betas.zero_terminal_snr |= o->zero_terminal_snr;
	return true;
}

static bool add_parts(diffusion *d, bool train_unet, error *e)
{
	const train_options *o = d->options;
	learner *m = &d->learner;
	checkpoint *vae = d->vae ? d->vae : d->source;
	uint64_t seed = (uint64_t)o->seed;
	if (!learner_add_part(m, DENOISER, train_unet, d->source ? checkpoint_lookup : NULL, d->source, seed, e))
		return false;
	return diffusion_add_texts(d, train_unet, e) &&
	       learner_add_part(m, AUTOENCODER, false, checkpoint_lookup, vae, seed, e);
}

bool noising_of(const family *f, const train_options *o, noise_schedule *schedule, noising *n, error *e)
{
	static const char *const schemes[] = { "none", "logit_normal", "mode", "cosmap", "sigma_sqrt" };
	bool flow = f->prediction == PREDICT_FLOW;
	*n = (noising){ .scheme = flow && f->flow_shift > 0 ? LOGIT_NORMAL_TIMES : UNIFORM_TIMES,
		.logit_mean = o->logit_mean,
		.logit_std = o->logit_std,
		.mode_scale = o->mode_scale,
		.shift = o->flow_shift > 0 ? o->flow_shift : (double)f->flow_shift,
		.snr_gamma = o->snr_gamma,
		.noise_offset = o->noise_offset,
		.prediction = f->prediction,
		.schedule = schedule };
	for (int i = 0; i <= SIGMA_ROOT_WEIGHTS; i++)
		if (!strcmp(o->weighting_scheme, schemes[i])) n->scheme = (weighting_scheme)i;
	if (n->scheme >= COSMAP_WEIGHTS && !flow)
		return fail(e, BAD_USAGE, "--weighting_scheme %s is of flow, and this model predicts %s", o->weighting_scheme,
		    prediction_name(f->prediction));
	if (f->prediction == PREDICT_SAMPLE)
		return fail(e, BAD_USAGE, "prediction '%s' is not trained: epsilon, v_prediction or flow",
		    prediction_name(f->prediction));
	return noise_schedule_make(schedule, &f->betas, e);
}

bool diffusion_open(
    diffusion *d, const train_options *o, bool train_unet, bool trains_words, const training_listener *l, error *e)
{
	*d = (diffusion){ .options = o, .pixel_sizes = true, .class_first = -1 };
	d->compute = strcmp(o->mixed_precision, "bf16") ? REAL : BF16;
	d->conditions.compute = d->compute;
	d->conditions.threads = threads_of(o);
	if (!open_model(d, e)) return false;
	bool new_words = train_unet && !d->source && d->learner.family.text[0].kind == TRANSFORMER_TEXT;
	return diffusion_open_texts(d, trains_words || new_words, l, e) && add_parts(d, train_unet, e) &&
	       noising_of(&d->learner.family, o, &d->schedule, &d->noising, e);
}

void diffusion_close(diffusion *d)
{
	learner_free(&d->learner);
	conditions_free(&d->conditions);
	for (int k = 0; k < TEXT_ENCODERS; k++) weights_close(d->given[k]);
	checkpoint_close(d->source);
	checkpoint_close(d->vae);
	cache_close(d->cache);
	encoder_free(d->encoder);
	noise_schedule_free(&d->schedule);
	free(d->scratch);
}

static bool finish(void *context, const char *path, error *e)
{
	const diffusion *d = context;
	return learner_write(&d->learner, path, d->options->use_ema, e);
}

static bool validate(void *context, const char *path, error *e)
{
	return validation_draw(context, &(validation_of){ 0 }, path, e);
}

bool diffusion_train(diffusion *d, task *t, data_options *source, const training_listener *l, error *e)
{
	const train_options *o = d->options;
	bool done = false, given = is_cache(source->path);
	t->others = diffusion_others;
	if (!choose_device(&d->learner, o, l, e)) return false;
	if (!survey_source(o, source, l, e) || !sides_fit(source, &d->learner.family, e)) return false;
	d->keeps_texts = diffusion_keeps_texts(d, source);
	if (given && !diffusion_prepare_latents(d, source, l, e)) return false; /* the plan depends on what it holds */
	if (!train_plan(t, o, source, l, &done, e)) return false;
	if (done) return true;
	return (given || diffusion_prepare_latents(d, source, l, e)) && train(t, o, source, l, e);
}

bool train_diffusion(const train_options *o, const training_listener *l, error *e)
{
	diffusion d;
	bool fine = diffusion_open(&d, o, true, o->train_text_encoder, l, e);
	task t = {
		.learner = &d.learner, .context = &d, .build = diffusion_build, .fill = diffusion_fill, .finish = finish
	};
	if (*o->validation_prompts) t.validate = validate;
	data_options source = data_options_of(o, l, d.learner.family.size);
	fine = fine && diffusion_train(&d, &t, &source, l, e);
	diffusion_close(&d);
	return fine;
}
