/* cache_write.c - encodes a set into a folder, file by file. */
#include "base/file.h"
#include "io/weights.h"
#include "train/data/cache.h"
#include "train/data/latents.h"
#include "train/data/words.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MOST_OF_BATCH = 8,
	PIXELS_OF_BATCH = 8 * 512 * 512,
	MOST_ENCODERS = 64,
	SAMPLES_OF_FILE = 4096,
	LONGEST_PATH = 4096
};
static const size_t BYTES_OF_FILE = (size_t)256 << 20;

typedef struct kept {                     /* a sample that waits to be written */
	int height, width;                    /* of the latent */
	void *moments, *words[TEXT_ENCODERS]; /* words: states, then what is pooled; NULL: none are kept */
} kept;

typedef struct place {       /* where the latent of a picture of a set lies */
	int64_t number;          /* −1: it could not be read */
	int file, height, width; /* in pixels */
	picture_frame frame;
} place;

typedef struct writing {
	const cache_options *o;
	const learner *m;
	cache_origin origin;
	data *set;
	encoder *encoders[MOST_ENCODERS]; /* one for each size */
	int encoder_count;
	caption_encoder *words[TEXT_ENCODERS]; /* NULL: its states are not kept */
	int batch;                             /* pictures that are encoded together */
	float *pixels;                         /* of a whole batch */
	size_t pixel_room;
	kept waiting[SAMPLES_OF_FILE];
	int waiting_count, files;
	size_t waiting_bytes;
	int64_t done;
	void *empty[TEXT_ENCODERS]; /* text states of "" */
	place *places;              /* [pictures of the set]; NULL: a stream */
	writer *list;
} writing;

/* ── encoding ── */
static encoder *encoder_for(writing *w, int height, int width, error *e)
{
	for (int i = 0; i < w->encoder_count; i++)
		if (encoder_fits(w->encoders[i], w->batch, height, width)) return w->encoders[i];
	if (w->encoder_count == MOST_ENCODERS) encoder_free(w->encoders[--w->encoder_count]);
	encoder *made = encoder_new(w->m, w->batch, height, width, w->o->compute, w->o->threads, e);
	if (made) w->encoders[w->encoder_count++] = made;
	return made;
}

/* A smaller last batch is filled up: every batch of a size is computed by the same graph. */
static const float *encode_pictures(writing *w, const data_batch *b, error *e)
{
	size_t each = (size_t)b->height * (size_t)b->width * 3, n = (size_t)b->count * each;
	size_t all = (size_t)w->batch * each;
	if (all > w->pixel_room) {
		float *more = realloc(w->pixels, all * sizeof *more);
		if (!more) return fail(e, NO_MEMORY, "no memory for pictures"), NULL;
		w->pixels = more;
		w->pixel_room = all;
	}
	memcpy(w->pixels, b->pixels, n * sizeof *w->pixels);
	memset(w->pixels + n, 0, (all - n) * sizeof *w->pixels);
	encoder *c = encoder_for(w, b->height, b->width, e);
	return c ? encoder_run(c, w->pixels, e) : NULL;
}

static void *stored(const writing *w, const float *values, size_t n, error *e)
{
	void *bytes = malloc(n * dtype_size(w->o->stored) + 1);
	if (bytes)
		convert(bytes, w->o->stored, values, F32, n);
	else
		fail(e, NO_MEMORY, "no memory for latents");
	return bytes;
}

/* ── files ── */
static bool put_tensor(writing *w, weights_writer *to, bool declare, const char *name, int ndims, const int64_t *dims,
    const void *values, error *e)
{
	size_t n = dtype_size(w->o->stored);
	for (int i = 0; i < ndims; i++) n *= (size_t)dims[i];
	return declare ? weights_writer_declare(to, name, w->o->stored, ndims, dims, e)
	               : weights_writer_append(to, values, n, e);
}

