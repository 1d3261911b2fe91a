/* diffusion.c - `train diffusion`: a text encoder and a U-Net on the latents of a frozen autoencoder, from nothing or
 * from a checkpoint. A batch's noise, times, samples of the latents and dropped captions are drawn for each sample from
 * its own seed; the network sees them as inputs, so its graph is the same for every way of training. */
#include "train/objective/diffusion.h"
#include "base/file.h"
#include "train/data/data_stream.h"
#include "train/run/folder.h"
#include "train/run/jobs.h"
#include "train/run/snapshot.h"
#include "train/run/validation.h"
#include "train/data/vocabulary.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_VOCABULARY = 1 << 24 };

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
	tensor importance = input(g, "weight", REAL, shape4(count, 1, 1, 1)), words = 0;
	int reads = denoiser_sizes_of(&f->denoiser).context;
	if (reads && d->given_context)
		words = input(g, "context", REAL, shape3(count, d->given_context, reads));
	else if (reads) {
		shape s = shape2(count, f->text[0].length);
		n->new_words = d->word.count;
		if (n->new_words) n->new_word_ids = input(g, "new_words", I32, s);
		words = family_encode_text(n, f, 0, input(g, "ids", I32, s), 0, -1).states;
	}
	tensor out = family_denoise(n, f, (denoiser_inputs){ .x = x, .t = t, .context = words });
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

enum { X, TARGET, TIMES, WEIGHTS, CONTEXT, IDS, NEW_WORDS, INPUTS };
static const char *const input_names[INPUTS] = { "x", "target", "t", "weight", "context", "ids", "new_words" };

/* Room for each input that the graph has; NULL for others. */
static bool make_inputs(const graph *g, void *inputs[INPUTS], error *e)
{
	for (int k = 0; k < INPUTS; k++) {
		tensor t = find(g, input_names[k]);
		inputs[k] = t ? malloc(shape_count(shape_of(g, t)) * dtype_size(dtype_of(g, t))) : NULL;
		if (t && !inputs[k]) return fail(e, NO_MEMORY, "no memory for a batch");
	}
	return true;
}

static bool write_inputs(graph *g, void *const inputs[INPUTS], error *e)
{
	for (int k = 0; k < INPUTS; k++)
		if (inputs[k] && !graph_write(g, find(g, input_names[k]), inputs[k], e)) return false;
	return true;
}

static bool place_words(const diffusion *d, void *const inputs[INPUTS], int i, const char *caption, error *e)
{
	if (!inputs[IDS]) return true;
	size_t length = (size_t)d->learner.family.text[0].length, first = (size_t)i * length;
	int32_t *at = (int32_t *)inputs[IDS] + first;
	if (!d->word.count) return tokenizer_encode_padded(d->tokenizer, caption, strlen(caption), at, length, NULL, e);
	if (!new_words_encode_padded(&d->word, 1, d->tokenizer, caption, at, length, e)) return false;
	new_words_split(d->tokenizer, at, (int32_t *)inputs[NEW_WORDS] + first, length);
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

static void place_cached_words(const diffusion *d, void *const inputs[INPUTS], int i, int64_t sample)
{
	size_t each = (size_t)d->given_context * (size_t)denoiser_sizes_of(&d->learner.family.denoiser).context;
	if (inputs[CONTEXT] && d->cache) cache_words(d->cache, sample, (float *)inputs[CONTEXT] + (size_t)i * each);
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

/* All inputs of a batch of latents [.., height, width, channels], as s has them. */
static bool fill_inputs(diffusion *d, void *const inputs[INPUTS], shape s, const data_batch *b, error *e)
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
		bool dropped = (double)drop < d->options->caption_dropout;
		place_cached_words(d, inputs, i, dropped ? -1 : b->picture[i]);
		if (!place_words(d, inputs, i, dropped ? "" : b->captions[i], e)) return false;
	}
	return true;
}

bool diffusion_fill(void *context, graph *g, const data_batch *b, error *e)
{
	void *inputs[INPUTS] = { NULL };
	bool fine = make_inputs(g, inputs, e) && fill_inputs(context, inputs, shape_of(g, find(g, "x")), b, e) &&
	            write_inputs(g, inputs, e);
	for (int k = 0; k < INPUTS; k++) free(inputs[k]);
	return fine;
}

