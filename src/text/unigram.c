/* unigram.c - T5's tokenizer, step by step as Hugging Face's library does it: special tokens are cut out, characters
 * take their normal forms, spaces become '▁', and each word is cut into the pieces whose scores have the largest sum
 * (Viterbi). The table: pieces, each ended by 0xFF; 0xFF; normal forms as key 0xFE value 0xFF; 0xFF; then the
 * difference of the bits of each piece's score (a float) to the one before, in base 128. */
#include "text/unigram.h"
#include "text/packed.h"
#include "text/string_table.h"
#include "text/unicode.h"
#include <float.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_PIECE = 16, EXTRA_IDS = 100, SPACE_MARK = 0x2581 };
static const double unknown_penalty = 10; /* below the least score */

struct unigram {
	string_table pieces; /* numbered by their ids */
	string_table forms;  /* what has a normal form; form i is values[starts[i] … starts[i + 1]) */
	codepoints values;
	size_t *starts;
	float scores[UNIGRAM_PIECES];
	double unknown; /* score of a character that is no piece */
};

/* ── the table ── */

static bool read_pieces(unigram *u, const uint8_t **at, error *e)
{
	while (**at != 0xff) {
		const uint8_t *end = *at;
		while (*end != 0xff) end++;
		if (string_table_add(&u->pieces, (const char *)*at, (size_t)(end - *at), e) == UINT32_MAX) return false;
		*at = end + 1;
	}
	++*at;
	return true;
}

static bool read_forms(unigram *u, const uint8_t **at, error *e)
{
	size_t count = 0;
	for (const uint8_t *p = *at; *p != 0xff; count++)
		while (*p++ != 0xff) {
		}
	u->starts = malloc((count + 1) * sizeof *u->starts);
	if (!u->starts) return fail(e, NO_MEMORY, "no memory for %zu normal forms", count);
	for (size_t i = 0; i < count; i++) {
		const uint8_t *middle = *at, *end;
		while (*middle != 0xfe) middle++;
		for (end = middle; *end != 0xff;) end++;
		u->starts[i] = u->values.count;
		if (string_table_add(&u->forms, (const char *)*at, (size_t)(middle - *at), e) == UINT32_MAX ||
		    !codepoints_from_utf8(&u->values, (const char *)middle + 1, (size_t)(end - middle - 1), e))
			return false;
		*at = end + 1;
	}
	u->starts[count] = u->values.count;
	++*at;
	return true;
}

static void read_scores(unigram *u, const uint8_t *at)
{
	uint32_t bits = 0;
	float least = 0;
	for (int i = 0; i < UNIGRAM_PIECES; i++) {
		uint32_t delta = 0;
		int shift = 0;
		do delta |= (uint32_t)(*at & 127) << shift, shift += 7;
		while (*at++ & 128);
		bits += delta;
		memcpy(&u->scores[i], &bits, sizeof bits);
		if (u->scores[i] < least) least = u->scores[i];
	}
	u->unknown = (double)least - unknown_penalty;
}

unigram *unigram_open(error *e)
{
	unigram *u = calloc(1, sizeof *u);
	if (!u) return fail(e, NO_MEMORY, "no memory for T5's tokenizer"), NULL;
	uint8_t *table = unpack(&t5_vocabulary, e);
	const uint8_t *at = table;
	bool fine = table && read_pieces(u, &at, e) && read_forms(u, &at, e);
	if (fine) read_scores(u, at);
	free(table);
	if (fine) return u;
	unigram_close(u);
	return NULL;
}

void unigram_close(unigram *u)
{
	if (!u) return;
	string_table_free(&u->pieces);
	string_table_free(&u->forms);
	codepoints_free(&u->values);
	free(u->starts);
	free(u);
}

const char *unigram_piece(const unigram *u, int id, size_t *length, double *score)
{
	*score = (double)u->scores[id];
	return string_table_get(&u->pieces, (uint32_t)id, length);
}

size_t unigram_forms(const unigram *u) { return u->forms.count; }

