/* wordpiece.c - the second step of BERT's tokenizer: a word is cut from the left into the longest pieces that the
 * vocabulary has; a word with a part that no piece matches is [UNK] as a whole. */
#include "text/wordpiece.h"
#include "text/packed.h"
#include <stdlib.h>
#include <string.h>

enum { LONGEST_WORD = 100, MOST_TOKENS = 1 << 24 };

struct wordpiece {
	char *text;      /* the vocabulary, lines ended by zeros */
	uint32_t *start; /* of each token in text; [count] is the end */
	int32_t *slots;  /* a hash table of numbers, -1 is free */
	uint32_t mask, count, longest;
	int32_t unknown, first, last, pad;
};

static const uint32_t hash_seed = 2166136261u; /* FNV-1a */
static uint32_t hash_byte(uint32_t hash, uint8_t b) { return (hash ^ b) * 16777619u; }

static uint32_t hash_of(const char *at, size_t length)
{
	uint32_t hash = hash_seed;
	for (size_t i = 0; i < length; i++) hash = hash_byte(hash, (uint8_t)at[i]);
	return hash;
}

static uint32_t length_of(const wordpiece *w, int32_t token) { return w->start[token + 1] - 1 - w->start[token]; }

/* Whether token = prefix + at. */
static bool is_token(
    const wordpiece *w, int32_t token, const char *prefix, size_t prefixed, const char *at, size_t length)
{
	const char *text = w->text + w->start[token];
	return length_of(w, token) == prefixed + length && !memcmp(text, prefix, prefixed) &&
	       !memcmp(text + prefixed, at, length);
}

/* The number of prefix + at, whose hash is given; -1 where the vocabulary lacks it. */
static int32_t find(
    const wordpiece *w, uint32_t hash, const char *prefix, size_t prefixed, const char *at, size_t length)
{
	for (uint32_t slot = hash & w->mask; w->slots[slot] >= 0; slot = (slot + 1) & w->mask)
		if (is_token(w, w->slots[slot], prefix, prefixed, at, length)) return w->slots[slot];
	return -1;
}

static int32_t find_name(const wordpiece *w, const char *name)
{
	return find(w, hash_of(name, strlen(name)), "", 0, name, strlen(name));
}

static bool split_lines(wordpiece *w, size_t length, error *e)
{
	size_t lines = 0, out = 0;
	for (size_t i = 0; i < length; i++) lines += w->text[i] == '\n' || i + 1 == length;
	if (!lines || lines > MOST_TOKENS)
		return fail(e, BAD_FILE, "vocabulary has %zu lines, expected 1 to %d", lines, MOST_TOKENS);
	w->start = malloc((lines + 1) * sizeof *w->start);
	if (!w->start) return fail(e, NO_MEMORY, "no memory for a vocabulary of %zu tokens", lines);
	for (size_t i = 0; i < length; i++) {
		size_t end = i;
		while (end < length && w->text[end] != '\n') end++;
		size_t n = end - i - (end > i && w->text[end - 1] == '\r');
		w->start[w->count++] = (uint32_t)out;
		memmove(w->text + out, w->text + i, n);
		w->text[out + n] = 0;
		out += n + 1;
		if (n > w->longest) w->longest = (uint32_t)n;
		i = end;
	}
	w->start[w->count] = (uint32_t)out;
	return true;
}

/* A token that comes twice keeps its last number, as in the original. */
static bool index_tokens(wordpiece *w, error *e)
{
	w->mask = 15;
	while (w->mask < w->count * 2) w->mask = w->mask * 2 + 1;
	w->slots = malloc((w->mask + 1ul) * sizeof *w->slots);
	if (!w->slots) return fail(e, NO_MEMORY, "no memory for a vocabulary of %u tokens", w->count);
	memset(w->slots, 0xff, (w->mask + 1ul) * sizeof *w->slots);
	for (int32_t i = 0; i < (int32_t)w->count; i++) {
		const char *token = w->text + w->start[i];
		size_t n = length_of(w, i);
		uint32_t slot = hash_of(token, n) & w->mask;
		while (w->slots[slot] >= 0 && !is_token(w, w->slots[slot], "", 0, token, n)) slot = (slot + 1) & w->mask;
		w->slots[slot] = i;
	}
	return true;
}