/* ── the models ── */
static char *learned_vocabulary(const diffusion *d, error *e)
{
	data_options source = data_options_of(d->options, NULL, d->learner.family.size);
	source.pixels = false;
	data *texts = data_open(&source, e);
	char *lines = texts ? learn_vocabulary(texts, (int)d->options->vocabulary_size, e) : NULL;
	data_close(texts);
	return lines;
}

/* That of a model or checkpoint, or a file of nothing else. */
static char *given_vocabulary(const char *path, error *e)
{
	const char *end = strrchr(path, '.');
	if (!end || strcmp(end, ".safetensors")) return whole_file(path, MOST_VOCABULARY, NULL, e);
	weights *w = weights_open(path, e);
	const char *lines = w ? weights_metadata(w, "sumi.vocabulary") : NULL;
	char *own = lines ? strdup(lines) : NULL;
	if (w && !own) fail(e, lines ? NO_MEMORY : BAD_FILE, "%s: no vocabulary is in it", path);
	weights_close(w);
	return own;
}

/* A new model reads words by its own vocabulary: the embedding gets as many rows. */
static bool choose_vocabulary(diffusion *d, error *e)
{
	text_config *text = &d->learner.family.text[0];
	if (text->kind != TRANSFORMER_TEXT || d->source || d->learner.vocabulary) return true;
	if (*d->options->vocabulary)
		d->learner.vocabulary = given_vocabulary(d->options->vocabulary, e);
	else
		d->learner.vocabulary = learned_vocabulary(d, e);
	return d->learner.vocabulary != NULL;
}

static bool open_tokenizer(diffusion *d, const training_listener *l, error *e)
{
	text_config *text = &d->learner.family.text[0];
	const char *lines = d->learner.vocabulary;
	if (text->kind == NO_TEXT) return true;
	if (!(d->tokenizer = tokenizer_open(text->tokenizer, lines, lines ? strlen(lines) : 0, e))) return false;
	if (lines) {
		text->transformer.vocabulary = tokenizer_size(d->tokenizer);
		text->begin = tokenizer_start(d->tokenizer);
		text->end = tokenizer_end(d->tokenizer);
		text->padding = tokenizer_pad(d->tokenizer);
		training_note(l, "a vocabulary of %d tokens", text->transformer.vocabulary);
	}
	return true;
}

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

/* A token is seen in few batches, and its row must go as far as weights that learn from each. */
static void set_rates(diffusion *d)
{
	const train_options *o = d->options;
	size_t prefix = strlen(d->learner.family.prefix[TEXT_ENCODER]);
	if (o->embedding_lr <= 0 || o->learning_rate <= 0) return;
	for (int i = 0; i < d->learner.count; i++) {
		learner_weight *w = &d->learner.weights[i];
		bool of_text = !strncmp(w->name, d->learner.family.prefix[TEXT_ENCODER], prefix);
		if (of_text && strstr(w->name, ".token_emb")) w->rate = o->embedding_lr / o->learning_rate;
	}
}

static bool add_parts(diffusion *d, bool train_unet, error *e)
{
	const train_options *o = d->options;
	learner *m = &d->learner;
	tensor_lookup *lookup = d->source ? checkpoint_lookup : NULL;
	checkpoint *vae = d->vae ? d->vae : d->source;
	bool words = train_unet && (o->train_text_encoder || (!d->source && m->family.text[0].kind == TRANSFORMER_TEXT));
	uint64_t seed = (uint64_t)o->seed;
	return learner_add_part(m, DENOISER, train_unet, lookup, d->source, seed, e) &&
	       learner_add_part(m, TEXT_ENCODER, words, lookup, d->source, seed, e) &&
	       learner_add_part(m, AUTOENCODER, false, checkpoint_lookup, vae, seed, e);
}

bool noising_of(const family *f, const train_options *o, noise_schedule *schedule, noising *n, error *e)
{
	*n = (noising){ .logit_normal = !strcmp(o->timestep_sampling, "logit_normal"),
		.logit_mean = o->logit_mean,
		.logit_std = o->logit_std,
		.snr_gamma = o->snr_gamma,
		.noise_offset = o->noise_offset,
		.prediction = f->prediction,
		.schedule = schedule };
	if (f->prediction == PREDICT_SAMPLE)
		return fail(e, BAD_USAGE, "prediction '%s' is not trained: epsilon, v_prediction or flow",
		    prediction_name(f->prediction));
	return noise_schedule_make(schedule, &f->betas, e);
}

