/* mojibake.c - undoes decoding with a wrong encoding: the text is written back to bytes in the encoding that fits,
 * and the bytes are read as UTF-8; where that fails for the whole, pieces that look like UTF-8 are tried alone. */
#include "text/mojibake.h"
#include "text/encodings.h"
#include "text/mend.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 16, DEEPEST = 4 };
enum { LATIN_1 = -1, SUBSTITUTE = 0x1a }; /* Latin-1 is tried before the tables of encodings.h */

typedef struct byte_text {
	uint8_t *at;
	size_t count;
} byte_text;

static bool is_sloppy(int code) { return code >= WINDOWS_1252 && code <= WINDOWS_1257; }

/* The byte that stands for c, -1 where none. Sloppy encodings keep byte 1A for a character that was lost. */
static int byte_of(int code, uint32_t c)
{
	if (is_sloppy(code) && (c == SUBSTITUTE || c == 0xfffd)) return c == 0xfffd ? SUBSTITUTE : -1;
	if (c < 0x80) return (int)c;
	if (code == LATIN_1) return c < 0x100 ? (int)c : -1;
	for (int b = 0; b < 128; b++)
		if (upper_halves[code][b] == c) return b + 128;
	return -1;
}

/* Writes the text as bytes; false where the encoding lacks a character. `out` has room for t->count bytes. */
static bool encode(int code, const codepoints *t, byte_text *out)
{
	out->count = 0;
	for (size_t i = 0; i < t->count; i++) {
		int b = byte_of(code, t->at[i]);
		if (b < 0) return false;
		out->at[out->count++] = (uint8_t)b;
	}
	return true;
}

/* ---- Bytes that were changed after the mistake ---- */

/* Sets of bytes, for the patterns below. */
typedef enum byte_set {
	NO_BYTE,
	BLANK,         /* 20, which stands for A0 */
	CONTINUATION,  /* 80-BF */
	PLAIN_FOLLOW,  /* 80-BF without 85 and A0 */
	LEAD_BLANK,    /* bytes of which one and A0 make a likely character */
	LEAD_3_BLANK,  /* E2, E3 */
	LEAD_3_LATIN,  /* E0-E3 */
	LEAD_4_COMMON, /* F0 */
	LEAD_2,        /* C2-DF */
	LEAD_2_LATIN,  /* C2, C3 */
	LEAD_3,        /* E0-EF */
	LEAD_4,        /* F0-F4 */
	LOST,          /* 1A */
	QUESTION,      /* ? */
	LOST_MARK,     /* 1A ? */
	LOST_FOLLOW,   /* 1A 80-BF */
	ANY_FOLLOW,    /* 1A ? 80-BF */
	SURROGATE,     /* ED, and what follows it in a high and in a low surrogate */
	HIGH,          /* A0-AF */
	LOW,           /* B0-BF */
} byte_set;

static bool in_set(byte_set set, uint8_t b)
{
	bool follow = b >= 0x80 && b < 0xc0;
	switch (set) {
	case NO_BYTE: return false;
	case BLANK: return b == ' ';
	case CONTINUATION: return follow;
	case PLAIN_FOLLOW: return follow && b != 0x85 && b != 0xa0;
	case LEAD_BLANK: return b == 0xc2 || b == 0xc3 || b == 0xc5 || b == 0xce || b == 0xd0 || b == 0xd9;
	case LEAD_3_BLANK: return b == 0xe2 || b == 0xe3;
	case LEAD_3_LATIN: return b >= 0xe0 && b <= 0xe3;
	case LEAD_4_COMMON: return b == 0xf0;
	case LEAD_2: return b >= 0xc2 && b <= 0xdf;
	case LEAD_2_LATIN: return b == 0xc2 || b == 0xc3;
	case LEAD_3: return b >= 0xe0 && b <= 0xef;
	case LEAD_4: return b >= 0xf0 && b <= 0xf4;
	case LOST: return b == SUBSTITUTE;
	case QUESTION: return b == '?';
	case LOST_MARK: return b == SUBSTITUTE || b == '?';
	case LOST_FOLLOW: return b == SUBSTITUTE || follow;
	case ANY_FOLLOW: return b == SUBSTITUTE || b == '?' || follow;
	case SURROGATE: return b == 0xed;
	case HIGH: return b >= 0xa0 && b < 0xb0;
	case LOW: return b >= 0xb0 && b < 0xc0;
	}
	return false;
}

