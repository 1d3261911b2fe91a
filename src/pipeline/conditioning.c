/* conditioning.c - reads prompts, encodes their chunks, and brings all contexts to one length. */
#include "pipeline/conditioning.h"
#include "pipeline/finite.h"
#include "text/prompt.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CHUNKS = 16, MOST_REPEATED = 48, MOST_AT_ONCE = 2 };

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

static bool add_piece(
    token_run *r, const model *m, const watcher *w, const char *text, const prompt_piece *piece, error *e)
{
	size_t left = r->room - r->count, count;
	if (!new_words_encode(m->words.words, m->words.count, m->tokenizer, text + piece->first, piece->length,
	        r->ids + r->count, left, &count, e))
		return false;
	if (count > left) {
		watcher_note(w, SUMI_WARNING, "the prompt has more than the %zu tokens that are read", r->room);
		count = left;
	}
	for (size_t i = 0; i < count; i++) {
		r->weights[r->count + i] = piece->weight;
		r->begins[r->count + i] = piece->new_chunk && i == 0;
	}
	r->count += count;
	return true;
}

static bool read_run(token_run *r, const model *m, const watcher *w, int length, const char *text, error *e)
{
	prompt_pieces p;
	if (!prompt_pieces_read(&p, text, e)) return false;
	*r = (token_run){ .room = (size_t)(length - 2) * MOST_CHUNKS };
	r->ids = malloc(r->room * sizeof *r->ids);
	r->weights = malloc(r->room * sizeof *r->weights);
	r->begins = malloc(r->room * sizeof *r->begins);
	bool fine = (r->ids && r->weights && r->begins) || fail(e, NO_MEMORY, "out of memory for the prompt");
	for (size_t i = 0; fine && i < p.count && r->count < r->room; i++) fine = add_piece(r, m, w, p.text, &p.list[i], e);
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
static int read_text(conditioning *c, const model *m, const watcher *w, const char *text, error *e)
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
	            read_run(&run, m, w, c->length, text, e) && fill_chunks(y, m, (size_t)c->length, &run, e);
	free_run(&run);
	return fine ? c->text_count - 1 : -1;
}