/* An encoder's states of one caption, as two tensors: "words/7" and "pooled/7". */
static bool put_words(
    writing *w, weights_writer *to, bool declare, int k, const void *values, const char *sample, error *e)
{
	const text_config *t = &w->m->family.text[k];
	int64_t tokens = w->o->texts->tokens[k], states[] = { tokens, text_width(t) }, pooled[] = { text_pooled_width(t) };
	char key[64], name[96];
	cache_key(key, "words", k);
	snprintf(name, sizeof name, "%s/%s", key, sample);
	if (!put_tensor(w, to, declare, name, 2, states, values, e)) return false;
	if (!pooled[0]) return true;
	cache_key(key, "pooled", k);
	snprintf(name, sizeof name, "%s/%s", key, sample);
	size_t behind = (size_t)(states[0] * states[1]) * dtype_size(w->o->stored);
	return put_tensor(w, to, declare, name, 1, pooled, (const char *)values + behind, e);
}

static bool put_sample(writing *w, weights_writer *to, bool declare, int i, error *e)
{
	const kept *k = &w->waiting[i];
	char sample[32], name[64];
	int64_t moments[] = { k->height, k->width, 2 * w->m->family.autoencoder.latent_channels };
	snprintf(sample, sizeof sample, "%lld", (long long)(w->done - w->waiting_count + i));
	snprintf(name, sizeof name, "moments/%s", sample);
	bool fine = put_tensor(w, to, declare, name, 3, moments, k->moments, e);
	for (int n = 0; n < TEXT_ENCODERS; n++)
		if (k->words[n]) fine = fine && put_words(w, to, declare, n, k->words[n], sample, e);
	return fine;
}

static bool put_origin(const writing *w, weights_writer *to, error *e)
{
	const cache_origin *o = &w->origin;
	json_t *j = json_pack("{ss ss ss sI}", "model", o->model, "autoencoder", o->autoencoder, "set", o->set, "first",
	    (json_int_t)(w->done - w->waiting_count));
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		char key[64];
		cache_key(key, "words", i);
		if (j && (!i || *o->words[i])) json_object_set_new(j, key, json_string(o->words[i]));
	}
	char *text = j ? json_dumps(j, 0) : NULL;
	json_decref(j);
	bool fine = text ? weights_writer_metadata(to, "sumi.cache", text, e) : fail(e, NO_MEMORY, "no memory for a cache");
	free(text);
	return fine;
}

static void forget(writing *w)
{
	for (int i = 0; i < w->waiting_count; i++) {
		free(w->waiting[i].moments);
		for (int n = 0; n < TEXT_ENCODERS; n++) free(w->waiting[i].words[n]);
	}
	w->waiting_count = 0;
	w->waiting_bytes = 0;
}

static bool write_waiting(writing *w, error *e)
{
	char path[LONGEST_PATH];
	if (!w->waiting_count) return true;
	snprintf(path, sizeof path, "%s/cache-%05d.safetensors", w->o->folder, w->files);
	weights_writer *to = weights_writer_new(path, e);
	bool fine = to && put_origin(w, to, e);
	for (int write = 0; fine && write < 2; write++) {
		for (int n = 0; n < TEXT_ENCODERS && !w->files; n++)
			if (w->words[n]) fine = fine && put_words(w, to, !write, n, w->empty[n], "empty", e);
		for (int i = 0; fine && i < w->waiting_count; i++) fine = put_sample(w, to, !write, i, e);
	}
	if (!fine) {
		weights_writer_abort(to);
		return false;
	}
	w->files++;
	forget(w);
	return weights_writer_finish(to, e);
}

