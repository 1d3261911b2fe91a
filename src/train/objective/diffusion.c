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
		if (!graph_write(g, find(g, input_names[k]), inputs[k], e)) return false;
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

/* ── the text encoders ── */

/* A file of one encoder, as --clip_l gives it: a tensor_lookup's context. */
typedef struct given_encoder {
	component from;
	const family *family;
	role role;
} given_encoder;

static bool look_up_given(void *context, const char *key, dtype *d, shape *s, const void **values)
{
	const given_encoder *y = context;
	return weight_as_tensor(component_find(&y->from, y->family, y->role, key, (shape){ 0 }), d, s, values);
}

static const char *path_of_encoder(const train_options *o, int k)
{
	const char *const paths[TEXT_ENCODERS] = { o->clip_l, o->clip_g, o->t5xxl };
	return paths[k];
}

static bool has_encoder(const diffusion *d, int k)
{
	const family *f = &d->learner.family;
	role r = (role)(TEXT_ENCODER + k);
	if (!family_has(f, r)) return false;
	if (*path_of_encoder(d->options, k) || !family_apart(f, r)) return true;
	return d->source && checkpoint_component(d->source, r)->from;
}

static bool open_tokenizer(diffusion *d, int k, const training_listener *l, error *e)
{
	text_config *text = &d->learner.family.text[k];
	const char *lines = text->tokenizer == WORDPIECE ? d->learner.vocabulary : NULL;
	tokenizer *t = d->conditions.texts.tokenizers[k] =
	    tokenizer_open(text->tokenizer, lines, lines ? strlen(lines) : 0, e);
	if (!t) return false;
	if (lines) {
		text->transformer.vocabulary = tokenizer_size(t);
		text->begin = tokenizer_start(t);
		text->end = tokenizer_end(t);
		text->padding = tokenizer_pad(t);
		training_note(l, "a vocabulary of %d tokens", text->transformer.vocabulary);
	}
	if (tokenizer_size(t) > text_vocabulary(text))
		return fail(e, BAD_FILE, "the %s knows %d tokens, its tokenizer has %d", role_name((role)(TEXT_ENCODER + k)),
		    text_vocabulary(text), tokenizer_size(t));
	bool longer = text_in_one_piece(text) && d->options->max_sequence_length;
	d->conditions.texts.tokens[k] = longer ? (int)d->options->max_sequence_length : text->length;
	return true;
}

/* Which encoders there are, and which of them are trained: of those that read chunks all or none. */
static bool open_texts(diffusion *d, bool trained, const training_listener *l, error *e)
{
	const family *f = &d->learner.family;
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		const char *path = path_of_encoder(d->options, k);
		if (*path && !family_has(f, (role)(TEXT_ENCODER + k)))
			return fail(e, BAD_USAGE, "%s: %s has no %s", path, f->name, role_name((role)(TEXT_ENCODER + k)));
		if (!has_encoder(d, k)) {
			if (family_has(f, (role)(TEXT_ENCODER + k)))
				training_note(l, "warning: there is no %s: its part of the conditioning is zeros",
				    role_name((role)(TEXT_ENCODER + k)));
			continue;
		}
		if (!open_tokenizer(d, k, l, e)) return false;
		d->conditions.texts.trained[k] = trained && !text_in_one_piece(&f->text[k]);
	}
	d->conditions.zeros = !strcmp(d->options->dropped_captions, "zeros") && d->options->caption_dropout > 0;
	return true;
}

/* From a file of its own, which is not written again unless it is trained; else from the checkpoint. */
static bool add_encoder(diffusion *d, int k, bool trained, error *e)
{
	learner *m = &d->learner;
	role r = (role)(TEXT_ENCODER + k);
	const char *path = path_of_encoder(d->options, k);
	uint64_t seed = (uint64_t)d->options->seed;
	int first = m->count;
	if (!d->conditions.texts.tokenizers[k]) return true;
	if (!*path) return learner_add_part(m, r, trained, d->source ? checkpoint_lookup : NULL, d->source, seed, e);
	given_encoder from = { .family = &m->family, .role = r };
	if (!(d->given[k] = weights_open(path, e))) return false;
	if (!component_locate(&from.from, &m->family, r, d->given[k]))
		return fail(e, BAD_FILE, "%s: not the %s of %s", path, role_name(r), m->family.name);
	if (!learner_add_part(m, r, trained, look_up_given, &from, seed, e)) return false;
	for (int i = first; i < m->count; i++) m->weights[i].helper = !m->weights[i].trained;
	return true;
}

