/* conditioning.c - reads prompts, encodes their chunks, and brings all contexts to one length. */
#include "pipeline/conditioning.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CHUNKS = 16, MOST_REPEATED = 48, MOST_AT_ONCE = 8 };

/* ── reading ── */

/* Chunks of `count` tokens, each between a begin and an end; what is left of the last is padding. */
static bool fill_chunks(chunked *y, const model *m, int length, const int32_t *tokens, size_t count, error *e)
{
	const text_config *t = &m->family.text;
	int inner = length - 2, end = t->end < 0 ? tokenizer_end(m->tokenizer) : t->end;
	y->chunks = count ? (int)((count + (size_t)inner - 1) / (size_t)inner) : 1;
	y->ids = malloc((size_t)y->chunks * (size_t)length * sizeof *y->ids);
	if (!y->ids) return fail(e, NO_MEMORY, "out of memory for the prompt");
	for (int k = 0; k < y->chunks; k++) {
		int32_t *ids = y->ids + k * length;
		int here = (int)count - k * inner;
		if (here > inner) here = inner;
		ids[0] = t->begin;
		if (here) memcpy(ids + 1, tokens + k * inner, (size_t)here * sizeof *ids);
		ids[here + 1] = end;
		for (int i = here + 2; i < length; i++) ids[i] = t->padding;
	}
	return true;
}

static bool read_text(conditioning *c, const model *m, const char *text, int *index, error *e)
{
	for (*index = 0; *index < c->text_count; ++*index)
		if (!strcmp(c->texts[*index].text, text)) return true;
	size_t most = (size_t)(c->length - 2) * MOST_CHUNKS, count = 0;
	chunked *more = realloc(c->texts, ((size_t)c->text_count + 1) * sizeof *more);
	int32_t *tokens = malloc(most * sizeof *tokens);
	bool fine = (more && tokens) || fail(e, NO_MEMORY, "out of memory for the prompt");
	if (more) {
		c->texts = more;
		more[c->text_count++] = (chunked){ .text = strdup(text) };
	}
	fine = fine && tokenizer_encode(m->tokenizer, text, strlen(text), tokens, most, &count, e);
	if (fine && count > most)
		model_note(m, SUMI_WARNING, "the prompt has %zu tokens; the first %zu are read", count, most);
	fine = fine && fill_chunks(&c->texts[c->text_count - 1], m, c->length, tokens, count < most ? count : most, e);
	free(tokens);
	return fine;
}

static int common_multiple(int a, int b)
{
	int x = a, y = b;
	while (y) {
		int rest = x % y;
		x = y;
		y = rest;
	}
	return a / x * b;
}

/* The length to which all contexts can be repeated. */
static int common_chunks(const conditioning *c)
{
	int most = 1, all = 1;
	for (int i = 0; i < c->text_count; i++) {
		int n = c->texts[i].chunks;
		if (n > most) most = n;
		if (all <= MOST_REPEATED) all = common_multiple(all, n);
	}
	return all <= MOST_REPEATED ? all : most;
}

bool conditioning_read(
    conditioning *c, const model *m, const char *prompt, const char *negative, bool guided, int steps, error *e)
{
	c->steps = steps;
	c->branches = 1 + guided;
	c->unconditional = guided;
	for (int b = 0; b < c->branches; b++) c->weights[b] = 1;
	c->chosen = calloc((size_t)steps * (size_t)c->branches, sizeof *c->chosen);
	if (!c->chosen) return fail(e, NO_MEMORY, "out of memory for %d steps", steps);
	if (!m->tokenizer || !m->family.unet.context) return true;
	c->length = m->family.text.length;
	c->width = family_context_width(&m->family);
	int index[2] = { 0 };
	if (guided && !read_text(c, m, negative, &index[0], e)) return false;
	if (!read_text(c, m, prompt, &index[guided], e)) return false;
	for (int s = 0; s < steps; s++)
		for (int b = 0; b < c->branches; b++) c->chosen[s * c->branches + b] = index[b];
	c->tokens = c->length * common_chunks(c);
	return true;
}

/* ── encoding ── */

typedef struct shapes {
	const conditioning *c;
	int skip;
} shapes;

static void build(nn *n, const model *m, stage *s, const void *context)
{
	const shapes *y = context;
	s->in[0] = input(n->g, "ids", I32, shape2(y->c->batch, y->c->length));
	s->out = family_encode_text(n, &m->family, s->in[0], y->skip);
}

