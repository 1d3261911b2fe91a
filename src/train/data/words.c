/* words.c - a frozen text encoder at work. */
#include "train/data/words.h"
#include <stdlib.h>
#include <string.h>

struct caption_encoder {
	graph *g;
	const text_config *config;
	const tokenizer *tokenizer;
	tensor ids, ends, out;
	int32_t *numbers, *places; /* of ids and ends, before a run */
	float *values;             /* of out, after it */
	size_t each;
	int count, tokens;
};

bool caption_ids(const text_config *c, const tokenizer *t, const new_word *word, const char *caption, int32_t *ids,
    int tokens, int32_t *end, error *e)
{
	int first = c->begin != NO_TOKEN, room = tokens - first - 1;
	size_t found;
	if (room < 1) return fail(e, BAD_USAGE, "%d tokens have no room for a caption", tokens);
	if (!new_words_encode(word, word != NULL, t, caption, strlen(caption), ids + first, (size_t)room, &found, e))
		return false;
	int n = found < (size_t)room ? (int)found : room;
	if (first) ids[0] = c->begin;
	ids[first + n] = c->end < 0 ? tokenizer_end(t) : c->end;
	for (int i = first + n + 1; i < tokens; i++) ids[i] = c->padding;
	*end = first + n;
	return true;
}

static void build(caption_encoder *w, const learner *m, int encoder)
{
	graph *g = w->g;
	nn n = { .g = g };
	w->ids = input(g, "ids", I32, shape2(w->count, w->tokens));
	w->ends = text_pooled_width(w->config) ? input(g, "ends", I32, shape1(w->count)) : 0;
	text_states s = family_encode_text(&n, &m->family, encoder, w->ids, w->ends, -1);
	w->out = reshape(g, s.states, shape2(w->count, -1));
	if (s.pooled) w->out = concat(g, w->out, s.pooled, 1);
	keep(g, w->out);
	w->each = (size_t)dim(g, w->out, 1);
}

caption_encoder *words_new(
    const learner *m, int encoder, const tokenizer *t, int count, int tokens, dtype compute, int threads, error *e)
{
	caption_encoder *w = calloc(1, sizeof *w);
	if (!w || !(w->g = graph_new(compute))) {
		free(w);
		return fail(e, NO_MEMORY, "no memory for the text encoder"), NULL;
	}
	w->config = &m->family.text[encoder];
	w->tokenizer = t;
	w->count = count;
	w->tokens = tokens;
	build(w, m, encoder);
	w->numbers = malloc((size_t)count * (size_t)tokens * sizeof *w->numbers);
	w->places = malloc((size_t)count * sizeof *w->places);
	w->values = malloc((size_t)count * w->each * sizeof *w->values + 1);
	bool room = (w->numbers && w->places && w->values) || fail(e, NO_MEMORY, "no memory for the text encoder");
	if (room && graph_bind(w->g, learner_bind, (void *)m, e) && graph_compile(w->g, learner_backend(m), threads, e) &&
	    graph_allocate(w->g, NULL, NULL, e))
		return w;
	words_free(w);
	return NULL;
}

void words_free(caption_encoder *w)
{
	if (!w) return;
	graph_free(w->g);
	free(w->numbers);
	free(w->places);
	free(w->values);
	free(w);
}

const float *words_run(caption_encoder *w, const char *const *captions, int n, error *e)
{
	for (int i = 0; i < w->count; i++) {
		int32_t *at = w->numbers + (size_t)i * (size_t)w->tokens;
		if (!caption_ids(w->config, w->tokenizer, NULL, i < n ? captions[i] : "", at, w->tokens, &w->places[i], e))
			return NULL;
		w->places[i] += i * w->tokens;
	}
	bool fine = graph_write(w->g, w->ids, w->numbers, e) && (!w->ends || graph_write(w->g, w->ends, w->places, e)) &&
	            graph_run(w->g, NULL, NULL, e) && graph_read_floats(w->g, w->out, w->values, e);
	return fine ? w->values : NULL;
}

size_t words_each(const caption_encoder *w) { return w->each; }
