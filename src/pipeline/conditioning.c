/* conditioning.c - reads prompts, encodes their chunks, and brings all contexts to one length. */
#include "pipeline/conditioning.h"
#include "text/prompt.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CHUNKS = 16, MOST_REPEATED = 48, MOST_AT_ONCE = 8 };

/* ── reading ── */

/* A text's tokens, with the stress of each, and where chunks must begin. */
typedef struct token_run {
	int32_t *ids;
	float *weights;
	bool *begins; /* a chunk */
	size_t count, room;
} token_run;

static void free_run(token_run *r)
{
	free(r->ids);
	free(r->weights);
	free(r->begins);
}

static bool add_piece(token_run *r, const model *m, const char *text, const prompt_piece *piece, error *e)
{
	size_t left = r->room - r->count, count;
	if (!new_words_encode(m->words.words, m->words.count, m->tokenizer, text + piece->first, piece->length,
	        r->ids + r->count, left, &count, e))
		return false;
	if (count > left) {
		model_note(m, SUMI_WARNING, "the prompt has more than the %zu tokens that are read", r->room);
		count = left;
	}
	for (size_t i = 0; i < count; i++) {
		r->weights[r->count + i] = piece->weight;
		r->begins[r->count + i] = piece->new_chunk && i == 0;
	}
	r->count += count;
	return true;
}

static bool read_run(token_run *r, const model *m, int length, const char *text, error *e)
{
	prompt_pieces p;
	if (!prompt_pieces_read(&p, text, e)) return false;
	*r = (token_run){ .room = (size_t)(length - 2) * MOST_CHUNKS };
	r->ids = malloc(r->room * sizeof *r->ids);
	r->weights = malloc(r->room * sizeof *r->weights);
	r->begins = malloc(r->room * sizeof *r->begins);
	bool fine = (r->ids && r->weights && r->begins) || fail(e, NO_MEMORY, "out of memory for the prompt");
	for (size_t i = 0; fine && i < p.count && r->count < r->room; i++) fine = add_piece(r, m, p.text, &p.list[i], e);
	prompt_pieces_free(&p);
	return fine;
}

/* How many tokens, from `at` on, one chunk of so many takes. */
static size_t chunk_tokens(const token_run *r, size_t at, size_t most)
{
	size_t n = 0;
	while (n < most && at + n < r->count && !(n && r->begins[at + n])) n++;
	return n;
}

/* Chunks, each between a begin and an end; what is left of one is padding. */
static bool fill_chunks(chunked *y, const model *m, size_t length, const token_run *r, error *e)
{
	const text_config *t = &m->family.text[0];
	size_t inner = length - 2, at = 0;
	int32_t end = t->end < 0 ? tokenizer_end(m->tokenizer) : t->end;
	bool stressed = false;
	y->chunks = 0;
	for (size_t i = 0; i < r->count; i++) stressed |= r->weights[i] != 1;
	do y->chunks++, at += chunk_tokens(r, at, inner);
	while (at < r->count && y->chunks < MOST_CHUNKS);
	size_t all = (size_t)y->chunks * length;
	y->ids = malloc(all * sizeof *y->ids);
	y->emphasis = stressed ? malloc(all * sizeof *y->emphasis) : NULL;
	if (!y->ids || (stressed && !y->emphasis)) return fail(e, NO_MEMORY, "out of memory for the prompt");
	at = 0;
	for (int k = 0; k < y->chunks; k++) {
		int32_t *ids = y->ids + (size_t)k * length;
		size_t here = chunk_tokens(r, at, inner);
		ids[0] = t->begin;
		for (size_t i = 0; i < here; i++) ids[1 + i] = r->ids[at + i];
		ids[here + 1] = end;
		for (size_t i = here + 2; i < length; i++) ids[i] = t->padding;
		for (size_t i = 0; stressed && i < length; i++)
			y->emphasis[(size_t)k * length + i] = i && i <= here ? r->weights[at + i - 1] : 1;
		at += here;
	}
	return true;
}

/* The number of the text among those that are encoded; −1: failed. */
static int read_text(conditioning *c, const model *m, const char *text, error *e)
{
	for (int i = 0; i < c->text_count; i++)
		if (!strcmp(c->texts[i].text, text)) return i;
	chunked *more = realloc(c->texts, ((size_t)c->text_count + 1) * sizeof *more);
	if (!more) return fail(e, NO_MEMORY, "out of memory for the prompt"), -1;
	c->texts = more;
	chunked *y = &more[c->text_count++];
	*y = (chunked){ .text = strdup(text) };
	token_run run = { 0 };
	bool fine = (y->text || fail(e, NO_MEMORY, "out of memory for the prompt")) &&
	            read_run(&run, m, c->length, text, e) && fill_chunks(y, m, (size_t)c->length, &run, e);
	free_run(&run);
	return fine ? c->text_count - 1 : -1;
}