static bool put_line(writing *w, const place *at, const data_sample *s, bool of_class, error *e)
{
	char name[64];
	snprintf(name, sizeof name, "cache-%05d.safetensors/%lld", at->file, (long long)at->number);
	json_t *j = json_pack("{ss ss si si s[ii] s[ii]}", "file_name", name, "text", s->caption, "height", at->height,
	    "width", at->width, "original", at->frame.height, at->frame.width, "crop", at->frame.top, at->frame.left);
	json_t *list = s->keyword_count ? json_array() : NULL;
	for (int k = 0; k < s->keyword_count; k++) json_array_append_new(list, json_string(s->keywords[k]));
	if (list) json_object_set_new(j, "keywords", list);
	if (of_class) json_object_set_new(j, "class", json_true());
	char *line = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	bool fine = line ? writer_put(w->list, line, strlen(line), e) && writer_put(w->list, "\n", 1, e)
	                 : fail(e, NO_MEMORY, "no memory for the list of a cache");
	free(line);
	return fine;
}

/* Every sample of the set in its order: repeats of a picture name one latent. */
static bool list_set(writing *w, error *e)
{
	int64_t count = w->places ? data_count(w->set) : 0, class = data_class_first(w->set);
	bool fine = true;
	for (int64_t i = 0; fine && i < count; i++) {
		data_sample s = data_at(w->set, i);
		const place *at = &w->places[s.picture];
		fine = at->number < 0 || put_line(w, at, &s, class >= 0 && i >= class, e);
	}
	return fine;
}

/* ── the run ── */
static bool keep_sample(writing *w, const data_batch *b, int i, const float *moments, error *e)
{
	int factor = vae_factor(&w->m->family.autoencoder);
	kept *k = &w->waiting[w->waiting_count];
	*k = (kept){ .height = b->height / factor, .width = b->width / factor };
	size_t latent = (size_t)k->height * (size_t)k->width * 2 * (size_t)w->m->family.autoencoder.latent_channels;
	place at = { w->done, w->files, b->height, b->width, b->frames[i] };
	if (w->places) w->places[b->picture[i]] = at;
	if (!w->places && !put_line(w, &at, &(data_sample){ .caption = b->captions[i] }, false, e)) return false;
	k->moments = stored(w, moments + (size_t)i * latent, latent, e);
	w->waiting_count++;
	w->done++;
	w->waiting_bytes += latent * dtype_size(w->o->stored);
	return k->moments != NULL;
}

/* The states of the last `count` samples that wait. */
static bool keep_words(writing *w, const char *const *captions, int count, error *e)
{
	kept *first = &w->waiting[w->waiting_count - count];
	for (int n = 0; n < TEXT_ENCODERS; n++) {
		const float *states = w->words[n] ? words_run(w->words[n], captions, count, e) : NULL;
		if (w->words[n] && !states) return false;
		for (int i = 0; states && i < count; i++) {
			size_t each = words_each(w->words[n]);
			if (!(first[i].words[n] = stored(w, states + (size_t)i * each, each, e))) return false;
			w->waiting_bytes += each * dtype_size(w->o->stored);
		}
	}
	return true;
}

static bool encode_batch(writing *w, const data_batch *b, error *e)
{
	const float *moments = encode_pictures(w, b, e);
	bool fine = moments != NULL;
	for (int i = 0; fine && i < b->count; i++) fine = keep_sample(w, b, i, moments, e);
	fine = fine && keep_words(w, b->captions, b->count, e);
	bool full = w->waiting_count > SAMPLES_OF_FILE - MOST_OF_BATCH || w->waiting_bytes >= BYTES_OF_FILE;
	return fine && (!full || write_waiting(w, e));
}

static bool report(const writing *w, error *e)
{
	data_counts counts = data_counted(w->set);
	if (!w->o->progress || w->o->progress(w->o->context, w->done, data_pictures(w->set), &counts)) return true;
	return fail(e, STOPPED, "stopped; the cache in %s is not whole", w->o->folder);
}

static bool encode_all(writing *w, error *e)
{
	data_batch b;
	bool fine = true;
	while ((fine = fine && data_next(w->set, &b, e)) && b.count) fine = encode_batch(w, &b, e) && report(w, e);
	if (fine && !w->done) return fail(e, BAD_FILE, "nothing could be read: there is nothing to cache");
	return fine && write_waiting(w, e) && list_set(w, e);
}