const char *unigram_form(const unigram *u, size_t i, size_t *length, const uint32_t **form, size_t *count)
{
	*form = u->values.at + u->starts[i];
	*count = u->starts[i + 1] - u->starts[i];
	return string_table_get(&u->forms, (uint32_t)i, length);
}

/* ── normal forms ── */

/* The form of the shortest beginning of these characters that has one; UINT32_MAX: none has. */
static uint32_t find_form(const unigram *u, const uint32_t *at, size_t count)
{
	uint8_t bytes[LONGEST_PIECE * 4];
	size_t size = 0;
	for (size_t i = 0; i < count && i < LONGEST_PIECE; i++) {
		size += utf8_encode(at[i], bytes + size);
		uint32_t form = string_table_find(&u->forms, (const char *)bytes, size);
		if (form != UINT32_MAX) return form;
	}
	return UINT32_MAX;
}

/* Characters of one grapheme cluster; *bytes is its length in UTF-8. */
static size_t cluster_at(const uint32_t *at, size_t left, size_t *bytes)
{
	uint8_t utf8[4];
	size_t n = 0;
	*bytes = 0;
	while (n < left) {
		if (n > 0) {
			grapheme_class before = grapheme_class_of(at[n - 1]), here = grapheme_class_of(at[n]);
			bool line_end = before == GRAPHEME_CR && here == GRAPHEME_LF;
			bool breaks = before == GRAPHEME_CR || before == GRAPHEME_LF || before == GRAPHEME_CONTROL ||
			              here == GRAPHEME_CR || here == GRAPHEME_LF || here == GRAPHEME_CONTROL;
			if (!line_end && (breaks || (here != GRAPHEME_EXTEND && before != GRAPHEME_PREPEND))) break;
		}
		*bytes += utf8_encode(at[n++], utf8);
	}
	return n;
}

static bool add_form(const unigram *u, uint32_t form, codepoints *out, error *e)
{
	return codepoints_append(out, u->values.at + u->starts[form], u->starts[form + 1] - u->starts[form], e);
}

/* A cluster of under six bytes takes the form of its shortest beginning, whatever follows in it: odd, but so does the
 * library. Others go character by character. */
static bool normalize(const unigram *u, const uint32_t *at, size_t count, codepoints *out, error *e)
{
	bool fine = true;
	for (size_t i = 0, n, bytes; fine && i < count; i += n) {
		n = cluster_at(at + i, count - i, &bytes);
		uint32_t form = bytes < 6 ? find_form(u, at + i, n) : UINT32_MAX;
		if (form != UINT32_MAX) {
			fine = add_form(u, form, out, e);
			continue;
		}
		for (size_t k = i; fine && k < i + n; k++) {
			form = find_form(u, at + k, 1);
			fine = form != UINT32_MAX ? add_form(u, form, out, e) : codepoints_add(out, at[k], e);
		}
	}
	return fine;
}

/* White space at the end goes, several spaces in a row are one mark. */
static void mark_spaces(codepoints *t)
{
	size_t out = 0;
	while (t->count && is_white_space(t->at[t->count - 1])) t->count--;
	for (size_t i = 0; i < t->count; i++) {
		bool space = t->at[i] == ' ';
		while (space && i + 1 < t->count && t->at[i + 1] == ' ') i++;
		t->at[out++] = space ? SPACE_MARK : t->at[i];
	}
	t->count = out;
}

/* ── the likeliest pieces ── */

typedef struct node { /* the best way to the place before a character */
	double score;
	size_t from; /* where its last piece begins */
	int32_t id;
} node;

static void find_pieces(const unigram *u, const uint32_t *word, size_t length, node *best)
{
	for (size_t i = 0; i <= length; i++) best[i].id = -1;
	best[0].score = 0;
	for (size_t i = 0; i < length; i++) {
		uint8_t bytes[LONGEST_PIECE * 4];
		size_t size = 0;
		bool single = false;
		for (size_t k = i; k < length && k - i < LONGEST_PIECE; k++) {
			size += utf8_encode(word[k], bytes + size);
			uint32_t id = string_table_find(&u->pieces, (const char *)bytes, size);
			if (id == UINT32_MAX) continue;
			double score = best[i].score + (double)u->scores[id];
			if (best[k + 1].id < 0 || score > best[k + 1].score) best[k + 1] = (node){ score, i, (int32_t)id };
			single |= k == i;
		}
		double score = best[i].score + u->unknown;
		if (!single && (best[i + 1].id < 0 || score > best[i + 1].score))
			best[i + 1] = (node){ score, i, UNIGRAM_UNKNOWN };
	}
}