static bool find_specials(wordpiece *w, error *e)
{
	const struct {
		const char *name;
		int32_t *number;
	} needed[] = { { "[UNK]", &w->unknown }, { "[CLS]", &w->first }, { "[SEP]", &w->last } };
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
		*needed[i].number = find_name(w, needed[i].name);
		if (*needed[i].number < 0)
			return fail(e, BAD_FILE,
			    "vocabulary of %u tokens has no %s; expected a token a line, with [UNK], [CLS] and [SEP]", w->count,
			    needed[i].name);
	}
	w->pad = find_name(w, "[PAD]");
	if (w->pad < 0) w->pad = 0;
	return true;
}

wordpiece *wordpiece_open(const char *vocabulary, size_t length, error *e)
{
	wordpiece *w = calloc(1, sizeof *w);
	if (!w) return fail(e, NO_MEMORY, "no memory for a vocabulary"), NULL;
	if (length > INT32_MAX) {
		fail(e, BAD_FILE, "vocabulary of %zu bytes is too long, expected less than 2 GiB", length);
		goto failure;
	}
	if (!vocabulary) {
		length = bert_vocabulary.size;
		w->text = (char *)unpack(&bert_vocabulary, e);
	} else if ((w->text = malloc(length + 1))) {
		if (length) memcpy(w->text, vocabulary, length);
	} else {
		fail(e, NO_MEMORY, "no memory for a vocabulary of %zu bytes", length);
	}
	if (w->text && split_lines(w, length, e) && index_tokens(w, e) && find_specials(w, e)) return w;
failure:
	wordpiece_close(w);
	return NULL;
}

void wordpiece_close(wordpiece *w)
{
	if (!w) return;
	free(w->text);
	free(w->start);
	free(w->slots);
	free(w);
}

/* The longest token that the bytes begin with; *used is its length there, 0 where none. */
static int32_t longest_piece(const wordpiece *w, const char *at, size_t left, bool inside, size_t *used)
{
	const char *prefix = inside ? "##" : "";
	size_t prefixed = strlen(prefix);
	uint32_t hash = hash_of(prefix, prefixed);
	int32_t best = -1;
	*used = 0;
	for (size_t n = 1; n <= left && prefixed + n <= w->longest; n++) {
		hash = hash_byte(hash, (uint8_t)at[n - 1]);
		if (n < left && (at[n] & 0xc0) == 0x80) continue; /* within a character */
		int32_t token = find(w, hash, prefix, prefixed, at, n);
		if (token < 0) continue;
		best = token;
		*used = n;
	}
	return best;
}

static void encode_word(const wordpiece *w, const uint32_t *at, size_t length, token_sink *out)
{
	char bytes[LONGEST_WORD * 4];
	size_t size = 0, before = out->count, used;
	if (length > LONGEST_WORD) {
		put_token(out, w->unknown);
		return;
	}
	for (size_t i = 0; i < length; i++) size += utf8_encode(at[i], (uint8_t *)bytes + size);
	for (size_t i = 0; i < size; i += used) {
		int32_t token = longest_piece(w, bytes + i, size - i, i > 0, &used);
		if (token < 0) {
			out->count = before;
			put_token(out, w->unknown);
			return;
		}
		put_token(out, token);
	}
}

bool wordpiece_encode(const wordpiece *w, const codepoints *text, token_sink *out, error *e)
{
	codepoints words = { 0 };
	bool fine = codepoints_append(&words, text->at, text->count, e) && basic_words(&words, true, e);
	for (size_t i = 0; fine && i < words.count;) {
		size_t end = i;
		while (end < words.count && words.at[end] != ' ') end++;
		if (end > i) encode_word(w, words.at + i, end - i, out);
		i = end + 1;
	}
	codepoints_free(&words);
	return fine;
}

const char *wordpiece_token(const wordpiece *w, int32_t id, size_t *length)
{
	if (id < 0 || (uint32_t)id >= w->count) return NULL;
	*length = strlen(w->text + w->start[id]);
	return w->text + w->start[id];
}

int32_t wordpiece_size(const wordpiece *w) { return (int32_t)w->count; }
int32_t wordpiece_start(const wordpiece *w) { return w->first; }
int32_t wordpiece_end(const wordpiece *w) { return w->last; }
int32_t wordpiece_pad(const wordpiece *w) { return w->pad; }
