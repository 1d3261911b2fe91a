/* basic_words.c - the first step of BERT's tokenizer: text to words (BasicTokenizer of the original). */
#include "text/unicode.h"
#include "text/wordpiece.h"
#include <string.h>

static bool is_chinese(uint32_t c)
{
	return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
	       (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) ||
	       (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* All of ASCII that is no letter, digit or space counts, so $ and ^ too. */
static bool is_punctuation(uint32_t c)
{
	if (c < 0x80) return c > ' ' && c != 0x7f && class_of_char(c) != CLASS_LETTER && class_of_char(c) != CLASS_NUMBER;
	return class_of_char(c) == CLASS_PUNCTUATION;
}

static bool is_dropped(uint32_t c)
{
	if (c == '\t' || c == '\n' || c == '\r') return false;
	return c == 0xfffd || class_of_char(c) == CLASS_CONTROL;
}

static bool is_special(const uint32_t *at, size_t length)
{
	static const char *const names[] = { "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		size_t k = 0;
		while (k < length && names[i][k] && at[k] == (uint8_t)names[i][k]) k++;
		if (k == length && !names[i][k]) return true;
	}
	return false;
}

/* Control characters go, white space becomes a space, Chinese characters get spaces around them. */
static bool clean(const codepoints *text, codepoints *out, error *e)
{
	bool fine = true;
	for (size_t i = 0; fine && i < text->count; i++) {
		uint32_t c = text->at[i];
		if (is_dropped(c)) continue;
		if (is_white_space(c))
			fine = codepoints_add(out, ' ', e);
		else if (is_chinese(c))
			fine = codepoints_append(out, (const uint32_t[]){ ' ', c, ' ' }, 3, e);
		else
			fine = codepoints_add(out, c, e);
	}
	return fine;
}

static bool add_word(codepoints *out, codepoints *word, bool alone, error *e)
{
	if (!lower_case(word, !alone, e) || !normalize_nfd(word, e)) return false;
	bool fine = !out->count || codepoints_add(out, ' ', e);
	for (size_t i = 0; fine && i < word->count; i++) {
		uint32_t c = word->at[i];
		if (class_of_char(c) == CLASS_MARK) continue;
		if (is_punctuation(c))
			fine = codepoints_append(out, (const uint32_t[]){ ' ', c, ' ' }, 3, e);
		else
			fine = codepoints_add(out, c, e);
	}
	return fine;
}

/* One space between words, none at the ends. */
static void squeeze(codepoints *text)
{
	size_t out = 0;
	for (size_t i = 0; i < text->count; i++) {
		bool space = is_python_space(text->at[i]);
		if (!space)
			text->at[out++] = text->at[i];
		else if (out && text->at[out - 1] != ' ')
			text->at[out++] = ' ';
	}
	text->count = out && text->at[out - 1] == ' ' ? out - 1 : out;
}

bool basic_words(codepoints *text, bool alone, error *e)
{
	codepoints cleaned = { 0 }, out = { 0 }, word = { 0 };
	bool fine = clean(text, &cleaned, e);
	for (size_t i = 0; fine && i < cleaned.count;) {
		size_t end = i;
		while (end < cleaned.count && cleaned.at[end] != ' ') end++;
		word.count = 0;
		if (end > i) fine = codepoints_append(&word, cleaned.at + i, end - i, e);
		if (fine && alone && is_special(word.at, word.count))
			fine = codepoints_add(&out, ' ', e) && codepoints_append(&out, word.at, word.count, e);
		else if (fine && end > i)
			fine = add_word(&out, &word, alone, e);
		i = end + 1;
	}
	squeeze(&out);
	if (fine) codepoints_swap(text, &out);
	codepoints_free(&cleaned);
	codepoints_free(&out);
	codepoints_free(&word);
	return fine;
}