bool diffusion_open(diffusion *d, const train_options *o, bool train_unet, const training_listener *l, error *e)
{
	*d = (diffusion){ .options = o, .pixel_sizes = true, .class_first = -1 };
	d->compute = strcmp(o->mixed_precision, "bf16") ? REAL : BF16;
	bool fine = open_model(d, e) && choose_vocabulary(d, e) && open_tokenizer(d, l, e) && add_parts(d, train_unet, e);
	if (fine) set_rates(d);
	return fine && noising_of(&d->learner.family, o, &d->schedule, &d->noising, e);
}

void diffusion_close(diffusion *d)
{
	learner_free(&d->learner);
	tokenizer_close(d->tokenizer);
	checkpoint_close(d->source);
	checkpoint_close(d->vae);
	cache_close(d->cache);
	encoder_free(d->encoder);
	noise_schedule_free(&d->schedule);
	free(d->scratch);
}

/* ── latents before the first step ── */
typedef struct counting {
	const training_listener *l;
	int64_t reported;
} counting;

static bool count_latents(void *context, int64_t done, int64_t of, const data_counts *counts)
{
	counting *c = context;
	(void)counts;
	if (done < of && done - c->reported < 500) return true;
	c->reported = done;
	training_note(c->l, "encoded %lld of %lld pictures", (long long)done, (long long)of);
	return true;
}

static bool trains_words(const diffusion *d)
{
	const learner *m = &d->learner;
	size_t n = strlen(m->family.prefix[TEXT_ENCODER]);
	for (int i = 0; i < m->count; i++)
		if (m->weights[i].trained && !strncmp(m->weights[i].name, m->family.prefix[TEXT_ENCODER], n)) return true;
	return d->options->train_text_encoder || d->word.count > 0;
}

/* A cache is of use to the models that made it alone. */
static bool check_cache(diffusion *d, const training_listener *l, error *e)
{
	const cache_origin *found = cache_origin_in(d->cache);
	cache_origin ours;
	bool words = found->words[0] && !trains_words(d) && d->tokenizer;
	if (!cache_origin_of(&d->learner, words, NULL, &ours, e)) return false;
	if (strcmp(found->autoencoder, ours.autoencoder))
		return fail(e, BAD_FILE, "%s: was made with another autoencoder (%.12s…) than this run's (%.12s…)",
		    d->cache_folder, found->autoencoder, ours.autoencoder);
	if (words && strcmp(found->words, ours.words))
		return fail(e, BAD_FILE, "%s: was made with another text encoder (%.12s…) than this run's (%.12s…)",
		    d->cache_folder, found->words, ours.words);
	int channels = d->learner.family.autoencoder.latent_channels, width, tokens = cache_tokens(d->cache, &width);
	int reads = denoiser_sizes_of(&d->learner.family.denoiser).context;
	if (cache_channels(d->cache) != channels)
		return fail(e, BAD_FILE, "%s: its latents have %d channels, the model's have %d", d->cache_folder,
		    cache_channels(d->cache), channels);
	if (words && width != reads)
		return fail(
		    e, BAD_FILE, "%s: its text states are of width %d, the denoiser reads %d", d->cache_folder, width, reads);
	if (words) d->given_context = tokens;
	training_note(l, "%lld cached latents%s", (long long)cache_count(d->cache),
	    words             ? " and text states"
	    : found->words[0] ? "; its text states are not used, because the text encoder is trained"
	                      : "");
	return true;
}

static bool open_given_cache(diffusion *d, const data_options *source, const training_listener *l, error *e)
{
	snprintf(d->cache_folder, sizeof d->cache_folder, "%s", source->path);
	if (source->random_crop || source->random_flip)
		return fail(e, BAD_USAGE, "%s: cached latents can be neither cropped nor mirrored anew", d->cache_folder);
	return (d->cache = cache_open(d->cache_folder, e)) && check_cache(d, l, e);
}

