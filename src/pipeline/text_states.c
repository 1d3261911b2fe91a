/* text_states.c - one encoder at a time: the chunks that are not known yet go through its network alone or in pairs. */
#include "pipeline/text_states.h"
#include "pipeline/finite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_AT_ONCE = 2 };

typedef struct shapes {
	int batch, length, skip, encoder;
	bool new_words;
} shapes;

static void build(nn *n, const model *m, stage *s, const void *context)
{
	const shapes *y = context;
	const text_config *t = &m->family.text[y->encoder];
	graph *g = n->g;
	shape ids = shape2(y->batch, y->length);
	s->in[0] = input(g, "ids", I32, ids);
	n->new_words = y->new_words ? m->words.row_count : 0;
	if (n->new_words) n->new_word_ids = s->in[1] = input(g, "new_words", I32, ids);
	if (text_pooled_width(t)) s->in[2] = input(g, "ends", I32, shape1(y->batch));
	text_states states = family_encode_text(n, &m->family, y->encoder, s->in[0], s->in[2], y->skip);
	s->out =
	    states.pooled ? concat(g, reshape(g, states.states, shape2(y->batch, -1)), states.pooled, 1) : states.states;
}

size_t text_states_count(const family *f, int encoder, int length)
{
	const text_config *t = &f->text[encoder];
	return (size_t)length * (size_t)text_width(t) + (size_t)text_pooled_width(t);
}

/* The encoding of some texts by one encoder, in chunks. */
typedef struct encoding {
	session *session;
	const adapter_set *adapters;
	shapes shapes;
	size_t one;  /* floats of a chunk */
	int count;   /* chunks */
	int missing; /* of which the session has no states */
} encoding;

static network_key key_of(const encoding *y)
{
	const shapes *h = &y->shapes;
	return (network_key){ TEXT_NETWORK, { h->batch, h->length, h->skip, h->new_words, h->encoder },
		.adapters = y->adapters };
}

static const float *known_states(const encoding *y, const int32_t *ids)
{
	const shapes *h = &y->shapes;
	return session_states(y->session, ids, h->length, h->encoder, h->skip, y->adapters);
}

/* A chunk is encoded alone or in a pair. In a session alone: the next picture has one new prompt, whose encoding would
 * cost twice as much in a pair. */
static encoding encoding_of(
    session *s, const prompt_text *texts, int count, int encoder, const adapter_set *a, int skip)
{
	encoding y = { .session = s, .adapters = a, .shapes = { .skip = skip, .encoder = encoder } };
	const model *m = adapter_set_model(a);
	const tokenizer *t = m->tokenizers[encoder];
	for (int i = 0; i < count; i++) {
		const reading *r = &texts[i].of[encoder];
		if (r->ids) y.shapes.length = r->length;
		for (int k = 0; r->ids && k < r->chunks; k++) {
			const int32_t *ids = r->ids + (size_t)k * (size_t)r->length;
			y.count++;
			if (known_states(&y, ids)) continue;
			y.missing++;
			for (int n = 0; n < r->length; n++) y.shapes.new_words |= ids[n] >= tokenizer_size(t);
		}
	}
	y.one = text_states_count(&m->family, encoder, y.shapes.length);
	y.shapes.batch = !session_keeps(s) && y.missing >= MOST_AT_ONCE ? MOST_AT_ONCE : 1;
	return y;
}

stage *text_network(
    session *s, const prompt_text *texts, int count, int encoder, const adapter_set *a, int skip, error *e)
{
	if (!adapter_set_model(a)->tokenizers[encoder]) return NULL;
	encoding y = encoding_of(s, texts, count, encoder, a, skip);
	network_key key = key_of(&y);
	return y.missing ? session_network(s, &key, build, &y.shapes, e) : NULL;
}

/* i·T + the place of the first end token behind the begin, where CLIP pools. */
static bool write_ends(const encoding *y, const stage *network, const int32_t *batch, error *e)
{
	const model *m = adapter_set_model(y->adapters);
	const text_config *t = &m->family.text[y->shapes.encoder];
	int32_t end = t->end < 0 ? tokenizer_end(m->tokenizers[y->shapes.encoder]) : t->end, positions[MOST_AT_ONCE];
	for (int i = 0; i < y->shapes.batch; i++) {
		int place = 1, length = y->shapes.length;
		while (place < length - 1 && batch[i * length + place] != end) place++;
		positions[i] = i * length + place;
	}
	return stage_write_ids(network, network->in[2], positions, e);
}

