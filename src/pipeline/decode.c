/* decode.c - the last stage. */
#include "pipeline/decode.h"
#include <stdlib.h>

static void build(nn *n, const model *m, stage *s, const void *shapes)
{
	const decoding *d = shapes;
	s->in[0] =
	    input(n->g, "latent", REAL, shape4(d->count, d->height, d->width, m->family.autoencoder.latent_channels));
	push(n->g, d->tiny ? "taesd" : "");
	s->out = d->tiny ? taesd_decode(n, &m->tiny, s->in[0]) : family_decode_latent(n, &m->family, s->in[0]);
	pop(n->g);
}

static network_key key_of(const decoding *d, const adapter_set *a)
{
	return (network_key){ d->tiny ? TINY_NETWORK : DECODER_NETWORK, { d->count, d->width, d->height }, .adapters = a };
}

decoding decoding_of(const job *j, int count)
{
	return (
	    decoding){ count, j->latent_width, j->latent_height, j->m->given[TINY_AUTOENCODER] && !j->m->tiny_previews };
}

stage *decoding_network(session *s, const decoding *d, const adapter_set *a, error *e)
{
	network_key key = key_of(d, a);
	return session_network(s, &key, build, d, e);
}

stage *decoder_network(session *s, const job *j, int count, error *e)
{
	decoding d = decoding_of(j, count);
	return decoding_network(s, &d, j->adapters, e);
}

/* A tiny autoencoder reads the sampler's latents and gives 0 … 1; the model's own has a scale of its own. */
bool decode_with(session *s, const decoding *d, const adapter_set *a, const float *latents, float *pictures,
    const watcher *w, error *e)
{
	const family *f = &adapter_set_model(a)->family;
	size_t n = (size_t)d->count * (size_t)d->width * (size_t)d->height * (size_t)f->autoencoder.latent_channels;
	network_key key = key_of(d, a);
	float *scaled = malloc(n * sizeof *scaled);
	if (!scaled) return fail(e, NO_MEMORY, "out of memory for latents");
	for (size_t i = 0; i < n; i++) scaled[i] = d->tiny ? latents[i] : latents[i] / f->latent_scale + f->latent_shift;
	stage *network = session_ready(s, &key, build, d, 0, w, e);
	bool fine = network && watcher_progress(w, "decode", 0, 1, e) && stage_write(network, network->in[0], scaled, e) &&
	            stage_run(network, e) && stage_read(network, pictures, e);
	size_t values = fine ? stage_count(network, network->out) : 0;
	for (size_t i = 0; d->tiny && i < values; i++) pictures[i] = 2 * pictures[i] - 1;
	if (network) session_done(s, network);
	free(scaled);
	return fine && watcher_progress(w, "decode", 1, 1, e);
}
