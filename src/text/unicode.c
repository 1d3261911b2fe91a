/* unicode.c - look-ups in the tables, case mapping, and normalization (UAX 15). */
#include "text/unicode.h"
#include "text/tables/unicode_tables.h"

static uint8_t value_at(const value_run *runs, size_t count, uint32_t c)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (c > runs[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && c >= runs[low].first ? runs[low].value : 0;
}

char_class class_of_char(uint32_t c)
{
	if (c - 'a' < 26 || c - 'A' < 26) return CLASS_LETTER; /* most of every prompt */
	return (char_class)value_at(class_runs, class_runs_count, c);
}

grapheme_class grapheme_class_of(uint32_t c)
{
	return (grapheme_class)value_at(grapheme_runs, grapheme_runs_count, c);
}

bool is_white_space(uint32_t c)
{
	if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
	return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
	       c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_python_space(uint32_t c) { return is_white_space(c) || (c >= 0x1c && c <= 0x1f); }

static uint32_t lower_of(uint32_t c)
{
	if (c < 0x80) return c - 'A' < 26 ? c + 32 : c;
	size_t low = 0, high = lower_runs_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (c > lower_runs[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	const lower_run *r = &lower_runs[low];
	if (low == lower_runs_count || c < r->first || (c - r->first) % r->step) return c;
	return (uint32_t)((int32_t)c + r->distance);
}

static bool is_cased(uint32_t c) { return value_at(casing_runs, casing_runs_count, c) & 1; }
static bool is_case_ignorable(uint32_t c) { return value_at(casing_runs, casing_runs_count, c) & 2; }

/* Final_Sigma of SpecialCasing: a cased letter before it, none after it, case-ignorable ones not counted. `before`
 * is whether the last character before i that is not ignorable is cased. */
static bool is_final_sigma(const codepoints *t, size_t i, bool before)
{
	if (!before) return false;
	for (i++; i < t->count; i++)
		if (!is_case_ignorable(t->at[i])) return !is_cased(t->at[i]);
	return true;
}

bool lower_case(codepoints *t, bool final_sigma, error *e)
{
	codepoints out = { 0 };
	bool before = false, fine = true;
	for (size_t i = 0; fine && i < t->count; i++) {
		uint32_t c = t->at[i];
		if (c == 0x130)
			fine = codepoints_add(&out, 'i', e) && codepoints_add(&out, 0x307, e);
		else if (c == 0x3a3)
			fine = codepoints_add(&out, final_sigma && is_final_sigma(t, i, before) ? 0x3c2 : 0x3c3, e);
		else
			fine = codepoints_add(&out, lower_of(c), e);
		if (!is_case_ignorable(c)) before = is_cased(c);
	}
	if (fine) codepoints_swap(t, &out);
	codepoints_free(&out);
	return fine;
}

/* ---- Normalization ---- */

enum { S_BASE = 0xAC00, L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11A7, L_COUNT = 19, V_COUNT = 21, T_COUNT = 28 };
enum { S_COUNT = L_COUNT * V_COUNT * T_COUNT };

static uint8_t combining_class(uint32_t c) { return c < 0x300 ? 0 : value_at(combining_runs, combining_runs_count, c); }

static const decomposed_char *decomposition_of(uint32_t c)
{
	if (c < 0xc0) return NULL;
	size_t low = 0, high = decompositions_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (decompositions[middle].composed < c)
			low = middle + 1;
		else
			high = middle;
	}
	return low < decompositions_count && decompositions[low].composed == c ? &decompositions[low] : NULL;
}

static bool add_decomposed(codepoints *out, uint32_t c, error *e)
{
	if (c >= S_BASE && c < S_BASE + S_COUNT) {
		uint32_t s = c - S_BASE, trailing = s % T_COUNT;
		return codepoints_add(out, L_BASE + s / (V_COUNT * T_COUNT), e) &&
		       codepoints_add(out, V_BASE + s / T_COUNT % V_COUNT, e) &&
		       (!trailing || codepoints_add(out, T_BASE + trailing, e));
	}
	const decomposed_char *d = decomposition_of(c);
	if (!d) return codepoints_add(out, c, e);
	return add_decomposed(out, d->first, e) && (!d->second || add_decomposed(out, d->second, e));
}

/* Sorts a run of marks by combining class, stably. Runs are short in any language; a long one, made to be slow,
 * is counted into place instead. */
static bool sort_marks(uint32_t *at, size_t n, error *e)
{
	if (n > 32) {
		codepoints sorted = { 0 };
		bool fine = true;
		bool present[256] = { false };
		for (size_t i = 0; i < n; i++) present[combining_class(at[i])] = true;
		for (unsigned k = 1; k < 256; k++)
			for (size_t i = 0; present[k] && fine && i < n; i++)
				if (combining_class(at[i]) == k) fine = codepoints_add(&sorted, at[i], e);
		for (size_t i = 0; fine && i < n; i++) at[i] = sorted.at[i];
		codepoints_free(&sorted);
		return fine;
	}
	for (size_t i = 1; i < n; i++) {
		uint32_t c = at[i];
		size_t k = i;
		for (; k && combining_class(at[k - 1]) > combining_class(c); k--) at[k] = at[k - 1];
		at[k] = c;
	}
	return true;
}

bool normalize_nfd(codepoints *t, error *e)
{
	codepoints out = { 0 };
	bool fine = true;
	for (size_t i = 0; fine && i < t->count; i++) fine = add_decomposed(&out, t->at[i], e);
	for (size_t i = 0; fine && i < out.count;) {
		size_t end = i;
		while (end < out.count && combining_class(out.at[end])) end++;
		if (end > i + 1) fine = sort_marks(out.at + i, end - i, e);
		i = end + 1;
	}
	if (fine) codepoints_swap(t, &out);
	codepoints_free(&out);
	return fine;
}

/* The primary composite of two characters, 0 where there is none. */
static uint32_t composite_of(uint32_t a, uint32_t b)
{
	if (a >= L_BASE && a < L_BASE + L_COUNT && b >= V_BASE && b < V_BASE + V_COUNT)
		return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
	if (a >= S_BASE && a < S_BASE + S_COUNT && (a - S_BASE) % T_COUNT == 0 && b > T_BASE && b < T_BASE + T_COUNT)
		return a + (b - T_BASE);
	size_t low = 0, high = compositions_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		const decomposed_char *d = &decompositions[compositions[middle]];
		if (d->first == a && d->second == b) return d->composed;
		if (d->first < a || (d->first == a && d->second < b))
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

bool normalize_nfc(codepoints *t, error *e)
{
	size_t ascii = 0;
	while (ascii < t->count && t->at[ascii] < 0xc0) ascii++;
	if (ascii == t->count) return true;
	if (!normalize_nfd(t, e)) return false;
	size_t out = 0, starter = SIZE_MAX;
	uint8_t last = 0; /* class of the last character kept after the starter */
	for (size_t i = 0; i < t->count; i++) {
		uint32_t c = t->at[i], joined = 0;
		uint8_t k = combining_class(c);
		bool adjacent = starter != SIZE_MAX && starter + 1 == out;
		if (starter != SIZE_MAX && (adjacent || last < k)) joined = composite_of(t->at[starter], c);
		if (joined) {
			t->at[starter] = joined;
			continue;
		}
		if (!k) starter = out;
		last = k;
		t->at[out++] = c;
	}
	t->count = out;
	return true;
}
