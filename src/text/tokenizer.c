/* tokenizer.c - the kinds of tokenizers, and what text goes through before each. */
#include "text/tokenizer.h"
#include "text/byte_pair.h"
#include "text/mend.h"
#include "text/unicode.h"
#include "text/unigram.h"
#include "text/wordpiece.h"
#include <stdio.h>
#include <stdlib.h>

/* How CLIP's relatives clean text; what follows, trimming and lower case, is common to all. */
static const struct {
	bool mend, unescape, nfc, basic;
	const char *start, *end; /* as written in a prompt, in lower case */
	int32_t pad;
} clips[TOKENIZERS] = {
	[CLIP] = { .mend = true, .start = "<|startoftext|>", .end = "<|endoftext|>", .pad = BYTE_PAIR_END },
	[OPENCLIP] = { .mend = true, .unescape = true, .start = "<start_of_text>", .end = "<end_of_text>", .pad = 0 },
	[CLIP_OPENAI] = { .mend = true, .unescape = true, .start = "<|startoftext|>", .end = "<|endoftext|>", .pad = 0 },
	[CLIP_PLAIN] = { .start = "<|startoftext|>", .end = "<|endoftext|>", .pad = BYTE_PAIR_END },
	[CLIP_NFC] = { .nfc = true, .start = "<|startoftext|>", .end = "<|endoftext|>", .pad = BYTE_PAIR_END },
	[CLIP_BASIC] = { .basic = true, .start = "<|startoftext|>", .end = "<|endoftext|>", .pad = BYTE_PAIR_END },
};

struct tokenizer {
	tokenizer_kind kind;
	int32_t size, start, end, pad;
	byte_pair *merges;     /* CLIP's */
	entities *names;       /* CLIP's */
	wordpiece *vocabulary; /* BERT's */
	unigram *pieces;       /* T5's */
};

tokenizer *tokenizer_open(tokenizer_kind kind, const char *vocabulary, size_t length, error *e)
{
	if (kind < 0 || kind >= TOKENIZERS) return fail(e, BAD_USAGE, "tokenizer %d is unknown", (int)kind), NULL;
	if (vocabulary && kind != WORDPIECE)
		return fail(e, BAD_USAGE, "only WordPiece takes a vocabulary: the other tables are built in"), NULL;
	tokenizer *t = calloc(1, sizeof *t);
	if (!t) return fail(e, NO_MEMORY, "no memory for a tokenizer"), NULL;
	t->kind = kind;
	if (kind == WORDPIECE) {
		t->vocabulary = wordpiece_open(vocabulary, length, e);
		if (!t->vocabulary) goto failure;
		t->size = wordpiece_size(t->vocabulary);
		t->start = wordpiece_start(t->vocabulary);
		t->end = wordpiece_end(t->vocabulary);
		t->pad = wordpiece_pad(t->vocabulary);
		return t;
	}
	if (kind == T5) {
		if (!(t->pieces = unigram_open(e))) goto failure;
		t->size = UNIGRAM_TOKENS;
		t->start = -1;
		t->end = UNIGRAM_END;
		t->pad = UNIGRAM_PAD;
		return t;
	}
	t->size = BYTE_PAIR_TOKENS;
	t->start = BYTE_PAIR_START;
	t->end = BYTE_PAIR_END;
	t->pad = clips[kind].pad;
	if ((t->merges = byte_pair_open(e)) && (!clips[kind].mend || (t->names = entities_open(e)))) return t;
failure:
	tokenizer_close(t);
	return NULL;
}

void tokenizer_close(tokenizer *t)
{
	if (!t) return;
	byte_pair_close(t->merges);
	entities_close(t->names);
	wordpiece_close(t->vocabulary);
	unigram_close(t->pieces);
	free(t);
}

static void trim(codepoints *t)
{
	size_t first = 0;
	while (t->count && is_python_space(t->at[t->count - 1])) t->count--;
	while (first < t->count && is_python_space(t->at[first])) first++;
	for (size_t i = first; first && i < t->count; i++) t->at[i - first] = t->at[i];
	t->count -= first;
}

static bool clean_for_clip(const tokenizer *t, codepoints *text, error *e)
{
	if (clips[t->kind].mend && !mend_text(text, t->names, e)) return false;
	for (int i = 0; clips[t->kind].unescape && i < 2; i++)
		if (!html_unescape(text, t->names, e)) return false;
	if (clips[t->kind].nfc && !normalize_nfc(text, e)) return false;
	if (clips[t->kind].basic && !basic_words(text, false, e)) return false;
	trim(text);
	return clips[t->kind].basic || lower_case(text, true, e);
}

bool tokenizer_encode(
    const tokenizer *t, const char *text, size_t length, int32_t *ids, size_t most, size_t *count, error *e)
{
	codepoints points = { 0 };
	token_sink out = { ids, most, 0 };
	bool fine = codepoints_from_utf8(&points, text, length, e);
	if (fine && t->kind == WORDPIECE)
		fine = wordpiece_encode(t->vocabulary, &points, &out, e);
	else if (fine && t->kind == T5)
		fine = unigram_encode(t->pieces, &points, &out, e);
	else if (fine)
		fine = clean_for_clip(t, &points, e) &&
		       byte_pair_encode(t->merges, &points, clips[t->kind].start, clips[t->kind].end, &out, e);
	codepoints_free(&points);
	*count = out.count;
	return fine;
}

void tokenizer_token(const tokenizer *t, int32_t id, char *text, size_t size)
{
	size_t length = 0;
	const char *found = NULL;
	*text = 0;
	if (t->kind == WORDPIECE)
		found = wordpiece_token(t->vocabulary, id, &length);
	else if (t->kind == T5)
		found = id >= 0 && id < UNIGRAM_PIECES ? unigram_piece(t->pieces, id, &length, &(double){ 0 }) : NULL;
	else if (id == t->start || id == t->end)
		snprintf(text, size, "%s", id == t->start ? clips[t->kind].start : clips[t->kind].end);
	else
		byte_pair_token(t->merges, id, text, size);
	if (found) snprintf(text, size, "%.*s", (int)length, found);
}

bool tokenizer_encode_padded(
    const tokenizer *t, const char *text, size_t length, int32_t *ids, size_t size, size_t *dropped, error *e)
{
	size_t count, first = t->start >= 0;
	if (size < 2) return fail(e, BAD_USAGE, "%zu tokens have no room for start and end", size);
	size_t room = size - first - 1;
	if (!tokenizer_encode(t, text, length, ids + first, room, &count, e)) return false;
	if (dropped) *dropped = count > room ? count - room : 0;
	if (count > room) count = room;
	if (first) ids[0] = t->start;
	ids[first + count] = t->end;
	for (size_t i = first + count + 1; i < size; i++) ids[i] = t->pad;
	return true;
}

int32_t tokenizer_size(const tokenizer *t) { return t->size; }
int32_t tokenizer_start(const tokenizer *t) { return t->start; }
int32_t tokenizer_end(const tokenizer *t) { return t->end; }
int32_t tokenizer_pad(const tokenizer *t) { return t->pad; }
