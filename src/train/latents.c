/* latents.c - the frozen autoencoder at work for the diffusion trainer. */
#include "train/latents.h"
#include "backend/backend.h"
#include "io/weights.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_BATCH = 8 };

struct encoder {
	graph *g;
	tensor image, moments;
	int count, height, width;
};

encoder *encoder_new(const learner *m, int count, int height, int width, dtype compute, int threads, error *e)
{
	encoder *c = calloc(1, sizeof *c);
	if (!c || !(c->g = graph_new(compute))) {
		free(c);
		return fail(e, NO_MEMORY, "no memory for the autoencoder"), NULL;
	}
	graph *g = c->g;
	nn n = { .g = g };
	c->count = count;
	c->height = height;
	c->width = width;
	c->image = input(g, "image", REAL, shape4(count, height, width, m->family.vae.in_channels));
	tensor moments = family_encode_image(&n, &m->family, c->image);
	c->moments = concat(g, vae_mean(g, moments), vae_logvar(g, moments), 3);
	keep(g, c->moments);
	if (graph_bind(g, learner_bind, (void *)m, e) && graph_compile(g, backend_cpu(), threads, e) &&
	    graph_allocate(g, NULL, NULL, e))
		return c;
	encoder_free(c);
	return NULL;
}

void encoder_free(encoder *c)
{
	if (c) graph_free(c->g);
	free(c);
}

const float *encoder_run(encoder *c, const float *pixels, error *e)
{
	memcpy(graph_data(c->g, c->image), pixels, shape_count(shape_of(c->g, c->image)) * sizeof *pixels);
	return graph_run(c->g, NULL, NULL, e) ? graph_data(c->g, c->moments) : NULL;
}

int encoder_count(const encoder *c) { return c->count; }

bool encoder_fits(const encoder *c, int count, int height, int width)
{
	return c->count == count && c->height == height && c->width == width;
}

/* ── the file ── */
static uint64_t hash_weights(const learner *m)
{
	uint64_t h = 1469598103934665603u;
	for (int i = 0; i < m->count; i++) {
		const learner_weight *w = &m->weights[i];
		if (strncmp(w->name, m->family.vae_prefix, strlen(m->family.vae_prefix)) || !w->bytes) continue;
		const unsigned char *at = w->bytes;
		for (size_t k = 0; k < shape_count(w->shape) * dtype_size(w->dtype); k++) h = (h ^ at[k]) * 1099511628211u;
	}
	return h;
}

static void describe(const latent_cache *l, const learner *m, char *text, size_t size)
{
	snprintf(text, size, "%016llx, %lld latents of %dx%dx%d", (unsigned long long)hash_weights(m), (long long)l->count,
	    l->height, l->width, l->channels);
}

static size_t moments_of_one(const latent_cache *l)
{
	return (size_t)l->height * (size_t)l->width * 2 * (size_t)l->channels;
}

static bool read_cache(latent_cache *l, const char *path, const char *description)
{
	weights *w = weights_open(path, NULL);
	const char *found = w ? weights_metadata(w, "sumi.latents") : NULL;
	const weight *moments = w ? weights_find(w, "moments") : NULL, *broken = w ? weights_find(w, "broken") : NULL;
	size_t bytes = (size_t)l->count * moments_of_one(l) * sizeof(float);
	bool fine = found && !strcmp(found, description) && moments && moments->dtype == F32 && moments->bytes == bytes &&
	            broken && broken->bytes == (size_t)l->count;
	if (fine) {
		memcpy(l->moments, moments->data, bytes);
		for (int64_t i = 0; i < l->count; i++) l->broken[i] = ((const uint8_t *)broken->data)[i] != 0;
	}
	weights_close(w);
	return fine;
}

static bool write_cache(const latent_cache *l, const char *path, const char *description, error *e)
{
	int64_t dims[] = { l->count, l->height, l->width, 2 * l->channels };
	weights_writer *w = weights_writer_new(path, e);
	bool fine = w && weights_writer_metadata(w, "sumi.latents", description, e) &&
	            weights_writer_declare(w, "moments", F32, 4, dims, e) &&
	            weights_writer_declare(w, "broken", U8, 1, dims, e) &&
	            weights_writer_append(w, l->moments, (size_t)l->count * moments_of_one(l) * sizeof(float), e) &&
	            weights_writer_append(w, l->broken, (size_t)l->count, e);
	if (fine) return weights_writer_finish(w, e);
	weights_writer_abort(w);
	return false;
}

/* ── encoding all ── */
static bool encode_all(latent_cache *l, const data *d, encoder *c, int side,
    void (*progress)(void *context, int64_t done, int64_t of), void *context, error *e)
{
	size_t each = (size_t)side * (size_t)side * 3, one = moments_of_one(l);
	float *pixels = calloc(CACHE_BATCH * each, sizeof *pixels);
	bool fine = pixels || fail(e, NO_MEMORY, "no memory for pictures");
	for (int64_t first = 0; fine && first < l->count; first += CACHE_BATCH) {
		int64_t left = l->count - first, n = left < CACHE_BATCH ? left : CACHE_BATCH;
		for (int64_t i = 0; i < n; i++) {
			l->broken[first + i] = !data_picture(d, first + i, pixels + (size_t)i * each, NULL);
			if (l->broken[first + i]) memset(pixels + (size_t)i * each, 0, each * sizeof *pixels);
		}
		const float *moments = encoder_run(c, pixels, e);
		fine = moments != NULL;
		if (fine) memcpy(l->moments + (size_t)first * one, moments, (size_t)n * one * sizeof *moments);
		if (fine && progress) progress(context, first + n, l->count);
	}
	free(pixels);
	return fine;
}

bool latents_of_set(latent_cache *l, const data *d, const learner *m, int side, dtype compute, int threads,
    const char *path, void (*progress)(void *context, int64_t done, int64_t of), void *context, error *e)
{
	int factor = vae_factor(&m->family.vae);
	*l = (latent_cache){ .count = data_count(d),
		.height = side / factor,
		.width = side / factor,
		.channels = m->family.vae.latent_channels };
	l->moments = calloc((size_t)l->count * moments_of_one(l) + 1, sizeof *l->moments);
	l->broken = calloc((size_t)l->count + 1, sizeof *l->broken);
	if (!l->moments || !l->broken) return fail(e, NO_MEMORY, "no memory for %lld latents", (long long)l->count);
	char description[160];
	describe(l, m, description, sizeof description);
	if (read_cache(l, path, description)) return true;
	encoder *c = encoder_new(m, CACHE_BATCH, side, side, compute, threads, e);
	bool fine = c && encode_all(l, d, c, side, progress, context, e) && write_cache(l, path, description, e);
	encoder_free(c);
	return fine;
}

void latents_free(latent_cache *l)
{
	free(l->moments);
	free(l->broken);
	*l = (latent_cache){ 0 };
}

double latents_deviation(const latent_cache *l)
{
	double sum = 0, squares = 0, n = 0;
	int c = l->channels;
	size_t places = (size_t)l->height * (size_t)l->width;
	for (int64_t i = 0; i < l->count; i++) {
		if (l->broken[i]) continue;
		const float *at = l->moments + (size_t)i * moments_of_one(l);
		for (size_t p = 0; p < places; p++, at += 2 * c)
			for (int k = 0; k < c; k++) {
				sum += (double)at[k];
				squares += (double)at[k] * (double)at[k] + exp((double)at[c + k]);
			}
		n += (double)(places * (size_t)c);
	}
	if (n == 0) return 0;
	return sqrt(fmax(0, squares / n - sum / n * (sum / n)));
}
