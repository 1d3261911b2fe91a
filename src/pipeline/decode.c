/* decode.c - the last stage. */
#include "pipeline/decode.h"
#include "pipeline/tiles.h"
#include <stdlib.h>

/* What the networks of a decoding are built for. */
typedef struct decoder_shapes {
	decoding d;
	tiles rows, columns; /* units: places of the features between the two parts; of the latent, of a tiny decoder */
	int scale;           /* places of a unit's side in the picture */
	int channels;        /* of a unit */
	int reach;           /* of the network that is run in tiles, in units */
} decoder_shapes;

static decoder_shapes shapes_of(const model *m, const decoding *d)
{
	const vae_config *c = &m->family.autoencoder;
	int shallow = vae_shallow_levels(c), factor = vae_factor(c);
	decoder_shapes y = { .d = *d, .scale = factor, .channels = c->latent_channels, .reach = taesd_decode_reach() };
	if (!d->tiny) {
		y.scale = 1 << shallow;
		y.channels = c->multiplier[shallow] * c->channels;
		y.reach = vae_decode_reach(c);
	}
	int units = factor / y.scale; /* of a latent position's side */
	y.rows = tiles_of(d->height * units, d->tile / y.scale, y.reach);
	y.columns = tiles_of(d->width * units, d->tile / y.scale, y.reach);
	return y;
}

static void build(nn *n, const model *m, stage *s, const void *shapes)
{
	const decoding *d = &((const decoder_shapes *)shapes)->d;
	s->in[0] =
	    input(n->g, "latent", REAL, shape4(d->count, d->height, d->width, m->family.autoencoder.latent_channels));
	push(n->g, d->tiny ? "taesd" : "");
	s->out = d->tiny ? taesd_decode(n, &m->tiny, s->in[0]) : family_decode_latent(n, &m->family, s->in[0]);
	pop(n->g);
}

static void build_deep(nn *n, const model *m, stage *s, const void *shapes)
{
	const decoding *d = &((const decoder_shapes *)shapes)->d;
	s->in[0] = input(n->g, "latent", REAL, shape4(1, d->height, d->width, m->family.autoencoder.latent_channels));
	s->out = cast(n->g, family_decode_deep(n, &m->family, s->in[0]), REAL);
}

static void build_tile(nn *n, const model *m, stage *s, const void *shapes)
{
	const decoder_shapes *y = shapes;
	s->in[0] = input(n->g, "features", REAL, shape4(1, y->rows.tile, y->columns.tile, y->channels));
	tile_inputs(n, s, y->rows.tile, y->columns.tile);
	push(n->g, y->d.tiny ? "taesd" : "");
	s->out = y->d.tiny ? taesd_decode(n, &m->tiny, s->in[0]) : family_decode_shallow(n, &m->family, s->in[0]);
	pop(n->g);
}

static network_key key_of(const decoder_shapes *y, const adapter_set *a)
{
	const decoding *d = &y->d;
	return (network_key){ d->tiny ? TINY_NETWORK : DECODER_NETWORK, { d->count, d->width, d->height }, .adapters = a };
}

static network_key deep_key(const decoder_shapes *y, const adapter_set *a)
{
	return (network_key){ DECODER_DEEP_NETWORK, { y->d.width, y->d.height }, .adapters = a };
}

static network_key tile_key(const decoder_shapes *y, const adapter_set *a)
{
	return (network_key){ y->d.tiny ? TINY_TILE_NETWORK : DECODER_TILE_NETWORK, { y->rows.tile, y->columns.tile },
		.adapters = a };
}

decoding decoding_of(const job *j, int count)
{
	return (decoding){ count, j->latent_width, j->latent_height, j->m->given[TINY_AUTOENCODER] && !j->m->tiny_previews,
		j->tile };
}

uint64_t tile_features(const job *j)
{
	decoding d = decoding_of(j, 1);
	decoder_shapes y = shapes_of(j->m, &d);
	return (uint64_t)y.rows.length * (uint64_t)y.columns.length * (uint64_t)y.channels;
}

int smallest_tile(const job *j)
{
	decoding d = decoding_of(j, 1);
	decoder_shapes y = shapes_of(j->m, &d);
	return least_tile(y.reach) * y.scale;
}

static int decoding_networks(
    session *s, const decoding *d, const adapter_set *a, stage *list[AUTOENCODER_NETWORKS], error *e)
{
	decoder_shapes y = shapes_of(adapter_set_model(a), d);
	network_key whole = key_of(&y, a), deep = deep_key(&y, a), tile = tile_key(&y, a);
	int n = 0;
	if (!d->tile)
		list[n++] = session_network(s, &whole, build, &y, e);
	else {
		if (!d->tiny) list[n++] = session_network(s, &deep, build_deep, &y, e);
		list[n++] = failed(e) ? NULL : session_network(s, &tile, build_tile, &y, e);
	}
	return failed(e) ? 0 : n;
}

