/* latents.c - the frozen autoencoder at work for the diffusion trainer. */
#include "train/data/latents.h"
#include <stdlib.h>

struct encoder {
	graph *g;
	tensor image, moments;
	float *values; /* of moments, after a run */
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
	c->image = input(g, "image", REAL, shape4(count, height, width, m->family.autoencoder.in_channels));
	tensor moments = family_encode_image(&n, &m->family, c->image);
	c->moments = concat(g, vae_mean(g, moments), vae_logvar(g, moments), 3);
	keep(g, c->moments);
	c->values = malloc(shape_count(shape_of(g, c->moments)) * sizeof *c->values);
	if (!c->values) fail(e, NO_MEMORY, "no memory for latents");
	if (c->values && graph_bind(g, learner_bind, (void *)m, e) && graph_compile(g, learner_backend(m), threads, e) &&
	    graph_allocate(g, NULL, NULL, e))
		return c;
	encoder_free(c);
	return NULL;
}

void encoder_free(encoder *c)
{
	if (!c) return;
	graph_free(c->g);
	free(c->values);
	free(c);
}

const float *encoder_run(encoder *c, const float *pixels, error *e)
{
	bool fine = graph_write_floats(c->g, c->image, pixels, e) && graph_run(c->g, NULL, NULL, e) &&
	            graph_read_floats(c->g, c->moments, c->values, e);
	return fine ? c->values : NULL;
}

bool encoder_fits(const encoder *c, int count, int height, int width)
{
	return c->count == count && c->height == height && c->width == width;
}