bool conditioning_compile(conditioning *c, const model *m, int skip, error *e)
{
	c->stage.name = "encode";
	if (!c->text_count) return true;
	int all = 0;
	for (int i = 0; i < c->text_count; i++) all += c->texts[i].chunks;
	c->batch = all < MOST_AT_ONCE ? all : MOST_AT_ONCE;
	return stage_compile(&c->stage, m, build, &(shapes){ c, skip }, e);
}

/* Words are stressed by their states, and the mean of the chunk is restored as A1111 does it. */
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

/* Runs the chunks of all texts through the encoder, a batch at a time: states [chunks][length][width]. */
static bool encode_all(conditioning *c, float *states, int chunks, const int32_t **ids, error *e)
{
	size_t one = (size_t)c->length * (size_t)c->width;
	int32_t *batch = calloc((size_t)c->batch * (size_t)c->length, sizeof *batch);
	float *out = malloc((size_t)c->batch * one * sizeof *out);
	bool fine = (batch && out) || fail(e, NO_MEMORY, "out of memory for %d chunks of text", chunks);
	for (int first = 0; fine && first < chunks; first += c->batch) {
		int n = chunks - first < c->batch ? chunks - first : c->batch;
		for (int i = 0; i < n; i++) memcpy(batch + i * c->length, ids[first + i], (size_t)c->length * sizeof *batch);
		stage_write_ids(&c->stage, c->stage.in[0], batch);
		fine = stage_run(&c->stage, e);
		if (fine) stage_read(&c->stage, out);
		if (fine) memcpy(states + (size_t)first * one, out, (size_t)n * one * sizeof *out);
	}
	free(batch);
	free(out);
	return fine;
}

/* Attention to a context and to that context said twice is the same: so all are repeated to one length. Where that
 * would be too long, the last repetition is cut. */
static void spread_contexts(conditioning *c, const float *states)
{
	size_t row = (size_t)c->width, chunk = row * (size_t)c->length;
	for (int i = 0; i < c->text_count; i++) {
		const chunked *t = &c->texts[i];
		float *context = c->contexts + (size_t)i * (size_t)c->tokens * row;
		for (int k = 0; k < c->tokens / c->length; k++)
			memcpy(context + (size_t)k * chunk, states + (size_t)(k % t->chunks) * chunk, chunk * sizeof *states);
		states += (size_t)t->chunks * chunk;
	}
}

static bool encode_texts(conditioning *c, float *states, const int32_t **ids, int chunks, error *e)
{
	int at = 0;
	for (int i = 0; i < c->text_count; i++)
		for (int k = 0; k < c->texts[i].chunks; k++) ids[at++] = c->texts[i].ids + k * c->length;
	if (!encode_all(c, states, chunks, ids, e)) return false;
	at = 0;
	for (int i = 0; i < c->text_count; i++)
		for (int k = 0; k < c->texts[i].chunks; k++, at++)
			if (c->texts[i].emphasis)
				emphasise(states + (size_t)at * (size_t)c->length * (size_t)c->width,
				    c->texts[i].emphasis + k * c->length, c->length, c->width);
	spread_contexts(c, states);
	return true;
}

bool conditioning_encode(conditioning *c, const model *m, error *e)
{
	if (!c->text_count) return true;
	int chunks = 0;
	for (int i = 0; i < c->text_count; i++) chunks += c->texts[i].chunks;
	size_t one = (size_t)c->length * (size_t)c->width;
	const int32_t **ids = malloc((size_t)chunks * sizeof *ids);
	float *states = malloc((size_t)chunks * one * sizeof *states);
	c->contexts = malloc((size_t)c->text_count * (size_t)c->tokens * (size_t)c->width * sizeof *c->contexts);
	bool fine = (ids && states && c->contexts) || fail(e, NO_MEMORY, "out of memory for %d chunks of text", chunks);
	fine = fine && stage_allocate(&c->stage, m, e) && model_progress(m, "encode", 0, 1, e) &&
	       encode_texts(c, states, ids, chunks, e) && model_progress(m, "encode", 1, 1, e);
	stage_free(&c->stage);
	free(ids);
	free(states);
	return fine;
}

const float *conditioning_context(const conditioning *c, int step, int branch)
{
	if (step >= c->steps) step = c->steps - 1;
	int text = c->chosen[step * c->branches + branch];
	return c->contexts + (size_t)text * (size_t)c->tokens * (size_t)c->width;
}

void conditioning_free(conditioning *c)
{
	stage_free(&c->stage);
	for (int i = 0; i < c->text_count; i++) {
		free(c->texts[i].text);
		free(c->texts[i].ids);
		free(c->texts[i].emphasis);
	}
	free(c->texts);
	free(c->chosen);
	free(c->contexts);
	*c = (conditioning){ 0 };
}
