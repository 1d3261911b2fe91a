/* prompt_text.c - from a text with A1111's syntax of stress to token ids, for each text encoder. */
#include "pipeline/prompt_text.h"
#include "text/prompt.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_CHUNKS = 16 };

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

/* ── a text's tokens ── */

/* *lost: tokens for which there is no room. */
static bool add_piece(
    token_run *r, const model *m, int encoder, const char *text, const prompt_piece *piece, size_t *lost, error *e)
{
	size_t left = r->room - r->count, count;
	bool none = text_in_one_piece(&m->family.text[encoder]); /* T5 has no learned words */
	int words = none ? 0 : m->words.count;
	if (!new_words_encode(m->words.words, words, m->tokenizers[encoder], text + piece->first, piece->length,
	        r->ids + r->count, left, &count, e))
		return false;
	if (count > left) *lost += count - left, count = left;
	for (size_t i = 0; i < count; i++) {
		r->weights[r->count + i] = piece->weight;
		r->begins[r->count + i] = piece->new_chunk && i == 0;
	}
	r->count += count;
	return true;
}

/* How many tokens, from `at` on, one chunk of so many takes. */
static size_t chunk_tokens(const token_run *r, size_t at, size_t most)
{
	size_t n = 0;
	while (n < most && at + n < r->count && !(n && r->begins[at + n])) n++;
	return n;
}

/* Leaves out what is behind the last chunk, where BREAK makes more of them than are read. */
static size_t cut_chunks(token_run *r, size_t inner)
{
	size_t kept = 0, all = r->count;
	for (int k = 0; k < MOST_CHUNKS; k++) kept += chunk_tokens(r, kept, inner);
	r->count = kept;
	return all - kept;
}

static bool read_run(token_run *r, const model *m, int encoder, const watcher *w, const char *text, error *e)
{
	const text_config *t = &m->family.text[encoder];
	bool piece = text_in_one_piece(t);
	size_t inner = (size_t)t->length - 2, lost = 0;
	prompt_pieces p;
	if (!prompt_pieces_read(&p, text, e)) return false;
	*r = (token_run){ .room = piece ? (size_t)text_positions(t) - 1 : inner * MOST_CHUNKS };
	r->ids = malloc(r->room * sizeof *r->ids);
	r->weights = malloc(r->room * sizeof *r->weights);
	r->begins = malloc(r->room * sizeof *r->begins);
	bool fine = (r->ids && r->weights && r->begins) || fail(e, NO_MEMORY, "out of memory for the prompt");
	for (size_t i = 0; fine && i < p.count; i++) fine = add_piece(r, m, encoder, p.text, &p.list[i], &lost, e);
	prompt_pieces_free(&p);
	if (fine && !piece) lost += cut_chunks(r, inner);
	if (lost)
		watcher_note(w, SUMI_WARNING, "the prompt is too long: its last %zu tokens are not read by the %s", lost,
		    role_name((role)(TEXT_ENCODER + encoder)));
	return fine;
}

/* ── chunks ── */

static int chunks_of(const token_run *r, size_t inner)
{
	int chunks = 0;
	size_t at = 0;
	do chunks++, at += chunk_tokens(r, at, inner);
	while (at < r->count && chunks < MOST_CHUNKS);
	return chunks;
}

static bool is_stressed(const token_run *r)
{
	bool stressed = false;
	for (size_t i = 0; i < r->count; i++) stressed |= r->weights[i] != 1;
	return stressed;
}

static bool make_room(reading *y, bool stressed, error *e)
{
	size_t all = (size_t)y->chunks * (size_t)y->length;
	y->ids = malloc(all * sizeof *y->ids);
	y->emphasis = stressed ? malloc(all * sizeof *y->emphasis) : NULL;
	return (y->ids && (!stressed || y->emphasis)) || fail(e, NO_MEMORY, "out of memory for the prompt");
}

