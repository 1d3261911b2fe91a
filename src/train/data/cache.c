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
	const weight **moments, **words; /* [count]; words: NULL where there are none */
	const weight *empty;
	int64_t count;
	cache_origin origin;
};

/* ── where it comes from ── */
static void hash_weight(sha256 *h, const learner_weight *w)
{
	sha256_add(h, w->name, strlen(w->name) + 1);
	sha256_add(h, w->shape.d, (size_t)w->shape.n * sizeof *w->shape.d);
	sha256_add(h, w->bytes, shape_count(w->shape) * dtype_size(w->dtype));
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

bool cache_origin_of(const learner *m, bool words, const data_options *source, cache_origin *o, error *e)
{
	sha256 h;
	*o = (cache_origin){ 0 };
	sha256_begin(&h);
	if (!hash_part(m, m->family.prefix[AUTOENCODER], true, &h))
		return fail(e, BAD_USAGE, "an autoencoder that is trained makes no cache");
	end_hash(&h, o->autoencoder);
	if (words) {
		const text_config *t = &m->family.text[0];
		int numbers[] = { t->skip, t->length, t->begin, t->end, t->padding };
		sha256_begin(&h);
		if (!hash_part(m, m->family.prefix[TEXT_ENCODER], false, &h))
			return fail(e, BAD_USAGE, "a text encoder that is trained makes no text states to keep");
		sha256_add(&h, numbers, sizeof numbers);
		if (m->vocabulary) sha256_add(&h, m->vocabulary, strlen(m->vocabulary));
		end_hash(&h, o->words);
	}
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

static void take_text(const json_t *j, const char *key, char to[65])
{
	const char *text = json_string_value(json_object_get(j, key));
	snprintf(to, 65, "%s", text ? text : "");
}

static bool read_origin(const weights *w, cache_origin *o, int64_t *first, error *e)
{
	const char *text = weights_metadata(w, "sumi.cache");
	json_t *j = text ? json_loads(text, 0, NULL) : NULL;
	*o = (cache_origin){ 0 };
	take_text(j, "autoencoder", o->autoencoder);
	take_text(j, "words", o->words);
	take_text(j, "set", o->set);
	*first = json_integer_value(json_object_get(j, "first"));
	bool fine = json_is_object(j);
	json_decref(j);
	return fine || fail(e, BAD_FILE, "%s: no part of a cache", weights_path(w));
}

static bool floats(const weight *w, int dims)
{
	return w->ndims == dims && (w->dtype == F32 || w->dtype == F16 || w->dtype == BF16);
}

/* The samples of one file, which must go on where the last ended. */
static bool list_samples(cache *c, const weights *w, error *e)
{
	bool with_words = c->origin.words[0];
	size_t each = with_words ? 2 : 1, extra = weights_find(w, "words/empty") != NULL;
	int64_t n = (int64_t)((weights_count(w) - extra) / each);
	const weight **moments = realloc(c->moments, (size_t)(c->count + n + 1) * sizeof *moments);
	if (moments) c->moments = moments;
	const weight **words = realloc(c->words, (size_t)(c->count + n + 1) * sizeof *words);
	if (words) c->words = words;
	if (!moments || !words) return fail(e, NO_MEMORY, "no memory for %lld samples", (long long)(c->count + n));
	for (int64_t i = c->count; i < c->count + n; i++) {
		char name[64];
		snprintf(name, sizeof name, "moments/%lld", (long long)i);
		moments[i] = weights_find(w, name);
		snprintf(name, sizeof name, "words/%lld", (long long)i);
		words[i] = with_words ? weights_find(w, name) : NULL;
		bool pairs = moments[i] && floats(moments[i], 3) && moments[i]->shape[2] >= 2 && moments[i]->shape[2] % 2 == 0;
		if (!pairs || (with_words && (!words[i] || !floats(words[i], 2))))
			return fail(e, BAD_FILE, "%s: sample %lld is not whole", weights_path(w), (long long)i);
	}
	c->count += n;
	return true;
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
		c->empty = weights_find(w, "words/empty");
	}
	if (memcmp(&own, &c->origin, sizeof own) || first != c->count)
		return fail(e, BAD_FILE, "%s: is of another cache than the files before it", path);
	return list_samples(c, w, e);
}

/* Every sample's text states have one shape. */
static bool check_words(const cache *c, const char *folder, error *e)
{
	if (!c->origin.words[0]) return true;
	bool fine = c->empty && floats(c->empty, 2);
	for (int64_t i = 0; fine && i < c->count; i++)
		fine = c->words[i]->shape[0] == c->empty->shape[0] && c->words[i]->shape[1] == c->empty->shape[1];
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
	free(c->words);
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

int cache_tokens(const cache *c, int *width)
{
	*width = c->empty ? (int)c->empty->shape[1] : 0;
	return c->empty && c->origin.words[0] ? (int)c->empty->shape[0] : 0;
}

void cache_words(const cache *c, int64_t i, float *out) { take_values(i < 0 ? c->empty : c->words[i], out); }

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
