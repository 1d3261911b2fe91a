/* new_words.c - finds the names of learned words in a text; what lies between them is the tokenizer's. */
#include "text/new_words.h"
#include <string.h>
#include <strings.h>

static bool of_word(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

/* Does the name stand at text[at], as a word of its own? */
static bool stands_at(const char *name, const char *text, size_t length, size_t at)
{
	size_t n = strlen(name);
	if (n > length - at || strncasecmp(text + at, name, n)) return false;
	if (at && of_word(text[at - 1]) && of_word(name[0])) return false;
	return at + n == length || !of_word(text[at + n]) || !of_word(name[n - 1]);
}

static const new_word *word_at(const new_word *words, int count, const char *text, size_t length, size_t at)
{
	const new_word *best = NULL;
	for (int i = 0; i < count; i++)
		if (stands_at(words[i].name, text, length, at) && (!best || strlen(words[i].name) > strlen(best->name)))
			best = &words[i];
	return best;
}

bool new_words_encode(const new_word *words, int count, const tokenizer *t, const char *text, size_t length,
    int32_t *ids, size_t most, size_t *found, error *e)
{
	size_t at = 0;
	*found = 0;
	while (at < length || !length) {
		const new_word *w = NULL;
		size_t end = at, n;
		while (end < length && !(w = word_at(words, count, text, length, end))) end++;
		size_t left = *found < most ? most - *found : 0;
		if (!tokenizer_encode(t, text + at, end - at, left ? ids + *found : NULL, left, &n, e)) return false;
		*found += n;
		for (int i = 0; w && i < w->count; i++, ++*found)
			if (*found < most) ids[*found] = tokenizer_size(t) + w->first + i;
		at = end + (w ? strlen(w->name) : 0);
		if (!length) break;
	}
	return true;
}

bool new_words_encode_padded(
    const new_word *words, int count, const tokenizer *t, const char *text, int32_t *ids, size_t size, error *e)
{
	size_t n;
	if (size < 2) return fail(e, BAD_USAGE, "%zu tokens have no room for start and end", size);
	if (!new_words_encode(words, count, t, text, strlen(text), ids + 1, size - 2, &n, e)) return false;
	if (n > size - 2) n = size - 2;
	ids[0] = tokenizer_start(t);
	ids[n + 1] = tokenizer_end(t);
	for (size_t i = n + 2; i < size; i++) ids[i] = tokenizer_pad(t);
	return true;
}

bool new_words_in(const new_word *words, int count, const char *text)
{
	size_t length = strlen(text);
	for (size_t at = 0; at < length; at++)
		if (word_at(words, count, text, length, at)) return true;
	return false;
}

void new_words_split(const tokenizer *t, int32_t *ids, int32_t *rows, size_t n)
{
	int32_t size = tokenizer_size(t);
	for (size_t i = 0; i < n; i++) {
		rows[i] = ids[i] >= size ? ids[i] - size + 1 : 0;
		if (rows[i]) ids[i] = 0;
	}
}