/* `count` tokens of the run from `at` on, between a begin, if there is one, and an end; what is left is padding. */
static void fill_chunk(
    reading *y, int chunk, const text_config *t, int32_t end, const token_run *r, size_t at, size_t count)
{
	size_t length = (size_t)y->length, first = t->begin != NO_TOKEN, place = (size_t)chunk * length;
	int32_t *ids = y->ids + place;
	if (first) ids[0] = t->begin;
	for (size_t i = 0; i < count; i++) ids[first + i] = r->ids[at + i];
	ids[first + count] = end;
	for (size_t i = first + count + 1; i < length; i++) ids[i] = t->padding;
	for (size_t i = 0; y->emphasis && i < length; i++)
		y->emphasis[place + i] = i >= first && i < first + count ? r->weights[at + i - first] : 1;
}

/* At least `chunks` of them: encoders that read the same text get equally many. */
static bool fill_chunks(reading *y, const model *m, int encoder, const token_run *r, int chunks, error *e)
{
	const text_config *t = &m->family.text[encoder];
	int32_t end = t->end < 0 ? tokenizer_end(m->tokenizers[encoder]) : t->end;
	size_t inner = (size_t)t->length - 2, at = 0;
	*y = (reading){ .chunks = chunks, .length = t->length, .tokens = (int)r->count };
	if (!make_room(y, is_stressed(r), e)) return false;
	for (int k = 0; k < chunks; k++) {
		size_t here = chunk_tokens(r, at, inner);
		fill_chunk(y, k, t, end, r, at, here);
		at += here;
	}
	return true;
}

static bool fill_piece(reading *y, const model *m, int encoder, const token_run *r, error *e)
{
	const text_config *t = &m->family.text[encoder];
	*y = (reading){ .chunks = 1, .length = text_positions(t), .tokens = (int)r->count };
	if (!make_room(y, is_stressed(r), e)) return false;
	fill_chunk(y, 0, t, t->end < 0 ? tokenizer_end(m->tokenizers[encoder]) : t->end, r, 0, r->count);
	return true;
}

/* ── whole texts ── */

static bool read_all(prompt_text *t, const model *m, const watcher *w, token_run *runs, const char *text, error *e)
{
	int chunks = 1;
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		const text_config *c = &m->family.text[i];
		if (!m->tokenizers[i]) continue;
		if (!read_run(&runs[i], m, i, w, text, e)) return false;
		if (text_in_one_piece(c))
			t->tokens = (int)runs[i].count + 1;
		else if (chunks_of(&runs[i], (size_t)c->length - 2) > chunks)
			chunks = chunks_of(&runs[i], (size_t)c->length - 2);
	}
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		if (!m->tokenizers[i]) continue;
		bool piece = text_in_one_piece(&m->family.text[i]);
		if (!(piece ? fill_piece(&t->of[i], m, i, &runs[i], e) : fill_chunks(&t->of[i], m, i, &runs[i], chunks, e)))
			return false;
	}
	return true;
}

bool prompt_text_read(prompt_text *t, const model *m, const watcher *w, const char *text, error *e)
{
	token_run runs[TEXT_ENCODERS] = { { 0 } };
	t->text = strdup(text);
	bool fine = t->text || fail(e, NO_MEMORY, "out of memory for the prompt");
	fine = fine && (t->zero || read_all(t, m, w, runs, text, e));
	for (int i = 0; i < TEXT_ENCODERS; i++) free_run(&runs[i]);
	return fine;
}

void prompt_text_cut(prompt_text *t, const model *m, int tokens)
{
	for (int i = 0; i < TEXT_ENCODERS; i++)
		if (t->of[i].ids && text_in_one_piece(&m->family.text[i])) t->of[i].length = tokens;
}

void prompt_text_free(prompt_text *t)
{
	free(t->text);
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		free(t->of[i].ids);
		free(t->of[i].emphasis);
	}
	*t = (prompt_text){ 0 };
}
