/* encode.c - from prompts, pixels and masks to what the denoiser, the sampler and an inpainting model read. */
#include "pipeline/encode.h"
#include "pipeline/finite.h"
#include "pipeline/latent.h"
#include "pipeline/picture.h"
#include "pipeline/tiles.h"
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

/* What turns moments into a latent; its noise is the stage's second input. */
static void build_latent(nn *n, stage *s, const job *j, tensor moments)
{
	shape latent = shape4(1, j->latent_height, j->latent_width, j->channels);
	s->in[1] = j->own_scheduler ? input(n->g, "noise", REAL, latent) : 0;
	s->out = s->in[1] ? vae_sample(n->g, moments, s->in[1]) : vae_mean(n->g, moments);
}

static void build(nn *n, const model *m, stage *s, const void *shapes)
{
	const job *j = shapes;
	s->in[0] = input(n->g, "image", REAL, shape4(1, j->height, j->width, m->family.autoencoder.in_channels));
	build_latent(n, s, j, family_encode_image(n, &m->family, s->in[0]));
}

/* ── in tiles: the picture to features, and these to the latent ── */

typedef struct encoder_shapes {
	tiles rows, columns; /* units: places of the features between the two parts */
	int scale;           /* pixels of a unit's side */
	int channels;        /* of the features */
} encoder_shapes;

static encoder_shapes shapes_of(const job *j)
{
	const vae_config *c = &j->m->family.autoencoder;
	int shallow = vae_shallow_levels(c), scale = 1 << shallow, reach = vae_encode_reach(c);
	return (encoder_shapes){ tiles_of(j->height / scale, j->tile / scale, reach),
		tiles_of(j->width / scale, j->tile / scale, reach), scale,
		c->channels * (shallow ? c->multiplier[shallow - 1] : 1) };
}

static void build_tile(nn *n, const model *m, stage *s, const void *shapes)
{
	const encoder_shapes y = shapes_of(shapes);
	int height = y.rows.tile * y.scale, width = y.columns.tile * y.scale;
	s->in[0] = input(n->g, "image", REAL, shape4(1, height, width, m->family.autoencoder.in_channels));
	tile_inputs(n, s, y.rows.tile, y.columns.tile);
	s->out = cast(n->g, family_encode_shallow(n, &m->family, s->in[0]), REAL);
}

static void build_deep(nn *n, const model *m, stage *s, const void *shapes)
{
	const job *j = shapes;
	const encoder_shapes y = shapes_of(j);
	s->in[0] = input(n->g, "features", REAL, shape4(1, y.rows.length, y.columns.length, y.channels));
	build_latent(n, s, j, family_encode_deep(n, &m->family, s->in[0]));
}

static network_key tile_key(const job *j)
{
	encoder_shapes y = shapes_of(j);
	return (network_key){ ENCODER_TILE_NETWORK, { y.rows.tile, y.columns.tile }, .adapters = j->adapters };
}

/* The network that gives the latent. */
static network_key key_of(const job *j)
{
	return (network_key){ j->tile ? ENCODER_DEEP_NETWORK : ENCODER_NETWORK, { j->width, j->height, j->own_scheduler },
		.adapters = j->adapters };
}

static build_fn *build_of(const job *j) { return j->tile ? build_deep : build; }

int encoder_networks(session *s, const job *j, stage *list[AUTOENCODER_NETWORKS], error *e)
{
	network_key key = key_of(j), tile = tile_key(j);
	int n = 0;
	if (j->tile) list[n++] = session_network(s, &tile, build_tile, j, e);
	if (!failed(e)) list[n++] = session_network(s, &key, build_of(j), j, e);
	return failed(e) ? 0 : n;
}

/* What the network that gives the latent reads: the image itself, or the features of its tiles, which are to be freed.
 * NULL: failed. */
static float *features_of(session *s, const job *j, const float *image, const watcher *w, error *e)
{
	encoder_shapes y = shapes_of(j);
	network_key key = tile_key(j);
	stage *network = session_ready(s, &key, build_tile, j, 0, w, e);
	size_t n = (size_t)y.rows.length * (size_t)y.columns.length * (size_t)y.channels;
	float *features = network ? malloc(n * sizeof *features) : NULL;
	if (network && !features) fail(e, NO_MEMORY, "out of memory for the features of tiles");
	tiled_network t = { network, y.rows, y.columns, y.scale, 1, j->m->family.autoencoder.in_channels, y.channels };
	bool fine = features && run_tiles(&t, image, features, "encode", w, e);
	if (network) session_done(s, network);
	if (fine) return features;
	free(features);
	return NULL;
}