static bool make_places(writing *w, error *e)
{
	int64_t n = data_pictures(w->set);
	if (n < 0) return true;
	w->places = malloc((size_t)n * sizeof *w->places + 1);
	for (int64_t i = 0; w->places && i < n; i++) w->places[i].number = -1;
	return w->places || fail(e, NO_MEMORY, "no memory for the list of a cache");
}

/* Pictures that are encoded together: as many as 8 of 512×512 have pixels, so that large ones need no more memory. */
static int pictures_at_once(const data_options *source)
{
	int64_t side = data_side(source), n = PIXELS_OF_BATCH / (side * side);
	return n < 1 ? 1 : n > MOST_OF_BATCH ? MOST_OF_BATCH : (int)n;
}

static bool open_words(writing *w, int k, error *e)
{
	const cache_options *o = w->o;
	const tokenizer *t = o->texts->tokenizers[k];
	caption_encoder *made = w->words[k] =
	    words_new(w->m, k, t, w->batch, o->texts->tokens[k], o->compute, o->threads, e);
	const float *states = made ? words_run(made, NULL, 0, e) : NULL;
	return states && (w->empty[k] = stored(w, states, words_each(made), e));
}

static bool start(writing *w, const data_options *source, error *e)
{
	const cache_options *o = w->o;
	char path[LONGEST_PATH];
	data_options once = *source;
	once.once = once.pixels = true;
	once.vary_captions = once.random_crop = once.random_flip = false;
	once.batch = w->batch = pictures_at_once(source);
	once.rank = 0;
	once.ranks = 1;
	once.first_batch = 0;
	if (mkdir(o->folder, 0777) && errno != EEXIST) return fail(e, errno_status(), "%s: %s", o->folder, strerror(errno));
	if (snprintf(path, sizeof path, "%s/metadata.jsonl", o->folder) >= LONGEST_PATH - 32)
		return fail(e, BAD_USAGE, "the path of a cache has more than %d bytes", LONGEST_PATH - 32);
	if (!access(path, F_OK) && !is_cache(o->folder))
		return fail(e, BAD_USAGE, "%s is there and is no cache's: a cache would overwrite it", path);
	unlink(path); /* what was there is a cache no more */
	if (!(w->list = writer_open(path, 0, e)) || !cache_origin_of(w->m, o->texts, source, &w->origin, e)) return false;
	for (int i = 0; o->texts && i < TEXT_ENCODERS; i++)
		if (o->texts->tokenizers[i] && !o->texts->trained[i] && !open_words(w, i, e)) return false;
	return (w->set = data_open(&once, e)) && make_places(w, e);
}

/* Files of a longer cache that was here before. */
static void remove_behind(const writing *w)
{
	char path[LONGEST_PATH];
	for (int i = w->files; snprintf(path, sizeof path, "%s/cache-%05d.safetensors", w->o->folder, i) < LONGEST_PATH;
	     i++)
		if (unlink(path)) return;
}

bool cache_write(const cache_options *o, const learner *m, const data_options *source, error *e)
{
	writing *w = calloc(1, sizeof *w);
	if (!w) return fail(e, NO_MEMORY, "no memory for a cache");
	w->o = o;
	w->m = m;
	bool fine = start(w, source, e) && encode_all(w, e);
	if (fine) {
		remove_behind(w);
		fine = writer_commit(w->list, e);
	} else {
		writer_abort(w->list);
	}
	forget(w);
	data_close(w->set);
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		words_free(w->words[i]);
		free(w->empty[i]);
	}
	for (int i = 0; i < w->encoder_count; i++) encoder_free(w->encoders[i]);
	free(w->pixels);
	free(w->places);
	free(w);
	return fine;
}
