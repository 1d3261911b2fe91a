/* wordpiece_learn.c - counts words, then joins the most frequent pair of pieces again and again. Counts of pairs are
 * kept up to date: a merge visits only the words that hold the pair. */
#include "text/wordpiece_learn.h"
#include "text/codepoints.h"
#include "text/string_table.h"
#include "text/wordpiece.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 1 << 20, LONGEST_WORD = 100 };

static const char *const specials[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
enum { SPECIALS = sizeof specials / sizeof *specials };

typedef struct word {
	uint32_t *pieces; /* numbers of tokens */
	uint32_t count;
	uint64_t occurrences;
} word;

typedef struct pair {
	uint32_t left, right;
	int64_t occurrences;
	uint32_t *words; /* those that hold the pair, and some that held it */
	size_t count, room;
} pair;

typedef struct learner {
	string_table texts;  /* of the words: the number of a text is that of its word */
	string_table tokens; /* "##" and all */
	string_table keys;   /* pairs by the bytes of (left, right): the number of a key is that of its pair */
	word *words;
	size_t words_room;
	pair *pairs;
	size_t pairs_room;
	error *e;
} learner;

/* The array with room for item `count`, new items zero; NULL: no memory, and the array is as it was. */
static void *with_room(void *array, size_t *room, size_t count, size_t size, error *e)
{
	if (count < *room) return array;
	size_t wanted = *room ? *room * 2 : 8;
	char *at = wanted < SIZE_MAX / size ? realloc(array, wanted * size) : NULL;
	if (!at) return fail(e, NO_MEMORY, "no memory to learn a vocabulary: %zu items of %zu bytes", wanted, size), NULL;
	memset(at + *room * size, 0, (wanted - *room) * size);
	*room = wanted;
	return at;
}

static void learner_free(learner *l)
{
	for (size_t i = 0; i < l->words_room; i++) free(l->words[i].pieces);
	for (size_t i = 0; i < l->pairs_room; i++) free(l->pairs[i].words);
	free(l->words);
	free(l->pairs);
	string_table_free(&l->texts);
	string_table_free(&l->tokens);
	string_table_free(&l->keys);
}

/* ---- 1. Words ---- */

static bool count_word(learner *l, const uint32_t *at, size_t length)
{
	char bytes[LONGEST_WORD * 4];
	size_t n = 0;
	if (!length || length > LONGEST_WORD) return true; /* the tokenizer calls it unknown anyway */
	for (size_t i = 0; i < length; i++) n += utf8_encode(at[i], (uint8_t *)bytes + n);
	uint32_t number = string_table_add(&l->texts, bytes, n, l->e);
	if (number == UINT32_MAX) return false;
	word *words = with_room(l->words, &l->words_room, number, sizeof *words, l->e);
	if (!words) return false;
	l->words = words;
	l->words[number].occurrences++;
	return true;
}

static bool is_special(const uint32_t *at, size_t length)
{
	return length > 2 && at[0] == '['; /* the only words of more than one character that begin so */
}

static bool count_caption(learner *l, codepoints *text)
{
	if (!basic_words(text, true, l->e)) return false;
	for (size_t i = 0, end; i < text->count; i = end + 1) {
		for (end = i; end < text->count && text->at[end] != ' ';) end++;
		if (!is_special(text->at + i, end - i) && !count_word(l, text->at + i, end - i)) return false;
	}
	return true;
}

static bool count_words(learner *l, const char *const *captions, size_t count)
{
	codepoints text = { 0 };
	bool fine = true;
	for (size_t i = 0; fine && i < count; i++) {
		error reason = { 0 };
		text.count = 0;
		if (!codepoints_from_utf8(&text, captions[i], strlen(captions[i]), &reason))
			fine = fail(l->e, reason.status, "caption %zu: %.900s", i, reason.text);
		else
			fine = count_caption(l, &text);
	}
	codepoints_free(&text);
	return fine;
}

/* ---- 2. Characters ---- */

typedef struct letter {
	uint32_t c;
	bool inside; /* "##c" */
	uint64_t occurrences;
} letter;

typedef struct alphabet {
	letter *letters;
	size_t count, room;
	string_table keys;
} alphabet;

static int by_occurrences(const void *a, const void *b)
{
	const letter *x = a, *y = b;
	if (x->occurrences != y->occurrences) return x->occurrences > y->occurrences ? -1 : 1;
	if (x->inside != y->inside) return x->inside ? 1 : -1;
	return x->c < y->c ? -1 : x->c > y->c;
}

static int by_code_point(const void *a, const void *b)
{
	const letter *x = a, *y = b;
	if (x->inside != y->inside) return x->inside ? 1 : -1;
	return x->c < y->c ? -1 : x->c > y->c;
}

/* Writes the token of a character, "##" before it inside a word. */
static size_t spell(uint32_t c, bool inside, char out[8])
{
	memcpy(out, "##", 2);
	return inside ? 2 + utf8_encode(c, (uint8_t *)out + 2) : utf8_encode(c, (uint8_t *)out);
}

static bool count_letters(const learner *l, alphabet *a)
{
	for (uint32_t i = 0; i < l->texts.count; i++) {
		size_t length, n;
		const char *text = string_table_get(&l->texts, i, &length);
		for (size_t k = 0; k < length; k += n) {
			uint32_t c = 0;
			char token[8];
			n = utf8_decode((const uint8_t *)text + k, length - k, &c);
			uint32_t number = string_table_add(&a->keys, token, spell(c, k > 0, token), l->e);
			if (number == UINT32_MAX) return false;
			letter *letters = with_room(a->letters, &a->room, number, sizeof *letters, l->e);
			if (!letters) return false;
			a->letters = letters;
			a->letters[number].c = c;
			a->letters[number].inside = k > 0;
			a->letters[number].occurrences += l->words[i].occurrences;
			a->count = a->keys.count;
		}
	}
	return true;
}

static bool add_first_tokens(learner *l, size_t size)
{
	alphabet a = { 0 };
	bool fine = count_letters(l, &a);
	if (fine && a.count) qsort(a.letters, a.count, sizeof(letter), by_occurrences);
	if (a.count > size - SPECIALS) a.count = size - SPECIALS;
	if (fine && a.count) qsort(a.letters, a.count, sizeof(letter), by_code_point);
	for (size_t i = 0; fine && i < SPECIALS; i++)
		fine = string_table_add(&l->tokens, specials[i], strlen(specials[i]), l->e) != UINT32_MAX;
	for (size_t i = 0; fine && i < a.count; i++) {
		char token[8];
		fine =
		    string_table_add(&l->tokens, token, spell(a.letters[i].c, a.letters[i].inside, token), l->e) != UINT32_MAX;
	}
	free(a.letters);
	string_table_free(&a.keys);
	return fine;
}

/* ---- 3. Pairs ---- */

static bool count_pair(learner *l, uint32_t left, uint32_t right, int64_t occurrences, uint32_t in_word)
{
	const uint32_t key[2] = { left, right };
	uint32_t number = string_table_add(&l->keys, (const char *)key, sizeof key, l->e);
	if (number == UINT32_MAX) return false;
	pair *pairs = with_room(l->pairs, &l->pairs_room, number, sizeof *pairs, l->e);
	if (!pairs) return false;
	l->pairs = pairs;
	pair *p = &l->pairs[number];
	p->left = left;
	p->right = right;
	p->occurrences += occurrences;
	if (occurrences < 0 || (p->count && p->words[p->count - 1] == in_word)) return true;
	uint32_t *words = with_room(p->words, &p->room, p->count, sizeof *words, l->e);
	if (!words) return false;
	p->words = words;
	p->words[p->count++] = in_word;
	return true;
}

/* Adds a word's pairs to the counts, or takes them away. */
static bool count_pairs_of(learner *l, uint32_t number, int sign)
{
	const word *w = &l->words[number];
	for (uint32_t i = 0; i + 1 < w->count; i++)
		if (!count_pair(l, w->pieces[i], w->pieces[i + 1], sign * (int64_t)w->occurrences, number)) return false;
	return true;
}

/* Splits a word into characters; one with a character that is in no vocabulary is left out. */
static bool split_word(learner *l, uint32_t number)
{
	size_t length, n;
	const char *text = string_table_get(&l->texts, number, &length);
	word *w = &l->words[number];
	w->pieces = malloc(length * sizeof *w->pieces);
	if (!w->pieces) return fail(l->e, NO_MEMORY, "no memory for a word of %zu bytes", length);
	for (size_t i = 0; i < length; i += n) {
		uint32_t c = 0;
		char token[8];
		n = utf8_decode((const uint8_t *)text + i, length - i, &c);
		uint32_t piece = string_table_find(&l->tokens, token, spell(c, i > 0, token));
		if (piece == UINT32_MAX) {
			w->count = 0;
			return true;
		}
		w->pieces[w->count++] = piece;
	}
	return count_pairs_of(l, number, 1);
}

static const pair *most_frequent(const learner *l)
{
	const pair *best = NULL;
	for (uint32_t i = 0; i < l->keys.count; i++) {
		const pair *p = &l->pairs[i];
		if (p->occurrences < 2 || (best && p->occurrences < best->occurrences)) continue;
		bool older = best && (p->left < best->left || (p->left == best->left && p->right < best->right));
		if (!best || p->occurrences > best->occurrences || older) best = p;
	}
	return best;
}

/* The token that the two make: the right one loses its "##". */
static uint32_t join_texts(learner *l, uint32_t left, uint32_t right)
{
	char joined[2 + LONGEST_WORD * 4];
	size_t n, m;
	const char *head = string_table_get(&l->tokens, left, &n), *tail = string_table_get(&l->tokens, right, &m);
	memcpy(joined, head, n);
	memcpy(joined + n, tail + 2, m - 2);
	return string_table_add(&l->tokens, joined, n + m - 2, l->e);
}

static bool join_in_word(learner *l, uint32_t number, uint32_t left, uint32_t right, uint32_t joined)
{
	word *w = &l->words[number];
	uint32_t out = 0, i = 0;
	while (i + 1 < w->count && (w->pieces[i] != left || w->pieces[i + 1] != right)) i++;
	if (i + 1 >= w->count) return true; /* it held the pair once */
	if (!count_pairs_of(l, number, -1)) return false;
	for (i = 0; i < w->count; out++) {
		bool here = i + 1 < w->count && w->pieces[i] == left && w->pieces[i + 1] == right;
		w->pieces[out] = here ? joined : w->pieces[i];
		i += here ? 2 : 1;
	}
	w->count = out;
	return count_pairs_of(l, number, 1);
}

static bool join_most_frequent(learner *l, const pair *best)
{
	uint32_t left = best->left, right = best->right, *words = best->words;
	size_t count = best->count;
	uint32_t joined = join_texts(l, left, right);
	/* The list is taken out of the pair: counting may move it, and no word holds the pair any more. */
	uint32_t number = (uint32_t)(best - l->pairs);
	l->pairs[number].words = NULL;
	l->pairs[number].count = l->pairs[number].room = 0;
	bool fine = joined != UINT32_MAX;
	for (size_t i = 0; fine && i < count; i++) fine = join_in_word(l, words[i], left, right, joined);
	free(words);
	return fine;
}

static bool learn(learner *l, const char *const *captions, size_t count, size_t size)
{
	if (!count_words(l, captions, count) || !add_first_tokens(l, size)) return false;
	for (uint32_t i = 0; i < l->texts.count; i++)
		if (!split_word(l, i)) return false;
	while (l->tokens.count < size) {
		const pair *best = most_frequent(l);
		if (!best) break;
		if (!join_most_frequent(l, best)) return false;
	}
	return true;
}

static char *print_tokens(const string_table *tokens, size_t *length, error *e)
{
	char *text = malloc(tokens->used + tokens->count + 1), *out = text;
	if (!text) return fail(e, NO_MEMORY, "no memory for a vocabulary of %u tokens", tokens->count), NULL;
	for (uint32_t i = 0; i < tokens->count; i++) {
		size_t n;
		const char *token = string_table_get(tokens, i, &n);
		memcpy(out, token, n);
		out[n] = '\n';
		out += n + 1;
	}
	*out = 0;
	*length = (size_t)(out - text);
	return text;
}

char *wordpiece_learn(const char *const *captions, size_t count, size_t size, size_t *length, error *e)
{
	if (size <= SPECIALS || size > MOST_TOKENS)
		return fail(e, BAD_USAGE, "vocabulary of %zu tokens, expected %d to %d", size, SPECIALS + 1, MOST_TOKENS), NULL;
	learner l = { .e = e };
	char *text = learn(&l, captions, count, size) ? print_tokens(&l.tokens, length, e) : NULL;
	learner_free(&l);
	return text;
}
