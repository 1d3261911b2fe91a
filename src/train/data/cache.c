/* cache.c - reads what cache_write.c wrote. */
#include "train/data/cache.h"
#include "base/sha256.h"
#include "io/weights.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_PATH = 4096 };

struct cache {
	weights **files;
	int file_count;
	const weight **moments; /* [count] */
	struct {
		const weight **words, **pooled; /* [count] */
		const weight *empty, *empty_pooled;
	} of[TEXT_ENCODERS]; /* NULL where there are none */
	int64_t count;
	cache_origin origin;
};

/* ── where it comes from ── */
static void hash_weight(sha256 *h, const learner_weight *w)
{
	sha256_add(h, w->name, strlen(w->name) + 1);
	sha256_add(h, w->shape.d, (size_t)w->shape.n * sizeof *w->shape.d);
	sha256_add(h, w->bytes, dtype_bytes(w->dtype, shape_count(w->shape)));
}

static bool hash_part(const learner *m, const char *prefix, bool encoder_only, sha256 *h)
{
	size_t n = strlen(prefix);
	for (int i = 0; i < m->count; i++) {
		const learner_weight *w = &m->weights[i];
		if (strncmp(w->name, prefix, n) || (n && w->name[n] != '.')) continue;
		const char *rest = w->name + n + (n > 0);
		if (encoder_only && strncmp(rest, "encoder.", 8) && strncmp(rest, "quant_conv.", 11)) continue;
		if (w->trained) return false;
		if (w->bytes) hash_weight(h, w);
	}
	return true;
}

static void end_hash(sha256 *h, char hex[65])
{
	uint8_t digest[32];
	sha256_end(h, digest);
	sha256_hex(digest, hex);
}

static bool hash_text(const learner *m, int encoder, int tokens, char hex[65])
{
	sha256 h;
	const text_config *t = &m->family.text[encoder];
	int numbers[] = { t->skip, tokens, t->begin, t->end, t->padding };
	sha256_begin(&h);
	if (!hash_part(m, m->family.prefix[TEXT_ENCODER + encoder], false, &h)) return false;
	sha256_add(&h, numbers, sizeof numbers);
	if (m->vocabulary && !encoder) sha256_add(&h, m->vocabulary, strlen(m->vocabulary));
	end_hash(&h, hex);
	return true;
}

bool cache_origin_same(const cache_origin *a, const cache_origin *b)
{
	bool same = !strcmp(a->autoencoder, b->autoencoder) && !strcmp(a->set, b->set);
	for (int i = 0; i < TEXT_ENCODERS; i++) same = same && !strcmp(a->words[i], b->words[i]);
	return same;
}

bool cache_origin_of(const learner *m, const caption_readers *t, const data_options *source, cache_origin *o, error *e)
{
	sha256 h;
	*o = (cache_origin){ 0 };
	sha256_begin(&h);
	if (!hash_part(m, m->family.prefix[AUTOENCODER], true, &h))
		return fail(e, BAD_USAGE, "an autoencoder that is trained makes no cache");
	end_hash(&h, o->autoencoder);
	snprintf(o->model, sizeof o->model, "%s", m->family.name);
	for (int i = 0; t && i < TEXT_ENCODERS; i++)
		if (t->tokenizers[i] && !t->trained[i] && !hash_text(m, i, t->tokens[i], o->words[i]))
			return fail(e, BAD_USAGE, "a text encoder that is trained makes no text states to keep");
	return !source || data_fingerprint(source, o->set, e);
}

/* ── opening ── */
static bool path_of(char *path, const char *folder, int number, error *e)
{
	int n = snprintf(path, LONGEST_PATH, "%s/cache-%05d.safetensors", folder, number);
	return n < LONGEST_PATH || fail(e, BAD_USAGE, "the path of a cache has more than %d bytes", LONGEST_PATH);
}

bool is_cache(const char *folder)
{
	char path[LONGEST_PATH], list[LONGEST_PATH + 32];
	snprintf(list, sizeof list, "%.*s/metadata.jsonl", LONGEST_PATH - 1, folder);
	return path_of(path, folder, 0, NULL) && !access(path, R_OK) && !access(list, R_OK);
}

static void take_text(const json_t *j, const char *key, char *to, size_t size)
{
	const char *text = json_string_value(json_object_get(j, key));
	snprintf(to, size, "%s", text ? text : "");
}

void cache_key(char key[64], const char *what, int encoder)
{
	snprintf(key, 64, encoder ? "%s.%d" : "%s", what, encoder);
}