/* What a branch reads in each step. */
static bool read_steps(conditioning *c, const model *m, int branch, const char *prompt, error *e)
{
	for (int s = 0; s < c->steps; s++) {
		char *text = prompt_at_step(prompt, s + 1, c->steps, e);
		int index = text ? read_text(c, m, text, e) : -1;
		free(text);
		if (index < 0) return false;
		c->chosen[s * c->branches + branch] = index;
	}
	return true;
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

/* The unconditional branch reads the negative prompt; the others are those that AND parts. */
static bool read_branches(conditioning *c, const model *m, const prompt_branch *list, const char *negative, error *e)
{
	int first = c->unconditional ? 1 : 0;
	c->chosen = calloc((size_t)c->steps * (size_t)c->branches, sizeof *c->chosen);
	if (!c->chosen) return fail(e, NO_MEMORY, "out of memory for %d steps", c->steps);
	for (int b = 0; b < c->branches; b++) c->weights[b] = b < first ? 1 : list[b - first].weight;
	if (!m->tokenizer || !denoiser_sizes_of(&m->family.denoiser).context) return true;
	c->length = m->family.text[0].length;
	c->width = family_context_width(&m->family);
	if (first && !read_steps(c, m, 0, negative, e)) return false;
	for (int b = first; b < c->branches; b++)
		if (!read_steps(c, m, b, list[b - first].text, e)) return false;
	c->tokens = c->length * common_chunks(c);
	return true;
}

/* Where a prompt names a learned word whose file cannot be used, it is read as any other word. */
static void warn_of_unusable(const model *m, const char *prompt)
{
	for (int i = 0; (i = embeddings_unusable_in(&m->words, i, prompt)) >= 0; i++)
		model_note(
		    m, SUMI_WARNING, "'%s' is read as plain words: %s", m->words.unusable[i].name, m->words.unusable[i].reason);
}

bool conditioning_read(
    conditioning *c, const model *m, const char *prompt, const char *negative, bool guided, int steps, error *e)
{
	prompt_branch list[MOST_BRANCHES - 1];
	int count = prompt_branches(prompt, list, MOST_BRANCHES - 1, e);
	if (count < 0) return false;
	warn_of_unusable(m, prompt);
	if (guided) warn_of_unusable(m, negative);
	c->steps = steps;
	c->branches = count + guided;
	c->unconditional = guided;
	bool fine = read_branches(c, m, list, negative, e);
	for (int i = 0; i < count; i++) free(list[i].text);
	return fine;
}

/* ── encoding ── */

typedef struct shapes {
	const conditioning *c;
	int skip;
} shapes;

static void build(nn *n, const model *m, stage *s, const void *context)
{
	const shapes *y = context;
	shape ids = shape2(y->c->batch, y->c->length);
	s->in[0] = input(n->g, "ids", I32, ids);
	n->new_words = y->c->new_words ? m->words.row_count : 0;
	if (n->new_words) n->new_word_ids = s->in[1] = input(n->g, "new_words", I32, ids);
	s->out = family_encode_text(n, &m->family, 0, s->in[0], 0, y->skip).states;
}

bool conditioning_compile(conditioning *c, const model *m, int skip, error *e)
{
	c->stage.name = "encode";
	if (!c->text_count) return true;
	int all = 0;
	for (int i = 0; i < c->text_count; i++) {
		all += c->texts[i].chunks;
		for (int k = 0; k < c->texts[i].chunks * c->length; k++)
			c->new_words |= c->texts[i].ids[k] >= tokenizer_size(m->tokenizer);
	}
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
static bool encode_all(conditioning *c, const model *m, float *states, int chunks, const int32_t **ids, error *e)
{
	size_t one = (size_t)c->length * (size_t)c->width;
	size_t ids_count = (size_t)c->batch * (size_t)c->length;
	int32_t *batch = calloc(2 * ids_count, sizeof *batch);
	float *out = malloc((size_t)c->batch * one * sizeof *out);
	bool fine = (batch && out) || fail(e, NO_MEMORY, "out of memory for %d chunks of text", chunks);
	for (int first = 0; fine && first < chunks; first += c->batch) {
		int n = chunks - first < c->batch ? chunks - first : c->batch;
		for (int i = 0; i < n; i++) memcpy(batch + i * c->length, ids[first + i], (size_t)c->length * sizeof *batch);
		if (c->new_words) {
			new_words_split(m->tokenizer, batch, batch + ids_count, ids_count);
			fine = stage_write_ids(&c->stage, c->stage.in[1], batch + ids_count, e);
		}
		fine = fine && stage_write_ids(&c->stage, c->stage.in[0], batch, e) && stage_run(&c->stage, e) &&
		       stage_read(&c->stage, out, e);
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

static bool encode_texts(conditioning *c, const model *m, float *states, const int32_t **ids, int chunks, error *e)
{
	int at = 0;
	for (int i = 0; i < c->text_count; i++)
		for (int k = 0; k < c->texts[i].chunks; k++) ids[at++] = c->texts[i].ids + k * c->length;
	if (!encode_all(c, m, states, chunks, ids, e)) return false;
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
	       encode_texts(c, m, states, ids, chunks, e) && model_progress(m, "encode", 1, 1, e);
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
