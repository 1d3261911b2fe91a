/* byte_pair.c - words by CLIP's regular expression; in each, the pair of neighbours whose merge is oldest is joined
 * first (Sennrich et al. 2016), found with a heap, so that a word of n bytes costs n log n. */
#include "text/byte_pair.h"
#include "text/packed.h"
#include "text/unicode.h"
#include <stdlib.h>
#include <string.h>

/* Tokens: 256 bytes, the same 256 at the end of a word, then one for each merge in order of age. */
enum { WORD_END = 256, FIRST_MERGE = 512, MERGES = BYTE_PAIR_START - FIRST_MERGE, SLOTS = 1 << 17 };

struct byte_pair {
	uint16_t byte_token[256];
	uint32_t pairs[SLOTS];  /* left << 16 | right */
	uint16_t merged[SLOTS]; /* 0: free */
};

static uint32_t slot_of(uint32_t pair) { return pair * 2654435761u >> 15; }

/* The token that the two make, 0 where none. */
static uint16_t merge_of(const byte_pair *b, uint16_t left, uint16_t right)
{
	uint32_t pair = (uint32_t)left << 16 | right;
	uint32_t slot = slot_of(pair);
	while (b->merged[slot] && b->pairs[slot] != pair) slot = (slot + 1) % SLOTS;
	return b->merged[slot];
}

static void add_merge(byte_pair *b, uint32_t pair, uint16_t token)
{
	uint32_t slot = slot_of(pair);
	while (b->merged[slot]) slot = (slot + 1) % SLOTS;
	b->pairs[slot] = pair;
	b->merged[slot] = token;
}

