/* encode.c - from prompts, pixels and masks to what the denoiser, the sampler and an inpainting model read. */
#include "pipeline/encode.h"
#include "pipeline/finite.h"
#include "pipeline/latent.h"
#include "pipeline/picture.h"
#include <stdlib.h>

/* ── prompts ── */

bool encode_prompts(session *s, job *const *jobs, int count, const watcher *w, error *e)
{
	bool fine = true;
	for (int i = 0; fine && i < TEXT_ENCODERS; i++) {
		session_hold(s, true);
		for (int k = 0; fine && k < count; k++) {
			job *j = jobs[k];
			fine = conditioning_encode_by(&j->text, s, i, j->adapters, j->skip, w, e) &&
			       conditioning_encode_by(&j->text_to, s, i, j->adapters, j->skip, w, e);
		}
		session_hold(s, false);
	}
	return fine;
}

/* ── pictures ── */

static void build(nn *n, const model *m, stage *s, const void *shapes)
{
	const job *j = shapes;
	s->in[0] = input(n->g, "image", REAL, shape4(1, j->height, j->width, m->family.autoencoder.in_channels));
	tensor moments = family_encode_image(n, &m->family, s->in[0]);
	shape latent = shape4(1, j->latent_height, j->latent_width, j->channels);
	s->in[1] = j->own_scheduler ? input(n->g, "noise", REAL, latent) : 0;
	s->out = s->in[1] ? vae_sample(n->g, moments, s->in[1]) : vae_mean(n->g, moments);
}

static network_key key_of(const job *j)
{
	return (network_key){ ENCODER_NETWORK, { j->width, j->height, j->own_scheduler }, .adapters = j->adapters };
}

stage *encoder_network(session *s, const job *j, error *e)
{
	network_key key = key_of(j);
	return session_network(s, &key, build, j, e);
}

/* The noise by which a latent is drawn from its distribution, the first that the seed gives, as diffusers' pipelines
 * draw it; zeros for the mean. */
static bool write_noise(stage *network, job *j, bool drawn, error *e)
{
	size_t n = j->positions * (size_t)j->channels;
	float *both = calloc(2 * n, sizeof *both);
	if (!both) return fail(e, NO_MEMORY, "out of memory for a latent");
	if (drawn) noise_draw(&j->noise, both + n, n);
	channels_last(both, both + n, j->channels, j->positions);
	bool fine = stage_write(network, network->in[1], both, e);
	free(both);
	return fine;
}

/* The scaled latent [positions][C], the mean of its distribution or, for a folder's own scheduler, drawn from it; for
 * the caller to free. */
static float *encode(stage *network, job *j, const float *image, bool drawn, error *e)
{
	const family *f = &j->m->family;
	size_t n = j->positions * (size_t)j->channels;
	float *latent = malloc(n * sizeof *latent);
	if (!latent) return fail(e, NO_MEMORY, "out of memory for a latent"), NULL;
	bool fine = (!network->in[1] || write_noise(network, j, drawn, e)) &&
	            stage_write(network, network->in[0], image, e) && stage_run(network, e) &&
	            stage_read(network, latent, e);
	for (size_t i = 0; fine && i < n; i++) latent[i] = (latent[i] - f->latent_shift) * f->latent_scale;
	if (fine && all_finite(latent, n, "the encoded picture", e)) return latent;
	free(latent);
	return NULL;
}

/* The inpainting input at each latent position: the mask, and the latent of the picture with what is to be painted
 * grey. Without a picture all is to be painted. */
static bool encode_inpainting_input(stage *network, job *j, float *image, error *e)
{
	size_t channels = (size_t)j->channels;
	if (!grey_masked(image, j->o->init ? j->o->mask : NULL, j->width, j->height, e)) return false;
	float *latent = encode(network, j, image, false, e);
	if (latent && !(j->inpainting_input = malloc(j->positions * (1 + channels) * sizeof(float))))
		fail(e, NO_MEMORY, "out of memory for a latent");
	for (size_t i = 0; j->inpainting_input && i < j->positions; i++) {
		float *to = j->inpainting_input + i * (1 + channels);
		to[0] = j->mask ? j->mask[i] : j->o->init ? 0 : 1;
		for (size_t c = 0; c < channels; c++) to[1 + c] = latent[i * channels + c];
	}
	free(latent);
	return j->inpainting_input != NULL;
}

bool encode_pictures(session *s, job *j, const watcher *w, error *e)
{
	const sumi_options *o = j->o;
	if (!o->init && !j->extra) return true;
	network_key key = key_of(j);
	stage *network = session_ready(s, &key, build, j, 0, w, e);
	if (!network) return false;
	float *image = watcher_progress(w, "encode", 0, 1, e) ? picture_of(o->init, j->width, j->height, e) : NULL;
	bool fine = image != NULL;
	if (fine && o->init) fine = (j->original = encode(network, j, image, true, e)) != NULL;
	if (fine && o->mask) fine = (j->mask = mask_of(o->mask, j->latent_width, j->latent_height, e)) != NULL;
	if (fine && j->extra) fine = encode_inpainting_input(network, j, image, e);
	free(image);
	session_done(s, network);
	return fine && watcher_progress(w, "encode", 1, 1, e);
}
