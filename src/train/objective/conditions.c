/* conditions.c - contexts and vectors of a training step, as pipeline/conditioning.c makes them for a picture. */
#include "train/objective/conditions.h"
#include "pipeline/conditioning.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void conditions_free(conditions *c)
{
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		tokenizer_close(c->texts.tokenizers[k]);
		words_free(c->at_work[k]);
	}
	*c = (conditions){ 0 };
}

static const char *name_of(char name[32], const char *what, int encoder)
{
	snprintf(name, 32, "%s.%d", what, encoder);
	return name;
}

/* ── the graph ── */

/* The states of encoder k; none where it is not there. */
static text_states states_of(const conditions *c, const family *f, nn *n, int count, int k)
{
	graph *g = n->g;
	const text_config *t = &f->text[k];
	int tokens = c->texts.tokens[k], pooled = text_pooled_width(t);
	char name[32];
	text_states s = { 0 };
	if (!tokens) return s;
	if (!c->texts.trained[k]) {
		s.states = input(g, name_of(name, "states", k), REAL, shape3(count, tokens, text_width(t)));
		if (pooled) s.pooled = input(g, name_of(name, "pooled", k), REAL, shape2(count, pooled));
		return s;
	}
	shape ids = shape2(count, tokens);
	n->new_words = c->word.count;
	if (n->new_words) n->new_word_ids = input(g, name_of(name, "new_words", k), I32, ids);
	tensor ends = pooled ? input(g, name_of(name, "ends", k), I32, shape1(count)) : 0;
	s = family_encode_text(n, f, k, input(g, name_of(name, "ids", k), I32, ids), ends, -1);
	n->new_words = 0;
	return s;
}

/* a, or b behind it; an encoder that is not there leaves its part to zeros. */
static tensor join(graph *g, tensor a, tensor b, shape missing, int axis)
{
	if (!b) b = fill(g, REAL, missing, 0);
	return a ? concat(g, a, b, axis) : b;
}

static void stack(const conditions *c, const family *f, graph *g, int count, const text_states *s, denoiser_inputs *in)
{
	int width = family_context_width(f), length = f->text[0].length;
	tensor chunks = 0, vector = 0, piece = 0;
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		const text_config *t = &f->text[k];
		int tokens = c->texts.tokens[k] ? c->texts.tokens[k] : t->length;
		if (text_in_one_piece(t)) {
			piece = join(g, 0, s[k].states, shape3(count, tokens, width), 1);
			continue;
		}
		chunks = join(g, chunks, s[k].states, shape3(count, length, text_width(t)), 2);
		vector = join(g, vector, s[k].pooled, shape2(count, text_pooled_width(t)), 1);
	}
	in->context = pad(g, chunks, 2, 0, width);
	if (piece) in->context = concat(g, in->context, piece, 1);
	in->vector = vector;
}

static void place_side_by_side(graph *g, const text_states *s, denoiser_inputs *in)
{
	for (int k = 0; k < TEXT_ENCODERS && s[k].states; k++) {
		in->context = in->context ? concat(g, in->context, s[k].states, 2) : s[k].states;
		in->vector = s[k].pooled;
	}
}

static void drop(graph *g, int count, denoiser_inputs *in)
{
	tensor kept = input(g, "kept", REAL, shape3(count, 1, 1));
	in->context = mul(g, in->context, kept);
	if (in->vector) in->vector = mul(g, in->vector, reshape(g, kept, shape2(count, 1)));
}

void conditions_build(const conditions *c, const family *f, nn *n, int count, denoiser_inputs *in)
{
	graph *g = n->g;
	text_states s[TEXT_ENCODERS];
	if (!denoiser_sizes_of(&f->denoiser).context) return;
	for (int k = 0; k < TEXT_ENCODERS; k++) s[k] = states_of(c, f, n, count, k);
	switch (f->conditioning) {
	case ONE_CONTEXT: in->context = s[0].states; break;
	case SIDE_BY_SIDE: place_side_by_side(g, s, in); break;
	case STACKED: stack(c, f, g, count, s, in); break;
	}
	if (c->zeros) drop(g, count, in);
	int waves = family_size_numbers(f) * SIZE_SINUSOIDS;
	if (waves) in->vector = concat(g, in->vector, input(g, "sizes", REAL, shape2(count, waves)), 1);
}

/* ── the inputs ── */

/* Writes an input, if the graph has it, of floats or whole numbers, and frees the values. NULL in place of them: there
 * was no memory. */
static bool give(graph *g, const char *what, int encoder, void *values, error *e)
{
	char name[32];
	tensor t = find(g, encoder < 0 ? what : name_of(name, what, encoder));
	bool fine = values || fail(e, NO_MEMORY, "no memory for a batch");
	if (fine && t)
		fine = dtype_is_float(dtype_of(g, t)) ? graph_write_floats(g, t, values, e) : graph_write(g, t, values, e);
	free(values);
	return fine;
}