typedef uint8_t pattern[7]; /* byte_sets, ended by NO_BYTE; of several the first that fits wins */

/* UTF-8 in which a no-break space became a space. */
static const pattern blanked[] = {
	{ LEAD_BLANK, BLANK },
	{ LEAD_3_BLANK, BLANK, PLAIN_FOLLOW },
	{ LEAD_3_LATIN, PLAIN_FOLLOW, BLANK },
	{ LEAD_4_COMMON, BLANK, CONTINUATION, CONTINUATION },
	{ LEAD_4_COMMON, CONTINUATION, BLANK, CONTINUATION },
	{ LEAD_4_COMMON, CONTINUATION, CONTINUATION, BLANK },
};

/* UTF-8 of which a byte was lost. */
static const pattern lossy[] = {
	{ LEAD_2, LOST },
	{ LEAD_2_LATIN, QUESTION },
	{ SURROGATE, HIGH, LOST_MARK, SURROGATE, LOW, ANY_FOLLOW },
	{ SURROGATE, HIGH, ANY_FOLLOW, SURROGATE, LOW, LOST_MARK },
	{ LEAD_3, LOST_MARK, LOST_FOLLOW },
	{ LEAD_3, LOST_FOLLOW, LOST_MARK },
	{ LEAD_4, LOST_MARK, LOST_FOLLOW, LOST_FOLLOW },
	{ LEAD_4, LOST_FOLLOW, LOST_MARK, LOST_FOLLOW },
	{ LEAD_4, LOST_FOLLOW, LOST_FOLLOW, LOST_MARK },
	{ LOST },
};

/* The length of the first pattern that fits at `at`, 0 where none does. */
static size_t match_bytes(const pattern *patterns, size_t count, const uint8_t *at, size_t left)
{
	for (size_t p = 0; p < count; p++) {
		size_t n = 0;
		while (n < left && patterns[p][n] != NO_BYTE && in_set((byte_set)patterns[p][n], at[n])) n++;
		if (patterns[p][n] == NO_BYTE) return n;
	}
	return 0;
}

#define MATCH(patterns, at, left) match_bytes(patterns, sizeof(patterns) / sizeof *(patterns), at, left)

/* "Ã la" is "à la": C3 20 gets its A0 and keeps the space, but for "às " and "àquele", "àquela", "àquilo". */
static bool is_a_grave_word(const uint8_t *at, size_t left)
{
	static const char *const joined[] = { " ", "quele", "quela", "quilo", "s " };
	if (left < 2 || at[0] != 0xc3 || at[1] != ' ') return false;
	for (size_t i = 0; i < sizeof joined / sizeof *joined; i++) {
		size_t n = strlen(joined[i]);
		if (left - 2 >= n && !memcmp(at + 2, joined[i], n)) return false;
	}
	return true;
}

/* Puts back the A0 that became 20 where that makes UTF-8. `to` has room for twice the bytes. */
static void restore_blanks(const byte_text *from, byte_text *to)
{
	size_t n = 0;
	for (size_t i = 0; i < from->count; i++) {
		to->at[n++] = from->at[i];
		if (is_a_grave_word(from->at + i, from->count - i)) to->at[n++] = 0xa0;
	}
	to->count = n;
	for (size_t i = 0; i < n; i++) {
		size_t length = MATCH(blanked, to->at + i, n - i);
		for (size_t k = i; k < i + length; k++)
			if (to->at[k] == ' ') to->at[k] = 0xa0;
		if (length) i += length - 1;
	}
}