/* The links go from the end to the beginning: turned round first. Neighbouring unknown characters are one token. */
static void put_pieces(node *best, size_t length, token_sink *out)
{
	size_t next = 0;
	for (size_t at = length, from; at > 0; at = from) {
		from = best[at].from;
		best[at].from = next;
		next = at;
	}
	for (int32_t last = -1; next > 0; next = best[next].from) {
		if (best[next].id != UNIGRAM_UNKNOWN || last != UNIGRAM_UNKNOWN) put_token(out, best[next].id);
		last = best[next].id;
	}
}

/* A word begins at each mark, and the first one is put there where it is missing. */
static bool put_words(const unigram *u, codepoints *text, token_sink *out, error *e)
{
	codepoints marked = { 0 };
	const uint32_t mark = SPACE_MARK;
	bool fine = (text->at[0] == mark || codepoints_add(&marked, mark, e)) &&
	            codepoints_append(&marked, text->at, text->count, e);
	node *best = fine ? malloc((marked.count + 1) * sizeof *best) : NULL;
	if (fine && !best) fine = fail(e, NO_MEMORY, "no memory for a text of %zu characters", marked.count);
	for (size_t i = 0, end; fine && i < marked.count; i = end) {
		for (end = i + 1; end < marked.count && marked.at[end] != mark;) end++;
		find_pieces(u, marked.at + i, end - i, best);
		put_pieces(best, end - i, out);
	}
	free(best);
	codepoints_free(&marked);
	return fine;
}

/* ── whole texts ── */

/* The special token that the characters begin with, and its length; −1: none. */
static int32_t special_at(const uint32_t *at, size_t left, size_t *length)
{
	static const char *const names[] = { "<pad>", "</s>", "<unk>" };
	static const char extra[] = "<extra_id_";
	for (int32_t id = 0; id < 3; id++) {
		size_t n = strlen(names[id]), i = 0;
		while (i < n && i < left && at[i] == (uint32_t)names[id][i]) i++;
		*length = n;
		if (i == n) return id;
	}
	size_t i = 0;
	while (i < sizeof extra - 1 && i < left && at[i] == (uint32_t)extra[i]) i++;
	if (i < sizeof extra - 1) return -1;
	size_t first = i;
	int32_t number = 0;
	for (; i < left && i < first + 2 && at[i] - '0' < 10; i++) number = number * 10 + (int32_t)(at[i] - '0');
	if (i == first || i >= left || at[i] != '>' || (i > first + 1 && at[first] == '0')) return -1;
	*length = i + 1;
	return UNIGRAM_TOKENS - 1 - number;
}

static bool encode_plain(const unigram *u, const uint32_t *at, size_t count, token_sink *out, error *e)
{
	codepoints text = { 0 };
	bool fine = normalize(u, at, count, &text, e);
	if (fine) mark_spaces(&text);
	if (fine && text.count) fine = put_words(u, &text, out, e);
	codepoints_free(&text);
	return fine;
}

bool unigram_encode(const unigram *u, const codepoints *text, token_sink *out, error *e)
{
	size_t begin = 0, length;
	if (!text->count) return true;
	for (size_t i = 0; i < text->count;) {
		int32_t special = text->at[i] == '<' ? special_at(text->at + i, text->count - i, &length) : -1;
		if (special < 0) {
			i++;
			continue;
		}
		if (!encode_plain(u, text->at + begin, i - begin, out, e)) return false;
		put_token(out, special);
		begin = i += length;
	}
	return encode_plain(u, text->at + begin, text->count - begin, out, e);
}