static bool fill_ids(
    const conditions *c, const family *f, graph *g, int k, const data_batch *b, const bool *dropped, error *e)
{
	size_t tokens = (size_t)c->texts.tokens[k], all = (size_t)b->count * tokens;
	int32_t *ids = malloc(all * sizeof *ids), *rows = malloc(all * sizeof *rows),
	        *ends = malloc((size_t)b->count * sizeof *ends);
	bool fine = ids && rows && ends;
	if (!fine) fail(e, NO_MEMORY, "no memory for a batch");
	for (int i = 0; fine && i < b->count; i++) {
		fine = caption_ids(&f->text[k], c->texts.tokenizers[k], c->word.count ? &c->word : NULL,
		    dropped[i] ? "" : b->captions[i], ids + (size_t)i * tokens, (int)tokens, &ends[i], e);
		ends[i] += i * (int)tokens;
	}
	if (fine) new_words_split(c->texts.tokenizers[k], ids, rows, all);
	if (!fine) {
		free(ids);
		free(rows);
		free(ends);
		return false;
	}
	bool a = give(g, "ids", k, ids, e), y = give(g, "new_words", k, rows, e), z = give(g, "ends", k, ends, e);
	return a && y && z;
}

/* Makes ready the encoders at work for batches of `count`. */
static bool open_words(conditions *c, const learner *m, int count, error *e)
{
	for (int k = 0; k < TEXT_ENCODERS; k++) {
		if (!c->texts.tokens[k] || c->texts.trained[k] || c->cached[k]) continue;
		if (c->batch != count) {
			words_free(c->at_work[k]);
			c->at_work[k] = NULL;
		}
		if (!c->at_work[k] && !(c->at_work[k] = words_new(m, k, c->texts.tokenizers[k], count, c->texts.tokens[k],
		                            c->compute, c->threads, e)))
			return false;
	}
	c->batch = count;
	return true;
}

/* Each sample's states and what is pooled, one after the other; the caller frees. NULL: failed. */
static float *states_for(conditions *c, const learner *m, int k, const data_batch *b, const bool *dropped,
    const cache *from, size_t each, error *e)
{
	float *values = malloc((size_t)b->count * each * sizeof *values);
	const char **captions = malloc((size_t)b->count * sizeof *captions);
	bool fine = (values && captions) || fail(e, NO_MEMORY, "no memory for a batch");
	for (int i = 0; fine && i < b->count; i++) {
		captions[i] = dropped[i] ? "" : b->captions[i];
		if (c->cached[k]) cache_words(from, k, dropped[i] ? -1 : b->picture[i], values + (size_t)i * each);
	}
	if (fine && !c->cached[k]) {
		fine = open_words(c, m, b->count, e);
		const float *states = fine ? words_run(c->at_work[k], captions, b->count, e) : NULL;
		if ((fine = states != NULL)) memcpy(values, states, (size_t)b->count * each * sizeof *values);
	}
	free(captions);
	if (fine) return values;
	free(values);
	return NULL;
}

static bool fill_states(conditions *c, const learner *m, graph *g, int k, const data_batch *b, const bool *dropped,
    const cache *from, error *e)
{
	const text_config *t = &m->family.text[k];
	size_t count = (size_t)b->count, states = (size_t)c->texts.tokens[k] * (size_t)text_width(t),
	       pooled = (size_t)text_pooled_width(t), each = states + pooled;
	float *values = states_for(c, m, k, b, dropped, from, each, e);
	if (!values) return false;
	float *one = malloc(count * states * sizeof *one), *two = malloc(count * pooled * sizeof *two + 1);
	for (size_t i = 0; one && two && i < count; i++) {
		memcpy(one + i * states, values + i * each, states * sizeof *one);
		memcpy(two + i * pooled, values + i * each + states, pooled * sizeof *two);
	}
	free(values);
	bool a = give(g, "states", k, one, e), y = give(g, "pooled", k, two, e);
	return a && y;
}

/* SDXL's sizes: of the picture in its file, where it was cropped, and what it was cropped to (the refiner: an aesthetic
 * score, which is that of generate). */
static bool fill_sizes(const family *f, graph *g, const data_batch *b, error *e)
{
	enum { SCORE = 6 };
	int numbers = family_size_numbers(f);
	size_t each = (size_t)numbers * SIZE_SINUSOIDS;
	float *waves = malloc((size_t)b->count * each * sizeof *waves + 1);
	for (int i = 0; waves && i < b->count; i++) {
		const picture_frame *p = &b->frames[i];
		double sizes[MOST_SIZE_NUMBERS] = { p->height, p->width, p->top, p->left, numbers == 5 ? SCORE : b->height,
			b->width };
		size_waves(sizes, numbers, waves + (size_t)i * each);
	}
	return give(g, "sizes", -1, waves, e);
}

static bool fill_kept(graph *g, int count, const bool *dropped, error *e)
{
	float *kept = malloc((size_t)count * sizeof *kept);
	for (int i = 0; kept && i < count; i++) kept[i] = !dropped[i];
	return give(g, "kept", -1, kept, e);
}

bool conditions_fill(
    conditions *c, const learner *m, graph *g, const data_batch *b, const bool *dropped, const cache *from, error *e)
{
	const family *f = &m->family;
	bool fine = true;
	if (!denoiser_sizes_of(&f->denoiser).context) return true;
	for (int k = 0; fine && k < TEXT_ENCODERS; k++) {
		if (!c->texts.tokens[k]) continue;
		fine = c->texts.trained[k] ? fill_ids(c, f, g, k, b, dropped, e) : fill_states(c, m, g, k, b, dropped, from, e);
	}
	if (c->zeros) fine = fine && fill_kept(g, b->count, dropped, e);
	return fine && (!family_size_numbers(f) || fill_sizes(f, g, b, e));
}
