/* diffusion_latents.c - the latents, and the text states, that are there before the first step of a diffusion run: a
 * cache that is given, or one that is made; and the scale of latents. */
#include "train/data/data_stream.h"
#include "train/objective/diffusion.h"
#include "train/run/folder.h"
#include "train/run/setup.h"
#include <math.h>
#include <string.h>

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
bool diffusion_keeps_texts(const diffusion *d, const data_options *source)
{
	const train_options *o = d->options;
	return keeps_latents(d, source) && o->cache_text && !source->varies && o->job != TRAIN_EMBEDDING;
}

bool diffusion_prepare_latents(diffusion *d, data_options *source, const training_listener *l, error *e)
{
	const train_options *o = d->options;
	family *f = &d->learner.family;
	int side = data_side(source), factor = vae_factor(&f->autoencoder);
	d->keeps_texts = diffusion_keeps_texts(d, source);
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