byte_pair *byte_pair_open(error *e)
{
	uint8_t *planes = unpack(&clip_merges, e);
	byte_pair *b = calloc(1, sizeof *b);
	if (!planes || !b) {
		fail(e, NO_MEMORY, "no memory for the merges of CLIP's tokenizer");
		free(planes);
		free(b);
		return NULL;
	}
	for (size_t i = 0; i < MERGES; i++) {
		const uint8_t *p = planes + i;
		uint32_t left = p[0] | (uint32_t)p[MERGES] << 8, right = p[2 * MERGES] | (uint32_t)p[3 * MERGES] << 8;
		add_merge(b, left << 16 | right, (uint16_t)(FIRST_MERGE + i));
	}
	free(planes);
	/* Bytes are numbered in the order of the printable characters of Latin-1, then the rest. */
	uint16_t next = 0;
	for (int printable = 1; printable >= 0; printable--)
		for (int c = 0; c < 256; c++)
			if (printable == ((c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || c >= 0xae))
				b->byte_token[c] = next++;
	return b;
}

void byte_pair_close(byte_pair *b) { free(b); }

/* ---- Merging the bytes of a word ---- */

/* Room for a word; the arrays are of equal length and grow together. */
typedef struct workspace {
	size_t capacity;
	uint16_t *symbol; /* a list of neighbours; a symbol that was joined to its left is GONE */
	uint32_t *previous, *next;
	uint64_t *heap; /* merged token << 32 | position of the left symbol; may be out of date */
	size_t waiting;
} workspace;

enum { GONE = 0xffff };

static bool make_room(workspace *w, size_t bytes, error *e)
{
	if (bytes <= w->capacity) return true;
	if (bytes > UINT32_MAX / 4) return fail(e, BAD_USAGE, "a word of %zu bytes is too long", bytes);
	size_t n = bytes < 64 ? 64 : bytes;
	free(w->symbol);
	free(w->previous);
	free(w->next);
	free(w->heap);
	*w = (workspace){ n, malloc(n * sizeof(uint16_t)), malloc(n * sizeof(uint32_t)), malloc(n * sizeof(uint32_t)),
		malloc(3 * n * sizeof(uint64_t)), 0 };
	if (w->symbol && w->previous && w->next && w->heap) return true;
	w->capacity = 0;
	return fail(e, NO_MEMORY, "no memory for a word of %zu bytes", bytes);
}

static void workspace_free(workspace *w)
{
	free(w->symbol);
	free(w->previous);
	free(w->next);
	free(w->heap);
}

static void push(workspace *w, uint64_t item)
{
	size_t i = w->waiting++;
	for (; i && w->heap[(i - 1) / 2] > item; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = item;
}

static uint64_t pop(workspace *w)
{
	uint64_t first = w->heap[0], item = w->heap[--w->waiting];
	size_t i = 0;
	for (size_t child; (child = 2 * i + 1) < w->waiting; i = child) {
		if (child + 1 < w->waiting && w->heap[child + 1] < w->heap[child]) child++;
		if (w->heap[child] >= item) break;
		w->heap[i] = w->heap[child];
	}
	w->heap[i] = item;
	return first;
}

/* Offers the pair that begins at `left`. */
static void offer(const byte_pair *b, workspace *w, uint32_t left, uint32_t end)
{
	if (w->next[left] == end) return;
	uint16_t merged = merge_of(b, w->symbol[left], w->symbol[w->next[left]]);
	if (merged) push(w, (uint64_t)merged << 32 | left);
}

/* The original joins every place of the best pair from left to right, then looks again. One place at a time in the
 * order (age, position) is the same: what a merge makes can only take part in younger merges. */
static void merge_word(const byte_pair *b, workspace *w, uint32_t count)
{
	w->waiting = 0;
	for (uint32_t i = 0; i < count; i++) {
		w->previous[i] = i - 1;
		w->next[i] = i + 1;
	}
	for (uint32_t i = 0; i + 1 < count; i++) offer(b, w, i, count);
	while (w->waiting) {
		uint64_t item = pop(w);
		uint32_t left = (uint32_t)item, right;
		if (w->symbol[left] == GONE || (right = w->next[left]) == count) continue;
		if (merge_of(b, w->symbol[left], w->symbol[right]) != item >> 32) continue;
		w->symbol[left] = (uint16_t)(item >> 32);
		w->symbol[right] = GONE;
		w->next[left] = w->next[right];
		if (w->next[left] != count) w->previous[w->next[left]] = left;
		if (left) offer(b, w, w->previous[left], count);
		offer(b, w, left, count);
	}
}

static bool encode_word(const byte_pair *b, workspace *w, const uint32_t *at, size_t length, token_sink *out, error *e)
{
	if (!make_room(w, length * 4, e)) return false;
	uint32_t count = 0;
	for (size_t i = 0; i < length; i++) {
		uint8_t bytes[4];
		size_t n = utf8_encode(at[i], bytes);
		for (size_t k = 0; k < n; k++) w->symbol[count++] = b->byte_token[bytes[k]];
	}
	w->symbol[count - 1] = (uint16_t)(w->symbol[count - 1] + WORD_END);
	merge_word(b, w, count);
	for (uint32_t i = 0; i < count; i = w->next[i]) put_token(out, w->symbol[i]);
	return true;
}

/* ---- Splitting text into words ---- */

static size_t match_text(const uint32_t *at, size_t left, const char *word)
{
	size_t n = strlen(word);
	if (n > left) return 0;
	for (size_t i = 0; i < n; i++)
		if (at[i] != (uint8_t)word[i]) return 0;
	return n;
}

/* 's 't 're 've 'm 'll 'd; the long s counts as one, for the expression ignores case. */
static size_t match_contraction(const uint32_t *at, size_t left)
{
	static const char *const endings[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t n = match_text(at, left, endings[i]);
		if (n) return n;
	}
	return left > 1 && at[0] == '\'' && at[1] == 0x17f ? 2 : 0;
}

/* How many characters of the same kind as the first follow each other: letters or others; a number stands alone. */
static size_t match_run(const uint32_t *at, size_t left)
{
	char_class first = class_of_char(at[0]);
	size_t n = 1;
	if (first == CLASS_NUMBER) return 1;
	for (; n < left && !is_white_space(at[n]); n++) {
		char_class k = class_of_char(at[n]);
		if (k == CLASS_NUMBER || (k == CLASS_LETTER) != (first == CLASS_LETTER)) break;
	}
	return n;
}

bool byte_pair_encode(
    const byte_pair *b, const codepoints *text, const char *start, const char *end, token_sink *out, error *e)
{
	workspace w = { 0 };
	bool fine = true;
	for (size_t i = 0; fine && i < text->count;) {
		const uint32_t *at = text->at + i;
		size_t left = text->count - i, n;
		if (is_white_space(*at)) {
			i++;
			continue;
		}
		if ((n = match_text(at, left, start))) {
			put_token(out, BYTE_PAIR_START);
		} else if ((n = match_text(at, left, end))) {
			put_token(out, BYTE_PAIR_END);
		} else {
			n = match_contraction(at, left);
			if (!n) n = match_run(at, left);
			fine = encode_word(b, &w, at, n, out, e);
		}
		i += n;
	}
	workspace_free(&w);
	return fine;
}

/* ---- The text of a token ---- */

/* Appends the bytes that a token joins. The depth is the merges': each makes a longer token of two. */
static size_t put_bytes(const byte_pair *b, uint32_t token, char *text, size_t at, size_t size)
{
	uint32_t slot = 0, c = 0;
	if (token < FIRST_MERGE) {
		while (c < 255 && b->byte_token[c] != token % WORD_END) c++;
		if (at + 1 < size) text[at] = (char)c;
		return at + 1;
	}
	while (slot < SLOTS && b->merged[slot] != token) slot++;
	if (slot == SLOTS) return at;
	at = put_bytes(b, b->pairs[slot] >> 16, text, at, size);
	return put_bytes(b, b->pairs[slot] & 0xffff, text, at, size);
}

/* A merge ends a word where its right part does. */
static bool ends_word(const byte_pair *b, uint32_t token)
{
	while (token >= FIRST_MERGE) {
		uint32_t slot = 0;
		while (slot < SLOTS && b->merged[slot] != token) slot++;
		if (slot == SLOTS) return false;
		token = b->pairs[slot] & 0xffff;
	}
	return token >= WORD_END;
}

void byte_pair_token(const byte_pair *b, int32_t id, char *text, size_t size)
{
	if (!size) return;
	bool known = id >= 0 && id < FIRST_MERGE + MERGES;
	size_t n = known ? put_bytes(b, (uint32_t)id, text, 0, size) : 0;
	for (const char *c = known && ends_word(b, (uint32_t)id) ? "</w>" : ""; *c; c++, n++)
		if (n + 1 < size) text[n] = *c;
	text[n < size ? n : size - 1] = 0;
}