int decoder_networks(session *s, const job *j, int count, stage *list[AUTOENCODER_NETWORKS], error *e)
{
	decoding d = decoding_of(j, count);
	return decoding_networks(s, &d, j->adapters, list, e);
}

stage *decoding_network(session *s, const decoding *d, const adapter_set *a, error *e)
{
	stage *list[AUTOENCODER_NETWORKS];
	int n = decoding_networks(s, d, a, list, e);
	if (!n) return NULL;
	return stage_bytes(list[0]) > stage_bytes(list[n - 1]) ? list[0] : list[n - 1];
}

stage *decoder_network(session *s, const job *j, int count, error *e)
{
	decoding d = decoding_of(j, count);
	return decoding_network(s, &d, j->adapters, e);
}

/* ── in one piece ── */

static bool decode_whole(session *s, const decoder_shapes *y, const adapter_set *a, const float *scaled,
    float *pictures, const watcher *w, error *e)
{
	network_key key = key_of(y, a);
	stage *network = session_ready(s, &key, build, y, 0, w, e);
	bool fine = network && watcher_progress(w, "decode", 0, 1, e) && stage_write(network, network->in[0], scaled, e) &&
	            stage_run(network, e) && stage_read(network, pictures, e);
	if (network) session_done(s, network);
	return fine && watcher_progress(w, "decode", 1, 1, e);
}

/* ── in tiles ── */

/* What the tiles of one picture are cut from; to be freed. NULL: failed. */
static float *decode_deep(
    session *s, const decoder_shapes *y, const adapter_set *a, const float *latent, const watcher *w, error *e)
{
	network_key key = deep_key(y, a);
	stage *network = session_ready(s, &key, build_deep, y, 0, w, e);
	float *features = network ? malloc(stage_count(network, network->out) * sizeof *features) : NULL;
	if (network && !features) fail(e, NO_MEMORY, "out of memory for the features of tiles");
	bool fine = features && stage_write(network, network->in[0], latent, e) && stage_run(network, e) &&
	            stage_read(network, features, e);
	if (network) session_done(s, network);
	if (fine) return features;
	free(features);
	return NULL;
}

static bool decode_tiles(session *s, const decoder_shapes *y, const adapter_set *a, const float *latent, float *picture,
    const watcher *w, error *e)
{
	network_key key = tile_key(y, a);
	float *features = y->d.tiny ? NULL : decode_deep(s, y, a, latent, w, e);
	stage *network = failed(e) ? NULL : session_ready(s, &key, build_tile, y, 0, w, e);
	tiled_network t = { network, y->rows, y->columns, 1, y->scale, y->channels, 3 };
	bool fine = network && run_tiles(&t, features ? features : latent, picture, "decode", w, e);
	if (network) session_done(s, network);
	free(features);
	return fine;
}

/* A tiny autoencoder reads the sampler's latents and gives 0 … 1; the model's own has a scale of its own. */
bool decode_with(session *s, const decoding *d, const adapter_set *a, const float *latents, float *pictures,
    const watcher *w, error *e)
{
	const model *m = adapter_set_model(a);
	const family *f = &m->family;
	decoder_shapes y = shapes_of(m, d);
	size_t one = (size_t)d->width * (size_t)d->height * (size_t)f->autoencoder.latent_channels;
	size_t n = (size_t)d->count * one, factor = (size_t)vae_factor(&f->autoencoder);
	size_t pixels = (size_t)d->width * (size_t)d->height * factor * factor * 3;
	float *scaled = malloc(n * sizeof *scaled);
	if (!scaled) return fail(e, NO_MEMORY, "out of memory for latents");
	for (size_t i = 0; i < n; i++) scaled[i] = d->tiny ? latents[i] : latents[i] / f->latent_scale + f->latent_shift;
	bool fine = d->tile || decode_whole(s, &y, a, scaled, pictures, w, e);
	for (int k = 0; fine && d->tile && k < d->count; k++)
		fine = decode_tiles(s, &y, a, scaled + (size_t)k * one, pictures + (size_t)k * pixels, w, e);
	for (size_t i = 0; fine && d->tiny && i < (size_t)d->count * pixels; i++) pictures[i] = 2 * pictures[i] - 1;
	free(scaled);
	return fine;
}