/* Runs up to a batch of chunks: states[i] for ids[i]. Where there are fewer, the last is repeated. */
static bool run_encoder(
    const encoding *y, stage *network, const int32_t *const *ids, float *const *states, int n, error *e)
{
	const shapes *h = &y->shapes;
	size_t length = (size_t)h->length, all = (size_t)h->batch * length;
	int32_t *batch = calloc(2 * all, sizeof *batch);
	float *out = malloc((size_t)h->batch * y->one * sizeof *out);
	bool fine = (batch && out) || fail(e, NO_MEMORY, "out of memory for %d chunks of text", n);
	for (int i = 0; fine && i < h->batch; i++)
		memcpy(batch + (size_t)i * length, ids[i < n ? i : n - 1], length * sizeof *batch);
	if (fine && network->in[2]) fine = write_ends(y, network, batch, e);
	if (fine && h->new_words) {
		new_words_split(adapter_set_model(y->adapters)->tokenizers[h->encoder], batch, batch + all, all);
		fine = stage_write_ids(network, network->in[1], batch + all, e);
	}
	fine = fine && stage_write_ids(network, network->in[0], batch, e) && stage_run(network, e) &&
	       stage_read(network, out, e) && all_finite(out, (size_t)n * y->one, "the text encoder's states", e);
	for (int i = 0; fine && i < n; i++) {
		memcpy(states[i], out + (size_t)i * y->one, y->one * sizeof *out);
		session_keep_states(y->session, ids[i], h->length, h->encoder, h->skip, y->adapters, states[i], y->one);
	}
	free(batch);
	free(out);
	return fine;
}

/* States of all chunks: what the session has, and the rest from the encoder. */
static bool encode_all(const encoding *y, float *states, const int32_t *const *ids, const watcher *w, error *e)
{
	network_key key = key_of(y);
	stage *network = NULL;
	if (y->missing && !(network = session_ready(y->session, &key, build, &y->shapes, 0, w, e))) return false;
	const int32_t *some[MOST_AT_ONCE];
	float *to[MOST_AT_ONCE];
	int waiting = 0;
	bool fine = watcher_progress(w, "encode", 0, 1, e);
	for (int i = 0; fine && i < y->count; i++) {
		const float *known = known_states(y, ids[i]);
		if (known) {
			memcpy(states + (size_t)i * y->one, known, y->one * sizeof *states);
			continue;
		}
		some[waiting] = ids[i];
		to[waiting++] = states + (size_t)i * y->one;
		if (waiting < y->shapes.batch) continue;
		fine = run_encoder(y, network, some, to, waiting, e);
		waiting = 0;
	}
	if (fine && waiting) fine = run_encoder(y, network, some, to, waiting, e);
	if (network) session_done(y->session, network);
	return fine && watcher_progress(w, "encode", 1, 1, e);
}

/* Words are stressed by their states, and the mean of the chunk is restored as A1111 does it. What is pooled stays. */
static void emphasise(float *states, const float *emphasis, int length, int width)
{
	double before = 0, after = 0;
	for (int i = 0; i < length; i++)
		for (int k = 0; k < width; k++) {
			float *x = &states[(size_t)i * (size_t)width + (size_t)k];
			before += (double)*x;
			*x *= emphasis[i];
			after += (double)*x;
		}
	float factor = (float)(before / after);
	if (!isfinite(factor)) return;
	for (size_t i = 0; i < (size_t)length * (size_t)width; i++) states[i] *= factor;
}

float *encode_texts(session *s, const prompt_text *texts, int count, int encoder, const adapter_set *a, int skip,
    const watcher *w, error *e)
{
	encoding y = encoding_of(s, texts, count, encoder, a, skip);
	int width = text_width(&adapter_set_model(a)->family.text[encoder]), at = 0;
	const int32_t **ids = malloc(((size_t)y.count + 1) * sizeof *ids);
	float *states = malloc(((size_t)y.count * y.one + 1) * sizeof *states);
	bool fine = (ids && states) || fail(e, NO_MEMORY, "out of memory for %d chunks of text", y.count);
	for (int i = 0; fine && i < count; i++) {
		const reading *r = &texts[i].of[encoder];
		for (int k = 0; r->ids && k < r->chunks; k++) ids[at++] = r->ids + k * r->length;
	}
	fine = fine && encode_all(&y, states, ids, w, e);
	at = 0;
	for (int i = 0; fine && i < count; i++) {
		const reading *r = &texts[i].of[encoder];
		for (int k = 0; r->ids && k < r->chunks; k++, at++)
			if (r->emphasis) emphasise(states + (size_t)at * y.one, r->emphasis + k * r->length, r->length, width);
	}
	free(ids);
	if (fine) return states;
	free(states);
	return NULL;
}