static bool read_origin(const weights *w, cache_origin *o, int64_t *first, error *e)
{
	const char *text = weights_metadata(w, "sumi.cache");
	json_t *j = text ? json_loads(text, 0, NULL) : NULL;
	*o = (cache_origin){ 0 };
	take_text(j, "autoencoder", o->autoencoder, sizeof o->autoencoder);
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		char key[64];
		cache_key(key, "words", i);
		take_text(j, key, o->words[i], sizeof o->words[i]);
	}
	take_text(j, "set", o->set, sizeof o->set);
	take_text(j, "model", o->model, sizeof o->model);
	*first = json_integer_value(json_object_get(j, "first"));
	bool fine = json_is_object(j);
	json_decref(j);
	return fine || fail(e, BAD_FILE, "%s: no part of a cache", weights_path(w));
}

static bool floats(const weight *w, int dims)
{
	return w->ndims == dims && (w->dtype == F32 || w->dtype == F16 || w->dtype == BF16);
}

static bool grow(const weight ***list, int64_t count)
{
	const weight **more = realloc(*list, (size_t)(count + 1) * sizeof *more);
	if (more) *list = more;
	return more != NULL;
}

static const weight *numbered(const weights *w, const char *key, int64_t i)
{
	char name[96];
	snprintf(name, sizeof name, "%s/%lld", key, (long long)i);
	return weights_find(w, name);
}

/* An encoder's states of samples from `first` on; all have the shapes of the empty caption's. */
static bool list_words(cache *c, int encoder, const weights *w, int64_t first, int64_t last, error *e)
{
	char key[64], key_pooled[64];
	cache_key(key, "words", encoder);
	cache_key(key_pooled, "pooled", encoder);
	bool pools = c->of[encoder].empty_pooled;
	if (!grow(&c->of[encoder].words, last) || !grow(&c->of[encoder].pooled, last))
		return fail(e, NO_MEMORY, "no memory for %lld samples", (long long)last);
	for (int64_t i = first; i < last; i++) {
		const weight *x = c->of[encoder].words[i] = numbered(w, key, i),
		             *p = c->of[encoder].pooled[i] = pools ? numbered(w, key_pooled, i) : NULL;
		if (!x || !floats(x, 2) || (pools && (!p || !floats(p, 1))))
			return fail(e, BAD_FILE, "%s: sample %lld is not whole", weights_path(w), (long long)i);
	}
	return true;
}

/* The samples of one file, which must go on where the last ended. */
static bool list_samples(cache *c, const weights *w, error *e)
{
	int64_t first = c->count, last = first;
	while (numbered(w, "moments", last)) last++;
	if (!grow(&c->moments, last)) return fail(e, NO_MEMORY, "no memory for %lld samples", (long long)last);
	for (int64_t i = first; i < last; i++) {
		const weight *x = c->moments[i] = numbered(w, "moments", i);
		if (!floats(x, 3) || x->shape[2] < 2 || x->shape[2] % 2)
			return fail(e, BAD_FILE, "%s: sample %lld is not whole", weights_path(w), (long long)i);
	}
	for (int k = 0; k < TEXT_ENCODERS; k++)
		if (c->origin.words[k][0] && !list_words(c, k, w, first, last, e)) return false;
	c->count = last;
	return last > first || fail(e, BAD_FILE, "%s: sample %lld is not whole", weights_path(w), (long long)first);
}

static void find_empty(cache *c, const weights *w)
{
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		char key[64], name[96];
		cache_key(key, "words", k);
		snprintf(name, sizeof name, "%s/empty", key);
		c->of[k].empty = weights_find(w, name);
		cache_key(key, "pooled", k);
		snprintf(name, sizeof name, "%s/empty", key);
		c->of[k].empty_pooled = weights_find(w, name);
	}
}

static bool open_file(cache *c, const char *path, error *e)
{
	cache_origin own;
	int64_t first;
	weights **more = realloc(c->files, ((size_t)c->file_count + 1) * sizeof *more);
	if (!more) return fail(e, NO_MEMORY, "no memory for a cache");
	c->files = more;
	weights *w = weights_open(path, e);
	if (!w) return false;
	c->files[c->file_count++] = w;
	if (!read_origin(w, &own, &first, e)) return false;
	if (c->file_count == 1) {
		c->origin = own;
		find_empty(c, w);
	}
	if (!cache_origin_same(&own, &c->origin) || first != c->count)
		return fail(e, BAD_FILE, "%s: is of another cache than the files before it", path);
	return list_samples(c, w, e);
}

static bool same_shape(const weight *a, const weight *b)
{
	return a->ndims == b->ndims && a->shape[0] == b->shape[0] && (a->ndims < 2 || a->shape[1] == b->shape[1]);
}