/* What a branch reads in each step. */
static bool read_steps(conditioning *c, const model *m, const watcher *w, int branch, const char *prompt, error *e)
{
	for (int s = 0; s < c->steps; s++) {
		char *text = prompt_at_step(prompt, s + 1, c->steps, e);
		int index = text ? read_text(c, m, w, text, e) : -1;
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
static bool read_branches(
    conditioning *c, const model *m, const watcher *w, const prompt_branch *list, const char *negative, error *e)
{
	int first = c->unconditional ? 1 : 0;
	c->chosen = calloc((size_t)c->steps * (size_t)c->branches, sizeof *c->chosen);
	if (!c->chosen) return fail(e, NO_MEMORY, "out of memory for %d steps", c->steps);
	for (int b = 0; b < c->branches; b++) c->weights[b] = b < first ? 1 : list[b - first].weight;
	if (!m->tokenizer || !denoiser_sizes_of(&m->family.denoiser).context) return true;
	c->length = m->family.text[0].length;
	c->width = family_context_width(&m->family);
	if (first && !read_steps(c, m, w, 0, negative, e)) return false;
	for (int b = first; b < c->branches; b++)
		if (!read_steps(c, m, w, b, list[b - first].text, e)) return false;
	c->tokens = c->length * common_chunks(c);
	return true;
}

/* Where a prompt names a learned word whose file cannot be used, it is read as any other word. */
static void warn_of_unusable(const model *m, const watcher *w, const char *prompt)
{
	for (int i = 0; (i = embeddings_unusable_in(&m->words, i, prompt)) >= 0; i++)
		watcher_note(
		    w, SUMI_WARNING, "'%s' is read as plain words: %s", m->words.unusable[i].name, m->words.unusable[i].reason);
}

bool conditioning_read(conditioning *c, const model *m, const watcher *w, const char *prompt, const char *negative,
    bool guided, int steps, error *e)
{
	prompt_branch list[MOST_BRANCHES - 1];
	int count = prompt_branches(prompt, list, MOST_BRANCHES - 1, e);
	if (count < 0) return false;
	warn_of_unusable(m, w, prompt);
	if (guided) warn_of_unusable(m, w, negative);
	c->steps = steps;
	c->branches = count + guided;
	c->unconditional = guided;
	bool fine = read_branches(c, m, w, list, negative, e);
	for (int i = 0; i < count; i++) free(list[i].text);
	return fine;
}

/* ── encoding ── */

typedef struct shapes {
	int batch, length, skip;
	bool new_words;
} shapes;

static void build(nn *n, const model *m, stage *s, const void *context)
{
	const shapes *y = context;
	shape ids = shape2(y->batch, y->length);
	s->in[0] = input(n->g, "ids", I32, ids);
	n->new_words = y->new_words ? m->words.row_count : 0;
	if (n->new_words) n->new_word_ids = s->in[1] = input(n->g, "new_words", I32, ids);
	s->out = family_encode_text(n, &m->family, 0, s->in[0], 0, y->skip).states;
}

/* The encoding of some texts, in chunks. */
typedef struct encoding {
	conditioning *c;
	session *session;
	const adapter_set *adapters;
	shapes shapes;
	int count;   /* chunks */
	int missing; /* of which the session has no states */
} encoding;

static network_key key_of(const encoding *y)
{
	const shapes *h = &y->shapes;
	return (network_key){ TEXT_NETWORK, { h->batch, h->length, h->skip, h->new_words }, y->adapters };
}

/* A chunk is encoded alone or in a pair, so that few networks serve all prompts. */
static encoding encoding_of(conditioning *c, session *s, const adapter_set *a, int skip)
{
	encoding y = { .c = c, .session = s, .adapters = a, .shapes = { .length = c->length, .skip = skip } };
	const tokenizer *t = session_model(s)->tokenizer;
	for (int i = 0; i < c->text_count; i++)
		for (int k = 0; k < c->texts[i].chunks; k++) {
			const int32_t *ids = c->texts[i].ids + (size_t)k * (size_t)c->length;
			y.count++;
			if (session_states(s, ids, c->length, skip, a)) continue;
			y.missing++;
			for (int n = 0; n < c->length; n++) y.shapes.new_words |= ids[n] >= tokenizer_size(t);
		}
	y.shapes.batch = session_keeps(s) || y.missing >= MOST_AT_ONCE ? MOST_AT_ONCE : 1;
	return y;
}

stage *conditioning_network(conditioning *c, session *s, const adapter_set *a, int skip, error *e)
{
	encoding y = encoding_of(c, s, a, skip);
	network_key key = key_of(&y);
	return y.missing ? session_network(s, &key, build, &y.shapes, e) : NULL;
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

/* Runs up to a batch of chunks: states[i] for ids[i]. Where there are fewer, the last is repeated. */
static bool run_encoder(
    const encoding *y, stage *network, const int32_t *const *ids, float *const *states, int n, error *e)
{
	const conditioning *c = y->c;
	size_t length = (size_t)c->length, one = length * (size_t)c->width, all = (size_t)y->shapes.batch * length;
	int32_t *batch = calloc(2 * all, sizeof *batch);
	float *out = malloc((size_t)y->shapes.batch * one * sizeof *out);
	bool fine = (batch && out) || fail(e, NO_MEMORY, "out of memory for %d chunks of text", n);
	for (int i = 0; fine && i < y->shapes.batch; i++)
		memcpy(batch + (size_t)i * length, ids[i < n ? i : n - 1], length * sizeof *batch);
	if (fine && y->shapes.new_words) {
		new_words_split(session_model(y->session)->tokenizer, batch, batch + all, all);
		fine = stage_write_ids(network, network->in[1], batch + all, e);
	}
	fine = fine && stage_write_ids(network, network->in[0], batch, e) && stage_run(network, e) &&
	       stage_read(network, out, e) && all_finite(out, (size_t)n * one, "the text encoder's states", e);
	for (int i = 0; fine && i < n; i++) {
		memcpy(states[i], out + (size_t)i * one, one * sizeof *out);
		session_keep_states(y->session, ids[i], c->length, y->shapes.skip, y->adapters, states[i], one);
	}
	free(batch);
	free(out);
	return fine;
}

/* States of all chunks [chunks][length][width]: what the session has, and the rest from the encoder. */
static bool encode_all(const encoding *y, float *states, const int32_t *const *ids, const watcher *w, error *e)
{
	const conditioning *c = y->c;
	size_t one = (size_t)c->length * (size_t)c->width;
	network_key key = key_of(y);
	stage *network = NULL;
	if (y->missing && !(network = session_ready(y->session, &key, build, &y->shapes, 0, w, e))) return false;
	const int32_t *some[MOST_AT_ONCE];
	float *to[MOST_AT_ONCE];
	int waiting = 0;
	bool fine = watcher_progress(w, "encode", 0, 1, e);
	for (int i = 0; fine && i < y->count; i++) {
		const float *known = session_states(y->session, ids[i], c->length, y->shapes.skip, y->adapters);
		if (known) {
			memcpy(states + (size_t)i * one, known, one * sizeof *states);
			continue;
		}
		some[waiting] = ids[i];
		to[waiting++] = states + (size_t)i * one;
		if (waiting < y->shapes.batch) continue;
		fine = run_encoder(y, network, some, to, waiting, e);
		waiting = 0;
	}
	if (fine && waiting) fine = run_encoder(y, network, some, to, waiting, e);
	if (network) session_done(y->session, network);
	return fine && watcher_progress(w, "encode", 1, 1, e);
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

static void emphasise_all(const conditioning *c, float *states)
{
	size_t one = (size_t)c->length * (size_t)c->width, at = 0;
	for (int i = 0; i < c->text_count; i++)
		for (int k = 0; k < c->texts[i].chunks; k++, at++)
			if (c->texts[i].emphasis)
				emphasise(states + at * one, c->texts[i].emphasis + k * c->length, c->length, c->width);
}

bool conditioning_encode(conditioning *c, session *s, const adapter_set *a, int skip, const watcher *w, error *e)
{
	if (!c->text_count) return true;
	encoding y = encoding_of(c, s, a, skip);
	size_t one = (size_t)c->length * (size_t)c->width;
	const int32_t **ids = malloc((size_t)y.count * sizeof *ids);
	float *states = malloc((size_t)y.count * one * sizeof *states);
	c->contexts = malloc((size_t)c->text_count * (size_t)c->tokens * (size_t)c->width * sizeof *c->contexts);
	bool fine = (ids && states && c->contexts) || fail(e, NO_MEMORY, "out of memory for %d chunks of text", y.count);
	int at = 0;
	for (int i = 0; fine && i < c->text_count; i++)
		for (int k = 0; k < c->texts[i].chunks; k++) ids[at++] = c->texts[i].ids + k * c->length;
	fine = fine && encode_all(&y, states, ids, w, e);
	if (fine) {
		emphasise_all(c, states);
		spread_contexts(c, states);
	}
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
