/* words.c - the frozen text encoder at work. */
#include "train/data/words.h"
#include <stdlib.h>
#include <string.h>

struct words {
	graph *g;
	const tokenizer *tokenizer;
	tensor ids, states;
	int32_t *numbers; /* of ids, before a run */
	float *values;    /* of states, after it */
	int count, tokens, width;
};

words *words_new(const learner *m, const tokenizer *t, int count, dtype compute, int threads, error *e)
{
	words *w = calloc(1, sizeof *w);
	if (!w || !(w->g = graph_new(compute))) {
		free(w);
		return fail(e, NO_MEMORY, "no memory for the text encoder"), NULL;
	}
	graph *g = w->g;
	nn n = { .g = g };
	w->tokenizer = t;
	w->count = count;
	w->tokens = m->family.text[0].length;
	w->width = family_context_width(&m->family);
	w->ids = input(g, "ids", I32, shape2(count, w->tokens));
	w->states = family_encode_text(&n, &m->family, 0, w->ids, 0, -1).states;
	keep(g, w->states);
	w->numbers = malloc((size_t)count * (size_t)w->tokens * sizeof *w->numbers);
	w->values = malloc(shape_count(shape_of(g, w->states)) * sizeof *w->values);
	bool room = (w->numbers && w->values) || fail(e, NO_MEMORY, "no memory for the text encoder");
	if (room && graph_bind(g, learner_bind, (void *)m, e) && graph_compile(g, learner_backend(m), threads, e) &&
	    graph_allocate(g, NULL, NULL, e))
		return w;
	words_free(w);
	return NULL;
}

void words_free(words *w)
{
	if (!w) return;
	graph_free(w->g);
	free(w->numbers);
	free(w->values);
	free(w);
}

const float *words_run(words *w, const char *const *captions, int n, error *e)
{
	for (int i = 0; i < w->count; i++) {
		const char *text = i < n ? captions[i] : "";
		int32_t *at = w->numbers + (size_t)i * (size_t)w->tokens;
		if (!tokenizer_encode_padded(w->tokenizer, text, strlen(text), at, (size_t)w->tokens, NULL, e)) return NULL;
	}
	bool fine = graph_write(w->g, w->ids, w->numbers, e) && graph_run(w->g, NULL, NULL, e) &&
	            graph_read_floats(w->g, w->states, w->values, e);
	return fine ? w->values : NULL;
}

int words_tokens(const words *w) { return w->tokens; }
int words_width(const words *w) { return w->width; }
