/* sd3_words.c - tokenizers/sd3_weighted.json: prompts as Stability's reference of Stable Diffusion 3 (sd3.5,
 * other_impls.py, SDTokenizer) reads them: every word alone, with the weight of its brackets. Words of less than eight
 * tokens are not parted by the end of a chunk. The brackets are read, and the words cut into tokens, by the project's
 * own functions; how words fill chunks is the reference's, which sumi does otherwise (as A1111). The error is the
 * number of prompts of which an id or a weight differs. */
#include "goldens.h"
#include "text/prompt.h"
#include "text/tokenizer.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 77, LONG_WORD = 8, MOST = 4096, T5_CHARACTERS = 226 };

typedef struct words {
	const tokenizer *t;
	bool whole; /* one chunk, however long (T5) */
	int32_t padding;
	int32_t ids[MOST]; /* of all chunks, one behind the other */
	float weights[MOST];
	int count, begin; /* begin: of the chunk */
} words;

static void put(words *w, int32_t id, float weight)
{
	if (w->count == MOST) return;
	w->ids[w->count] = id;
	w->weights[w->count++] = weight;
}

static void begin_chunk(words *w)
{
	w->begin = w->count;
	if (tokenizer_start(w->t) >= 0) put(w, tokenizer_start(w->t), 1);
}

static void end_chunk(words *w)
{
	put(w, tokenizer_end(w->t), 1);
	while (w->count - w->begin < CHUNK && w->count < MOST) put(w, w->padding, 1);
}

static void put_word(words *w, const char *text, size_t length, float weight)
{
	enum { WORD = 1024 };
	int32_t ids[WORD];
	size_t count = 0, at = 0;
	error e = { 0 };
	if (!tokenizer_encode(w->t, text, length, ids, WORD, &count, &e)) printf("      %s\n", e.text);
	if (count > WORD) count = WORD;
	bool parted = count >= LONG_WORD;
	while (at < count) {
		size_t room = (size_t)(CHUNK - 1 - (w->count - w->begin)), left = count - at;
		bool fits = w->whole || left <= room;
		for (size_t i = 0; i < (fits ? left : parted ? room : 0); i++) put(w, ids[at++], weight);
		if (fits) continue;
		end_chunk(w);
		begin_chunk(w);
	}
}

static void put_piece(words *w, const char *text, size_t length, float weight)
{
	for (size_t at = 0; at < length;) {
		size_t n = 0;
		while (at + n < length && text[at + n] != ' ' && text[at + n] != '\n') n++;
		if (n) put_word(w, text + at, n, weight);
		at += n + 1;
	}
}

static size_t cut(const char *text, int characters)
{
	size_t n = 0;
	for (; text[n] && (characters > 0 || ((unsigned char)text[n] & 0xc0) == 0x80); n++)
		characters -= ((unsigned char)text[n + 1] & 0xc0) != 0x80;
	return n;
}

static bool is_same(const words *w, json_t *chunks)
{
	int at = 0;
	size_t k, i;
	json_t *chunk, *token;
	json_array_foreach(chunks, k, chunk)
	{
		json_array_foreach(chunk, i, token)
		{
			if (at == w->count || json_integer_value(json_array_get(token, 0)) != w->ids[at]) return false;
			if (fabs(json_number_value(json_array_get(token, 1)) - (double)w->weights[at++]) > 1e-6) return false;
		}
	}
	return at == w->count;
}

static bool matches(words *w, json_t *one, const char *field)
{
	error e = { 0 };
	prompt_pieces p;
	char *text = strdup(json_string_value(json_object_get(one, "text")));
	if (w->whole) text[cut(text, T5_CHARACTERS)] = 0;
	w->count = 0;
	begin_chunk(w);
	bool fine = prompt_pieces_read(&p, text, &e);
	for (size_t i = 0; fine && i < p.count; i++)
		put_piece(w, p.text + p.list[i].first, p.list[i].length, p.list[i].weight);
	if (fine) prompt_pieces_free(&p);
	end_chunk(w);
	fine = fine && is_same(w, json_object_get(one, field));
	if (!fine) printf("      differs: \"%s\"\n", text);
	free(text);
	return fine;
}

void golden_sd3_words(const char *dir, report *r)
{
	static const struct {
		const char *field;
		tokenizer_kind kind;
		int32_t padding;
	} lists[] = { { "clip_l", CLIP, 49407 }, { "clip_g", CLIP, 0 }, { "t5xxl", T5, 0 } };
	const char *path = path_of(dir, "tokenizers/sd3_weighted.json");
	json_t *root = exists(path) ? json_load_file(path, JSON_ALLOW_NUL, NULL) : NULL,
	       *cases = json_object_get(root, "cases");
	static words w;
	for (size_t k = 0; cases && k < sizeof lists / sizeof *lists; k++) {
		error e = { 0 };
		char name[128];
		tokenizer *t = tokenizer_open(lists[k].kind, NULL, 0, &e);
		snprintf(
		    name, sizeof name, "tokenizers/sd3_weighted.json %s, %zu prompts", lists[k].field, json_array_size(cases));
		if (!t) {
			report_uncovered(r, name, e.text);
			continue;
		}
		w = (words){ .t = t, .whole = lists[k].kind == T5, .padding = lists[k].padding };
		int different = 0;
		for (size_t i = 0; i < json_array_size(cases); i++)
			different += !matches(&w, json_array_get(cases, i), lists[k].field);
		report_error(r, name, different, 0);
		tokenizer_close(t);
	}
	if (exists(path) && !cases) report_uncovered(r, path, "not JSON");
	json_decref(root);
}
