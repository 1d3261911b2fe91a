/* hires.c - the second pass as a job of its own. */
#include "pipeline/hires.h"
#include "io/picture.h"
#include "pipeline/latent.h"
#include "pipeline/picture.h"
#include "pipeline/upscale.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum upscaling { BY_LATENT, BY_LATENT_NEAREST, BY_LANCZOS, BY_NETWORK } upscaling;

struct hires {
	job second;
	upscaling by;
	upscaler *network; /* NULL: none */
	sumi_image begin;  /* its pixels are `none` until the first pass is done */
	unsigned char none[1];
	picture made;
};

static const char *const names[] = { "Latent", "Latent (nearest-exact)", "Lanczos" };

static bool choose_upscaler(struct hires *h, const job *j, error *e)
{
	const char *name = j->o->hires_upscaler ? j->o->hires_upscaler : names[BY_LATENT];
	for (int i = BY_LATENT; i < BY_NETWORK; i++) {
		h->by = (upscaling)i;
		if (!strcasecmp(name, names[i])) return true;
	}
	h->by = BY_NETWORK;
	upscaler_machine m = { j->m->backend, j->m->compute, j->m->threads, j->m->max_memory };
	h->network = upscaler_open(name, &m, e);
	if (h->network) return true;
	if (e->status == BAD_FILE && !strpbrk(name, "./"))
		return *e = (error){ 0 },
		       fail(e, BAD_USAGE, "upscaler '%.60s' is none of: %s, %s, %s, or the path of a network's file", name,
		           names[0], names[1], names[2]);
	return false;
}

static int side_of(const job *j, int side)
{
	int factor = vae_factor(&j->m->family.autoencoder) * denoiser_patch(&j->m->family.denoiser);
	return (int)(side * j->o->hires_scale / factor + 0.5) * factor;
}

bool hires_prepare(job *j, session *s, const watcher *w, error *e)
{
	const sumi_options *o = j->o;
	if (o->hires_scale == 0) return true;
	if (!(o->hires_scale > 1 && o->hires_scale <= 8))
		return fail(e, BAD_USAGE, "hires scale %g: above 1 and at most 8", o->hires_scale);
	if (!(o->hires_strength >= 0 && o->hires_strength <= 1) || o->hires_steps < 0 || o->hires_steps > 10000)
		return fail(e, BAD_USAGE, "hires: strength %g is between 0 and 1, steps %d between 1 and 10000",
		    o->hires_strength, o->hires_steps);
	if (o->init)
		return fail(e, BAD_USAGE, "hires is for pictures from noise; one that is begun from is given a larger size");
	struct hires *h = j->hires = calloc(1, sizeof *h);
	if (!h) return fail(e, NO_MEMORY, "out of memory for a second pass");
	if (!choose_upscaler(h, j, e)) return false;
	sumi_options second = *o;
	h->begin = (sumi_image){ .size = sizeof h->begin, .pixels = h->none, .seed = -1 };
	second.width = h->begin.width = side_of(j, j->width);
	second.height = h->begin.height = side_of(j, j->height);
	second.hires_scale = 0;
	second.init = &h->begin;
	second.strength = o->hires_strength;
	second.steps = o->hires_steps ? o->hires_steps : o->steps;
	second.seed = j->seed;
	h->second.latent_comes = !hires_in_pixels(j);
	return job_prepare(&h->second, s, &(watcher){ .cancel = w ? w->cancel : NULL }, &second, e);
}

void hires_free(job *j)
{
	if (!j->hires) return;
	upscaler_close(j->hires->network);
	picture_free(&j->hires->made);
	job_free(&j->hires->second);
	free(j->hires);
}

job *hires_job(const job *j) { return j->hires ? &j->hires->second : NULL; }

bool hires_alike(const job *a, const job *b)
{
	if (!a->hires || !b->hires) return a->hires == b->hires;
	return a->hires->by == b->hires->by && jobs_alike(&a->hires->second, &b->hires->second);
}

const char *hires_upscaler_name(const job *j)
{
	return j->hires->network ? upscaler_name(j->hires->network) : names[j->hires->by];
}

bool hires_in_pixels(const job *j) { return j->hires->by >= BY_LANCZOS; }

static bool enlarge_picture(struct hires *h, const sumi_image *first, const watcher *w, error *e)
{
	sumi_image *large = h->network ? upscaler_picture(h->network, first, 0, TILE_PAD, w, e) : NULL;
	if (h->network && !large) return false;
	const sumi_image *from = large ? large : first;
	picture p = { .width = from->width, .height = from->height, .rgb = from->pixels };
	bool fine = picture_resize(&h->made, &p, h->second.width, h->second.height, LANCZOS, e);
	sumi_image_free(large);
	h->second.init_image.pixels = h->made.rgb;
	return fine;
}

bool hires_begin(job *j, const float *latent, const float *pixels, const watcher *w, error *e)
{
	struct hires *h = j->hires;
	job *second = &h->second;
	second->index = j->index;
	second->options.preview = j->options.preview;
	if (hires_in_pixels(j)) {
		sumi_image *first = picture_from(pixels, j->width, j->height, NULL, NULL, e);
		bool fine = first && enlarge_picture(h, first, w, e);
		sumi_image_free(first);
		return fine;
	}
	second->original = malloc(second->positions * (size_t)second->channels * sizeof *second->original);
	if (!second->original) return fail(e, NO_MEMORY, "out of memory for a latent");
	latent_size from = { j->latent_height, j->latent_width }, to = { second->latent_height, second->latent_width };
	latent_resize(second->original, to, latent, from, j->channels, h->by == BY_LATENT_NEAREST);
	return true;
}
