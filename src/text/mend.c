/* mend.c - the passes of ftfy over one line, but for the encodings, which are in mojibake.c. */
#include "text/mend.h"
#include "text/unicode.h"
#include "text/tables/unicode_tables.h"
#include <string.h>

enum { LONGEST_SEGMENT = 1000000, MOST_PASSES = 16 };

/* Latin ligatures and digraphs that are taken apart. */
static const struct {
	uint16_t from, to[3];
} ligatures[] = {
	{ 0x132, { 'I', 'J' } },
	{ 0x133, { 'i', 'j' } },
	{ 0x149, { 0x2bc, 'n' } },
	{ 0x1c4, { 'D', 0x17d } },
	{ 0x1c5, { 'D', 0x17e } },
	{ 0x1c6, { 'd', 0x17e } },
	{ 0x1c7, { 'L', 'J' } },
	{ 0x1c8, { 'L', 'j' } },
	{ 0x1c9, { 'l', 'j' } },
	{ 0x1ca, { 'N', 'J' } },
	{ 0x1cb, { 'N', 'j' } },
	{ 0x1cc, { 'n', 'j' } },
	{ 0x1f1, { 'D', 'Z' } },
	{ 0x1f2, { 'D', 'z' } },
	{ 0x1f3, { 'd', 'z' } },
	{ 0xfb00, { 'f', 'f' } },
	{ 0xfb01, { 'f', 'i' } },
	{ 0xfb02, { 'f', 'l' } },
	{ 0xfb03, { 'f', 'f', 'i' } },
	{ 0xfb04, { 'f', 'f', 'l' } },
	{ 0xfb05, { 0x17f, 't' } },
	{ 0xfb06, { 's', 't' } },
};

static uint32_t straight_quote(uint32_t c)
{
	if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b)) return '\'';
	return c >= 0x201c && c <= 0x201f ? '"' : c;
}

static uint32_t with_usual_width(uint32_t c)
{
	if (c == 0x3000) return ' ';
	if (c >= 0xff01 && c < 0xff5f) return c - 0xfee0;
	return c >= 0xff5f && c < 0xffef ? usual_width[c - 0xff5f] : c;
}

/* C1 controls, ligatures, widths and quotes: each depends on one character. */
static bool add_usual_form(codepoints *out, uint32_t c, error *e)
{
	if (c >= 0x80 && c < 0xa0) c = windows_1252[c - 0x80];
	for (size_t i = 0; i < sizeof ligatures / sizeof *ligatures; i++) {
		if (ligatures[i].from != c) continue;
		for (int k = 0; k < 3 && ligatures[i].to[k]; k++)
			if (!codepoints_add(out, straight_quote(ligatures[i].to[k]), e)) return false;
		return true;
	}
	if (c == 0xffe3) return codepoints_add(out, ' ', e) && codepoints_add(out, 0x304, e); /* full-width macron */
	return codepoints_add(out, straight_quote(with_usual_width(c)), e);
}

static bool is_unwanted_control(uint32_t c)
{
	return c < 9 || c == 0xb || (c >= 0xe && c < 0x20) || c == 0x7f || (c >= 0x206a && c < 0x2070) || c == 0xfeff ||
	       (c >= 0xfff9 && c < 0xfffd);
}

/* The length of ESC [ digits and semicolons, letter: a colour of a terminal. 0: none there. */
static size_t terminal_escape(const uint32_t *at, size_t left)
{
	size_t i = 2;
	if (left < 3 || at[0] != 0x1b || at[1] != '[') return 0;
	while (i < left && (at[i] == ';' || class_of_char(at[i]) == CLASS_NUMBER)) i++;
	return i < left && at[i] < 0x80 && (at[i] | 32) - 'a' < 26 ? i + 1 : 0;
}

/* Line ends become \n, terminal escapes and control characters go. Works in place: nothing grows. */
static void drop_controls(codepoints *t)
{
	size_t out = 0;
	for (size_t i = 0; i < t->count;) {
		uint32_t c = t->at[i];
		size_t escape = terminal_escape(t->at + i, t->count - i);
		if (escape) {
			i += escape;
			continue;
		}
		if (c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85) {
			i += c == '\r' && i + 1 < t->count && t->at[i + 1] == '\n';
			c = '\n';
		}
		if (!is_unwanted_control(c)) t->at[out++] = c;
		i++;
	}
	t->count = out;
}

static bool use_usual_forms(codepoints *t, error *e)
{
	codepoints out = { 0 };
	bool fine = true;
	for (size_t i = 0; fine && i < t->count; i++) fine = add_usual_form(&out, t->at[i], e);
	if (fine) codepoints_swap(t, &out);
	codepoints_free(&out);
	return fine;
}

static bool is_plain(const codepoints *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->at[i] >= 0x7f || t->at[i] == '&' || is_unwanted_control(t->at[i]) || t->at[i] == '\r') return false;
	return true;
}

static bool mend_segment(codepoints *t, const entities *names, bool unescape, error *e)
{
	codepoints before = { 0 };
	bool fine = true, same = is_plain(t);
	for (int pass = 0; fine && !same && pass < MOST_PASSES; pass++) {
		before.count = 0;
		fine = codepoints_append(&before, t->at, t->count, e) && (!unescape || html_unescape_careful(t, names, e)) &&
		       mend_encoding(t, e) && use_usual_forms(t, e);
		if (!fine) break;
		drop_controls(t);
		fine = normalize_nfc(t, e);
		same = codepoints_same(t, &before);
	}
	codepoints_free(&before);
	return fine;
}

bool mend_text(codepoints *t, const entities *names, error *e)
{
	codepoints out = { 0 }, segment = { 0 };
	bool fine = true, unescape = true;
	for (size_t i = 0; fine && i < t->count;) {
		size_t end = i;
		while (end < t->count && end - i < LONGEST_SEGMENT && t->at[end] != '\n') unescape &= t->at[end++] != '<';
		if (end < t->count && end - i < LONGEST_SEGMENT) end++; /* the newline belongs to its line */
		segment.count = 0;
		fine = codepoints_append(&segment, t->at + i, end - i, e) && mend_segment(&segment, names, unescape, e) &&
		       codepoints_append(&out, segment.at, segment.count, e);
		i = end;
	}
	if (fine) codepoints_swap(t, &out);
	codepoints_free(&segment);
	codepoints_free(&out);
	return fine;
}