/* Every sample's text states have one shape. */
static bool check_words(const cache *c, const char *folder, error *e)
{
	bool fine = true;
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		const weight *empty = c->of[k].empty, *pooled = c->of[k].empty_pooled;
		if (!c->origin.words[k][0]) continue;
		fine = fine && empty && floats(empty, 2) && (!pooled || floats(pooled, 1));
		for (int64_t i = 0; fine && i < c->count; i++)
			fine = same_shape(c->of[k].words[i], empty) && (!pooled || same_shape(c->of[k].pooled[i], pooled));
	}
	return fine || fail(e, BAD_FILE, "%s: its text states differ in shape", folder);
}

cache *cache_open(const char *folder, error *e)
{
	cache *c = calloc(1, sizeof *c);
	char path[LONGEST_PATH];
	if (!c) return fail(e, NO_MEMORY, "no memory for a cache"), NULL;
	bool fine = is_cache(folder) || fail(e, BAD_FILE, "%s: no cache that `sumi cache` finished", folder);
	for (int i = 0; fine && path_of(path, folder, i, e) && (!i || !access(path, R_OK)); i++)
		fine = open_file(c, path, e);
	if (fine && check_words(c, folder, e)) return c;
	cache_close(c);
	return NULL;
}

void cache_close(cache *c)
{
	if (!c) return;
	for (int i = 0; i < c->file_count; i++) weights_close(c->files[i]);
	free(c->files);
	free(c->moments);
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		free(c->of[k].words);
		free(c->of[k].pooled);
	}
	free(c);
}

/* ── values ── */
const cache_origin *cache_origin_in(const cache *c) { return &c->origin; }
int64_t cache_count(const cache *c) { return c->count; }
void cache_size(const cache *c, int *height, int *width)
{
	*height = c->count ? (int)c->moments[0]->shape[0] : 0;
	*width = c->count ? (int)c->moments[0]->shape[1] : 0;
}

int cache_channels(const cache *c) { return c->count ? (int)c->moments[0]->shape[2] / 2 : 0; }

/* What lies in a file need not be aligned. */
static void take_values(const weight *w, float *out)
{
	enum { CHUNK = 1024 };
	_Alignas(8) char room[CHUNK * 4];
	size_t n = weight_elements(w), size = dtype_size(w->dtype);
	for (size_t i = 0; i < n; i += CHUNK) {
		size_t m = n - i < CHUNK ? n - i : CHUNK;
		memcpy(room, (const char *)w->data + i * size, m * size);
		convert(out + i, F32, room, w->dtype, m);
	}
}

bool cache_moments(const cache *c, int64_t i, int height, int width, float *out, error *e)
{
	if (i < 0 || i >= c->count) return fail(e, BAD_FILE, "the cache has no sample %lld", (long long)i);
	const int64_t *s = c->moments[i]->shape;
	if (s[0] != height || s[1] != width || s[2] != c->moments[0]->shape[2])
		return fail(e, BAD_FILE, "the cache's sample %lld is a latent of %lld×%lld, its list says %d×%d", (long long)i,
		    (long long)s[1], (long long)s[0], width, height);
	take_values(c->moments[i], out);
	return true;
}

int cache_tokens(const cache *c, int encoder, int *width, int *pooled)
{
	const weight *empty = c->origin.words[encoder][0] ? c->of[encoder].empty : NULL, *p = c->of[encoder].empty_pooled;
	*width = empty ? (int)empty->shape[1] : 0;
	*pooled = empty && p ? (int)p->shape[0] : 0;
	return empty ? (int)empty->shape[0] : 0;
}

void cache_words(const cache *c, int encoder, int64_t i, float *out)
{
	const weight *states = i < 0 ? c->of[encoder].empty : c->of[encoder].words[i],
	             *pooled = i < 0 ? c->of[encoder].empty_pooled : c->of[encoder].pooled[i];
	take_values(states, out);
	if (pooled) take_values(pooled, out + weight_elements(states));
}

bool cache_deviation(const cache *c, double *deviation, error *e)
{
	double sum = 0, squares = 0, n = 0;
	int channels = cache_channels(c);
	float *room = NULL;
	for (int64_t i = 0; i < c->count; i++) {
		size_t values = weight_elements(c->moments[i]), places = values / 2 / (size_t)channels;
		float *more = realloc(room, values * sizeof *more + 1);
		if (!more) {
			free(room);
			return fail(e, NO_MEMORY, "no memory to measure the latents");
		}
		room = more;
		take_values(c->moments[i], room);
		const float *at = room;
		for (size_t p = 0; p < places; p++, at += 2 * channels)
			for (int k = 0; k < channels; k++) {
				sum += (double)at[k];
				squares += (double)at[k] * (double)at[k] + exp((double)at[channels + k]);
			}
		n += (double)(places * (size_t)channels);
	}
	free(room);
	*deviation = n > 0 ? sqrt(fmax(0, squares / n - sum / n * (sum / n))) : 0;
	return true;
}