static bool open_model(diffusion *d, error *e)
{
	const train_options *o = d->options;
	family *f = &d->learner.family;
	if (*o->model) {
		if (!(d->source = checkpoint_open(o->model, e))) return false;
		const char *piece = checkpoint_first_piece(d->source);
		if (piece)
			return fail(e, BAD_FILE,
			    "%s: a folder that holds weights in pieces, such as %s: make a single file of it first (sumi convert)",
			    o->model, piece);
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
	checkpoint *vae = d->vae ? d->vae : d->source;
	uint64_t seed = (uint64_t)o->seed;
	if (!learner_add_part(m, DENOISER, train_unet, d->source ? checkpoint_lookup : NULL, d->source, seed, e))
		return false;
	for (int k = 0; k < TEXT_ENCODERS; k++)
		if (!add_encoder(d, k, train_unet && d->conditions.texts.trained[k], e)) return false;
	return learner_add_part(m, AUTOENCODER, false, checkpoint_lookup, vae, seed, e);
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
	if (!open_model(d, e) || !choose_vocabulary(d, e)) return false;
	bool new_words = train_unet && !d->source && d->learner.family.text[0].kind == TRANSFORMER_TEXT;
	if (!open_texts(d, trains_words || new_words, l, e) || !add_parts(d, train_unet, e)) return false;
	set_rates(d);
	return noising_of(&d->learner.family, o, &d->schedule, &d->noising, e);
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

/* The states of encoder k are taken from the cache where it has them and the encoder is not trained. */
static bool take_cached_words(diffusion *d, int k, const cache_origin *ours, error *e)
{
	const char *found = cache_origin_in(d->cache)->words[k];
	const text_config *t = &d->learner.family.text[k];
	if (!*found || !d->conditions.texts.tokenizers[k] || d->conditions.texts.trained[k]) return true;
	if (strcmp(found, ours->words[k]))
		return fail(e, BAD_FILE,
		    "%s: was made with another %s (%.12s…) than this run's (%.12s…), or for captions of another length",
		    d->cache_folder, role_name((role)(TEXT_ENCODER + k)), found, ours->words[k]);
	int width, pooled, tokens = cache_tokens(d->cache, k, &width, &pooled);
	if (width != text_width(t) || pooled != text_pooled_width(t) || tokens != d->conditions.texts.tokens[k])
		return fail(e, BAD_FILE, "%s: states of the %s are [%d,%d] and %d pooled, the model's are [%d,%d] and %d",
		    d->cache_folder, role_name((role)(TEXT_ENCODER + k)), tokens, width, pooled, d->conditions.texts.tokens[k],
		    text_width(t), text_pooled_width(t));
	d->conditions.cached[k] = true;
	return true;
}

/* A cache is of use to the models that made it alone. */
static bool check_cache(diffusion *d, const training_listener *l, error *e)
{
	const cache_origin *found = cache_origin_in(d->cache);
	cache_origin ours;
	int taken = 0, left = 0, channels = d->learner.family.autoencoder.latent_channels;
	if (!cache_origin_of(&d->learner, &d->conditions.texts, NULL, &ours, e)) return false;
	if (cache_channels(d->cache) != channels)
		return fail(e, BAD_FILE, "%s: its latents have %d channels, the model's have %d%s%s", d->cache_folder,
		    cache_channels(d->cache), channels, *found->model ? ": it was made for " : "", found->model);
	if (strcmp(found->autoencoder, ours.autoencoder))
		return fail(e, BAD_FILE, "%s: was made with another autoencoder (%.12s…) than this run's (%.12s…)",
		    d->cache_folder, found->autoencoder, ours.autoencoder);
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		if (!take_cached_words(d, k, &ours, e)) return false;
		taken += d->conditions.cached[k];
		left += *found->words[k] && !d->conditions.cached[k];
	}
	training_note(l, "%lld cached latents%s%s", (long long)cache_count(d->cache), taken ? " and text states" : "",
	    left ? "; its text states are not used, because the text encoder is trained" : "");
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
	const caption_readers *t = d->keeps_texts ? &d->conditions.texts : NULL;
	if (!path_next_to_output(o, ".cache", d->cache_folder, e) || !cache_origin_of(&d->learner, t, source, &wanted, e))
		return false;
	d->cache = is_cache(d->cache_folder) ? cache_open(d->cache_folder, NULL) : NULL;
	if (d->cache && cache_origin_same(cache_origin_in(d->cache), &wanted)) return check_cache(d, l, e);
	cache_close(d->cache);
	counting counter = { .l = l };
	cache_options how = { .folder = d->cache_folder,
		.texts = t,
		.stored = precision_of_cache(o),
		.compute = d->compute,
		.threads = threads_of(o),
		.progress = count_latents,
		.context = &counter };
	d->cache = NULL;
	return cache_write(&how, &d->learner, source, e) && (d->cache = cache_open(d->cache_folder, e)) &&
	       check_cache(d, l, e);
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

/* Whether the set is encoded once, before the first step. */
static bool keeps_latents(const diffusion *d, const data_options *source)
{
	const train_options *o = d->options;
	return o->cache_latents && !is_stream(source->path) && !o->random_crop && !o->random_flip;
}

/* A word that is learned changes captions, and with them what T5 reads. */
static bool keeps_texts(const diffusion *d, const data_options *source)
{
	const train_options *o = d->options;
	return keeps_latents(d, source) && o->cache_text && !source->varies && o->job != TRAIN_EMBEDDING;
}

bool diffusion_prepare_latents(diffusion *d, data_options *source, const training_listener *l, error *e)
{
	const train_options *o = d->options;
	family *f = &d->learner.family;
	int side = data_side(source), factor = vae_factor(&f->autoencoder);
	d->keeps_texts = keeps_texts(d, source);
	if (!sides_fit(source, f, e)) return false;
	bool given = is_cache(source->path), streamed = !given && is_stream(source->path);
	bool wanted = given || keeps_latents(d, source);
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

/* Their weights, in what they compute in: what more they need is little. */
size_t diffusion_others(void *context)
{
	const diffusion *d = context;
	const learner *m = &d->learner;
	size_t numbers = 0;
	for (int i = 0; i < m->count; i++) {
		role r = family_role_of(&m->family, m->weights[i].name);
		bool text = r >= TEXT_ENCODER && r < FAMILY_ROLES && !m->weights[i].buffer;
		if (!text || d->conditions.texts.trained[r - TEXT_ENCODER] || d->conditions.cached[r - TEXT_ENCODER]) continue;
		bool table = strstr(m->weights[i].name, "embed") != NULL; /* is read where it lies */
		if (!table && !d->keeps_texts) numbers += shape_count(m->weights[i].shape);
	}
	return numbers * dtype_size(d->compute);
}

bool diffusion_train(diffusion *d, task *t, const training_listener *l, error *e)
{
	const train_options *o = d->options;
	bool done = false;
	data_options source = data_options_of(o, l, d->learner.family.size);
	t->others = diffusion_others;
	bool given = is_cache(source.path), fine = survey_source(o, &source, l, e);
	d->keeps_texts = keeps_texts(d, &source);
	fine = fine && sides_fit(&source, &d->learner.family, e) &&
	       (!given || diffusion_prepare_latents(d, &source, l, e)) && train_plan(t, o, &source, l, &done, e);
	if (done) return fine;
	return fine && (given || diffusion_prepare_latents(d, &source, l, e)) && train(t, o, &source, l, e);
}

bool train_diffusion(const train_options *o, const training_listener *l, error *e)
{
	diffusion d;
	bool fine = diffusion_open(&d, o, true, o->train_text_encoder, l, e);
	task t = {
		.learner = &d.learner, .context = &d, .build = diffusion_build, .fill = diffusion_fill, .finish = finish
	};
	if (*o->validation_prompts) t.validate = validate;
	fine = fine && diffusion_train(&d, &t, l, e);
	diffusion_close(&d);
	return fine;
}
