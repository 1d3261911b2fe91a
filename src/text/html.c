/* html.c - numeric and named character references. */
#include "text/html.h"
#include "text/packed.h"
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 33 }; /* 32 characters and a semicolon */

const uint16_t windows_1252[32] = { 0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160,
	0x2039, 0x152, 0x8d, 0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc, 0x2122,
	0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178 };

struct entities {
	char *text;         /* lines "name; hex [hex]", each ended by a zero */
	const char **lines; /* sorted */
	size_t count;
};

entities *entities_open(error *e)
{
	entities *names = calloc(1, sizeof *names);
	if (!names) return fail(e, NO_MEMORY, "no memory for the HTML character names"), NULL;
	names->text = (char *)unpack(&html_entities, e);
	if (!names->text) goto failure;
	size_t lines = 0, size = html_entities.size;
	for (size_t i = 0; i < size; i++) lines += names->text[i] == '\n';
	names->lines = malloc(lines * sizeof *names->lines);
	if (!names->lines) {
		fail(e, NO_MEMORY, "no memory for %zu HTML character names", lines);
		goto failure;
	}
	for (char *p = names->text; names->count < lines; p = strchr(p, 0) + 1) {
		names->lines[names->count++] = p;
		*strchr(p, '\n') = 0;
	}
	return names;
failure:
	entities_close(names);
	return NULL;
}

void entities_close(entities *names)
{
	if (!names) return;
	free(names->text);
	free(names->lines);
	free(names);
}

/* Compares a name with the front of a line, which a space ends. */
static int compare_name(const char *name, size_t length, const char *line)
{
	int order = strncmp(name, line, length);
	return order ? order : ' ' - line[length];
}

/* Appends what the name stands for; returns false in *found where it stands for nothing. */
static bool add_named(codepoints *out, const entities *names, const char *name, size_t length, bool *found, error *e)
{
	size_t low = 0, high = names->count;
	*found = false;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = compare_name(name, length, names->lines[middle]);
		if (!order) {
			*found = true;
			const char *p = names->lines[middle] + length;
			while (*p == ' ') {
				char *end;
				if (!codepoints_add(out, (uint32_t)strtoul(p + 1, &end, 16), e)) return false;
				p = end;
			}
			return true;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return true;
}

static bool is_digit(uint32_t c, unsigned base)
{
	return c - '0' < 10 || (base == 16 && ((c | 32) >= 'a' && (c | 32) <= 'f' && c < 0x80));
}

/* What a browser makes of &#number; (HTML standard, "numeric character reference end state"); Python drops the
 * code points that are no characters. */
static bool add_number(codepoints *out, uint32_t v, error *e)
{
	if (v >= 0x80 && v < 0xa0) return codepoints_add(out, windows_1252[v - 0x80], e);
	if (!v || (v >= 0xd800 && v < 0xe000) || v > 0x10ffff) return codepoints_add(out, 0xfffd, e);
	if (v < 9 || v == 0xb || (v >= 0xe && v < 0x20) || v == 0x7f || (v >= 0xfdd0 && v < 0xfdf0) ||
	    (v & 0xfffe) == 0xfffe)
		return true;
	return codepoints_add(out, v, e);
}

/* Reads "#123" or "#x1F" at `at`; returns the characters read, 0 where it is no number. */
static size_t read_number(const uint32_t *at, size_t left, uint32_t *value)
{
	if (left < 2 || at[0] != '#') return 0;
	unsigned base = (at[1] | 32) == 'x' ? 16 : 10;
	size_t start = base == 16 ? 2 : 1, i = start;
	for (*value = 0; i < left && is_digit(at[i], base); i++) {
		uint32_t digit = at[i] - '0' < 10 ? at[i] - '0' : (at[i] | 32) - 'a' + 10;
		if (*value <= 0x10ffff) *value = *value * base + digit;
	}
	return i > start ? i : 0;
}

/* The longest name at `at` by html.unescape's pattern, as ASCII (others become a byte that no name has). */
static size_t read_name(const uint32_t *at, size_t left, char name[LONGEST_NAME + 1])
{
	size_t n = 0;
	for (; n < left && n < 32; n++) {
		uint32_t c = at[n];
		if (c == '\t' || c == '\n' || c == '\f' || c == ' ' || c == '<' || c == '&' || c == '#' || c == ';') break;
		name[n] = c < 0x80 && c != '!' ? (char)c : 1;
	}
	if (n && n < left && at[n] == ';') name[n++] = ';';
	name[n] = 0;
	return n;
}

/* Handles the reference after the '&' at `at`; *used is 0 where there is none. */
static bool add_reference(
    codepoints *out, const entities *names, const uint32_t *at, size_t left, size_t *used, error *e)
{
	uint32_t value;
	*used = read_number(at, left, &value);
	if (*used) {
		if (*used < left && at[*used] == ';') ++*used;
		return add_number(out, value, e);
	}
	char name[LONGEST_NAME + 1];
	size_t length = read_name(at, left, name);
	for (size_t n = length; n > 1; n--) {
		bool found;
		if (!add_named(out, names, name, n, &found, e)) return false;
		if (found) return *used = n, true;
	}
	return true;
}

/* The same by ftfy's pattern &#?[0-9A-Za-z]{1,24}; */
static bool add_careful_reference(
    codepoints *out, const entities *names, const uint32_t *at, size_t left, size_t *used, error *e)
{
	char name[LONGEST_NAME + 1] = "!";
	uint32_t value;
	size_t hash = left && at[0] == '#', n = hash;
	*used = 0;
	for (; n < left && n - hash < 24 && at[n] < 0x80 && (is_digit(at[n], 10) || (at[n] | 32) - 'a' < 26); n++)
		name[n + 1 - hash] = (char)at[n];
	if (n == hash || n == left || at[n] != ';') return true;
	if (hash) {
		if (read_number(at, left, &value) != n || value == ';') return true;
		*used = n + 1;
		return add_number(out, value, e);
	}
	bool found;
	name[n + 1] = ';';
	if (!add_named(out, names, name + 1, n + 1, &found, e)) return false;
	if (!found && !add_named(out, names, name, n + 2, &found, e)) return false;
	if (found) *used = n + 1;
	return true;
}

typedef bool reference_reader(codepoints *, const entities *, const uint32_t *, size_t, size_t *, error *);

static bool unescape(codepoints *t, const entities *names, reference_reader *read, error *e)
{
	size_t first = 0;
	while (first < t->count && t->at[first] != '&') first++;
	if (first == t->count) return true;
	codepoints out = { 0 };
	bool fine = codepoints_append(&out, t->at, first, e);
	for (size_t i = first; fine && i < t->count;) {
		size_t used = 0;
		if (t->at[i] == '&') fine = read(&out, names, t->at + i + 1, t->count - i - 1, &used, e);
		if (used)
			i += 1 + used;
		else
			fine = fine && codepoints_add(&out, t->at[i++], e);
	}
	if (fine) codepoints_swap(t, &out);
	codepoints_free(&out);
	return fine;
}

bool html_unescape(codepoints *t, const entities *names, error *e) { return unescape(t, names, add_reference, e); }

bool html_unescape_careful(codepoints *t, const entities *names, error *e)
{
	return unescape(t, names, add_careful_reference, e);
}