/* The cache of this run: in the output's folder, made anew where it is of other pictures or of another autoencoder. */
static bool make_own_cache(diffusion *d, const data_options *source, const training_listener *l, error *e)
{
	const train_options *o = d->options;
	cache_origin wanted;
	if (!path_next_to_output(o, ".cache", d->cache_folder, e) ||
	    !cache_origin_of(&d->learner, false, source, &wanted, e))
		return false;
	d->cache = is_cache(d->cache_folder) ? cache_open(d->cache_folder, NULL) : NULL;
	if (d->cache && !memcmp(cache_origin_in(d->cache), &wanted, sizeof wanted) &&
	    cache_channels(d->cache) == d->learner.family.autoencoder.latent_channels)
		return true;
	cache_close(d->cache);
	counting counter = { .l = l };
	cache_options how = { .folder = d->cache_folder,
		.stored = F32,
		.compute = d->compute,
		.threads = threads_of(o),
		.progress = count_latents,
		.context = &counter };
	d->cache = NULL;
	return cache_write(&how, &d->learner, NULL, source, e) && (d->cache = cache_open(d->cache_folder, e));
}

static bool settle_scale(diffusion *d, bool measure, error *e)
{
	family *f = &d->learner.family;
	if (d->options->latent_scale > 0) f->latent_scale = (float)d->options->latent_scale;
	if (!measure) return true;
	double deviation;
	if (!cache_deviation(d->cache, &deviation, e)) return false;
	f->latent_scale = (float)(1 / deviation);
	return (deviation > 0 && isfinite(deviation)) ||
	       fail(e, BAD_FILE, "the latents do not vary: is the autoencoder trained?");
}

/* From which picture on they are of the class at large. */
static bool find_class(diffusion *d, const data_options *source, error *e)
{
	if (!d->cache && !*d->options->class_data_dir) return true;
	data_options names = *source;
	names.pixels = false;
	data *set = data_open(&names, e);
	if (set) d->class_first = data_class_first(set);
	data_close(set);
	return set != NULL;
}

bool diffusion_prepare_latents(diffusion *d, data_options *source, const training_listener *l, error *e)
{
	const train_options *o = d->options;
	family *f = &d->learner.family;
	int side = data_side(source), factor = vae_factor(&f->autoencoder);
	if (!sides_fit(source, factor, e)) return false;
	bool given = is_cache(source->path), streamed = !given && is_stream(source->path);
	bool wanted = given || (o->cache_latents && !streamed && !o->random_crop && !o->random_flip);
	bool measure = !*o->model && o->latent_scale == 0;
	if (measure && streamed) return fail(e, BAD_USAGE, "--latent_scale is missing: of a stream it is not measured");
	if (given && !open_given_cache(d, source, l, e)) return false;
	if (given) {
		int height, width;
		cache_size(d->cache, &height, &width);
		if (height == width) source->resolution = source->crop = side = height * factor;
	}
	if (!given && (wanted || measure) && !make_own_cache(d, source, l, e)) return false;
	if (!settle_scale(d, measure, e)) return false;
	training_note(l, "latents are scaled by %g", (double)f->latent_scale);
	f->size = side;
	if (wanted) {
		source->path = d->cache_folder;
		source->pixels = false;
		source->caption = source->class_path = source->class_caption = NULL; /* the cache has them */
	} else {
		cache_close(d->cache);
		d->cache = NULL;
	}
	return find_class(d, source, e);
}

static bool finish(void *context, const char *path, error *e)
{
	const diffusion *d = context;
	return learner_write(&d->learner, path, d->options->use_ema, e);
}

static bool validate(void *context, const char *path, error *e) { return validation_draw(context, NULL, path, e); }

bool train_diffusion(const train_options *o, const training_listener *l, error *e)
{
	diffusion d;
	bool fine = diffusion_open(&d, o, true, l, e);
	data_options source = data_options_of(o, l, d.learner.family.size);
	fine = fine && survey_source(o, &source, l, e) && diffusion_prepare_latents(&d, &source, l, e);
	task t = {
		.learner = &d.learner, .context = &d, .build = diffusion_build, .fill = diffusion_fill, .finish = finish
	};
	if (*o->validation_prompts) t.validate = validate;
	fine = fine && train(&t, o, &source, l, e);
	diffusion_close(&d);
	return fine;
}