/* ── a latent ── */

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
static float *encode(session *s, job *j, const float *image, bool drawn, const watcher *w, error *e)
{
	const family *f = &j->m->family;
	size_t n = j->positions * (size_t)j->channels;
	network_key key = key_of(j);
	float *features = j->tile ? features_of(s, j, image, w, e) : NULL;
	stage *network = failed(e) ? NULL : session_ready(s, &key, build_of(j), j, 0, w, e);
	float *latent = network ? malloc(n * sizeof *latent) : NULL;
	if (network && !latent) fail(e, NO_MEMORY, "out of memory for a latent");
	bool fine = latent && (!network->in[1] || write_noise(network, j, drawn, e)) &&
	            stage_write(network, network->in[0], features ? features : image, e) && stage_run(network, e) &&
	            stage_read(network, latent, e);
	if (network) session_done(s, network);
	free(features);
	for (size_t i = 0; fine && i < n; i++) latent[i] = (latent[i] - f->latent_shift) * f->latent_scale;
	if (fine && all_finite(latent, n, "the encoded picture", e)) return latent;
	free(latent);
	return NULL;
}

/* The inpainting input at each latent position: the mask, and the latent of the picture with what is to be painted
 * grey. Without a picture all is to be painted. */
static bool encode_inpainting_input(session *s, job *j, float *image, const watcher *w, error *e)
{
	size_t channels = (size_t)j->channels;
	if (!grey_masked(image, j->o->init ? j->o->mask : NULL, j->width, j->height, e)) return false;
	float *latent = encode(s, j, image, false, w, e);
	if (latent && !(j->inpainting_input = malloc(j->positions * (1 + channels) * sizeof(float))))
		fail(e, NO_MEMORY, "out of memory for a latent");
	for (size_t i = 0; j->inpainting_input && i < j->positions; i++) {
		float *to = j->inpainting_input + i * (1 + channels);
		to[0] = j->mask ? j->mask[i] >= 0.5f : j->o->init ? 0 : 1;
		for (size_t c = 0; c < channels; c++) to[1 + c] = latent[i * channels + c];
	}
	free(latent);
	return j->inpainting_input != NULL;
}

/* Under the mask, noise or nothing in place of the picture. The noise is the seed's first, as in A1111. */
static bool fill_latent(job *j, error *e)
{
	size_t n = j->positions * (size_t)j->channels;
	if (j->fill != LATENT_NOISE_FILL && j->fill != LATENT_NOTHING_FILL) return true;
	float *both = calloc(2 * n, sizeof *both);
	if (!both) return fail(e, NO_MEMORY, "out of memory for a latent");
	noise source;
	noise_seed(&source, j->cuda, (uint64_t)j->seed);
	if (j->fill == LATENT_NOISE_FILL) noise_draw(&source, both + n, n);
	channels_last(both, both + n, j->channels, j->positions);
	for (size_t i = 0; i < n; i++)
		if (j->mask[i / (size_t)j->channels] > 0) j->original[i] = both[i];
	free(both);
	return true;
}

bool encodes(const job *j) { return (j->o->init && !j->latent_comes) || j->extra; }

bool encode_pictures(session *s, job *j, const watcher *w, error *e)
{
	const sumi_options *o = j->o;
	if (!encodes(j)) return true;
	float *image = watcher_progress(w, "encode", 0, 1, e) ? picture_of(o->init, j->width, j->height, e) : NULL;
	bool fine = image != NULL;
	if (fine && o->init && !j->latent_comes) fine = (j->original = encode(s, j, image, true, w, e)) != NULL;
	if (fine && o->mask)
		fine = (j->mask = mask_of(o->mask, o->mask_soft, j->latent_width, j->latent_height, e)) != NULL;
	if (fine && o->mask) fine = fill_latent(j, e);
	if (fine && j->extra) fine = encode_inpainting_input(s, j, image, w, e);
	free(image);
	return fine && watcher_progress(w, "encode", 1, 1, e);
}