static bool has_blanked(const byte_text *b)
{
	for (size_t i = 0; i < b->count; i++)
		if (MATCH(blanked, b->at + i, b->count - i)) return true;
	return false;
}

/* A sequence that lost a byte becomes U+FFFD. `to` has room for three times the bytes. */
static void replace_lossy(const byte_text *from, byte_text *to)
{
	to->count = 0;
	for (size_t i = 0; i < from->count;) {
		size_t length = MATCH(lossy, from->at + i, from->count - i);
		if (length) {
			memcpy(to->at + to->count, "\xef\xbf\xbd", 3);
			to->count += 3;
			i += length;
		} else {
			to->at[to->count++] = from->at[i++];
		}
	}
}

/* ---- Decoding ---- */

/* A character of UTF-8, or of its variants: C0 80 for zero, and surrogate pairs of three bytes each (CESU-8). */
static size_t decode_variant(const uint8_t *at, size_t left, uint32_t *c)
{
	if (left >= 2 && at[0] == 0xc0 && at[1] == 0x80) return *c = 0, 2;
	if (left >= 6 && at[0] == 0xed && in_set(HIGH, at[1]) && in_set(CONTINUATION, at[2]) && at[3] == 0xed &&
	    in_set(LOW, at[4]) && in_set(CONTINUATION, at[5])) {
		*c = 0x10000 + ((at[1] & 0xfu) << 16) + ((at[2] & 0x3fu) << 10) + ((at[4] & 0xfu) << 6) + (at[5] & 0x3fu);
		return 6;
	}
	return utf8_decode(at, left, c);
}

/* Sets *valid to whether all of it is UTF-8; false where memory ran out. */
static bool decode(const byte_text *b, codepoints *out, bool *valid, error *e)
{
	out->count = 0;
	*valid = true;
	for (size_t i = 0; i < b->count;) {
		uint32_t c;
		size_t n = decode_variant(b->at + i, b->count - i, &c);
		if (!n) return !(*valid = false);
		if (!codepoints_add(out, c, e)) return false;
		i += n;
	}
	return true;
}

/* Tries the encodings one by one for the whole text; *changed where one gave UTF-8. `room` has 9 times the bytes. */
static bool try_encodings(codepoints *t, uint8_t *room, bool *changed, error *e)
{
	codepoints out = { 0 };
	bool fine = true;
	*changed = false;
	for (int code = LATIN_1; fine && !*changed && code < ENCODINGS; code++) {
		byte_text bytes = { room, 0 }, restored = { room + t->count, 0 }, replaced = { room + 3 * t->count, 0 };
		if (!encode(code, t, &bytes)) continue;
		byte_text *last = &bytes;
		if (code != MAC_ROMAN && has_blanked(&bytes)) restore_blanks(&bytes, last = &restored);
		if (is_sloppy(code)) {
			replace_lossy(last, &replaced);
			last = &replaced;
		}
		fine = decode(last, &out, changed, e);
	}
	if (fine && *changed) codepoints_swap(t, &out);
	codepoints_free(&out);
	return fine;
}

/* ---- Pieces ---- */

/* Whether some encoding near Latin-1 has c at a byte from `first` to `last`. */
static bool is_byte_between(uint32_t c, int first, int last)
{
	if (c < 0x80) return false;
	if (c >= (uint32_t)first && c <= (uint32_t)last) return true;
	for (int code = WINDOWS_1252; code <= WINDOWS_1257; code++)
		for (int b = first; b <= last; b++)
			if (upper_halves[code][b - 128] == c) return true;
	return false;
}

static bool is_continuation(uint32_t c) { return c == ' ' || is_byte_between(c, 0x80, 0xbf); }

/* Those that do not usually stand for themselves next to mojibake: not dashes, quotation marks, the bullet, dots. */
static bool is_strict_continuation(uint32_t c)
{
	bool common = (c >= 0x2013 && c <= 0x2015) || c == 0x2018 || c == 0x2019 || c == 0x201a || c == 0x201c ||
	              c == 0x201d || c == 0x201e || c == 0x2022 || c == 0x2026;
	return !common && is_byte_between(c, 0x80, 0xbf);
}

/* The length of the sequences that look like UTF-8, one after the other, at `at`. */
static size_t match_utf8_like(const uint32_t *at, size_t left)
{
	size_t n = 0;
	for (;;) {
		size_t follow = 0, room = left - n;
		while (follow < 3 && follow + 1 < room && is_continuation(at[n + 1 + follow])) follow++;
		if (!follow) return n;
		if (is_byte_between(at[n], 0xc2, 0xdf))
			n += 2;
		else if (follow > 1 && is_byte_between(at[n], 0xe0, 0xef))
			n += 3;
		else if (follow > 2 && (is_byte_between(at[n], 0xf0, 0xf0) || is_byte_between(at[n], 0xf3, 0xf3)))
			n += 4;
		else
			return n;
	}
}

static bool mend_to_depth(codepoints *t, int depth, error *e);

/* Mends the pieces that look like UTF-8 and wrong, each alone. */
static bool mend_pieces(codepoints *t, int depth, bool *changed, error *e)
{
	codepoints out = { 0 }, piece = { 0 };
	bool fine = true;
	for (size_t i = 0; fine && i < t->count;) {
		size_t n = t->at[i] < 0x80 || (i && is_strict_continuation(t->at[i - 1]))
		               ? 0
		               : match_utf8_like(t->at + i, t->count - i);
		if (n && n < t->count && looks_wrong(t->at + i, n)) {
			piece.count = 0;
			fine = codepoints_append(&piece, t->at + i, n, e) && mend_to_depth(&piece, depth + 1, e) &&
			       codepoints_append(&out, piece.at, piece.count, e);
		} else {
			fine = codepoints_append(&out, t->at + i, n ? n : 1, e);
		}
		i += n ? n : 1;
	}
	*changed = fine && !codepoints_same(&out, t);
	if (*changed) codepoints_swap(t, &out);
	codepoints_free(&out);
	codepoints_free(&piece);
	return fine;
}

/* Latin-1 controls mean Windows-1252, as browsers have it. */
static void read_controls(codepoints *t, bool *changed)
{
	*changed = false;
	for (size_t i = 0; i < t->count; i++) {
		uint32_t c = t->at[i];
		if (c < 0x80 || c >= 0xa0) continue;
		t->at[i] = windows_1252[c - 0x80];
		*changed |= t->at[i] != c;
	}
}

static bool mend_step(codepoints *t, int depth, bool *changed, error *e)
{
	size_t plain = 0;
	*changed = false;
	while (plain < t->count && t->at[plain] < 0x80) plain++;
	if (plain == t->count || !looks_wrong(t->at, t->count)) return true;
	uint8_t *room = t->count < SIZE_MAX / 9 ? malloc(t->count * 9) : NULL;
	if (!room) return fail(e, NO_MEMORY, "no memory to mend a text of %zu characters", t->count);
	bool fine = try_encodings(t, room, changed, e);
	free(room);
	if (fine && !*changed && depth < DEEPEST) fine = mend_pieces(t, depth, changed, e);
	if (fine && !*changed) read_controls(t, changed);
	return fine;
}

static bool mend_to_depth(codepoints *t, int depth, error *e)
{
	bool changed = true;
	for (int step = 0; changed && step < MOST_STEPS; step++)
		if (!mend_step(t, depth, &changed, e)) return false;
	return true;
}

bool mend_encoding(codepoints *t, error *e) { return mend_to_depth(t, 0, e); }
