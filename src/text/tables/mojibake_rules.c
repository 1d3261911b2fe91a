/* mojibake_rules.c - which neighbours betray a wrong encoding: the categories of characters and the sequences of them
 * that ftfy's badness heuristic counts, as data. */
#include "text/mojibake.h"
#include "text/unicode.h"
#include <string.h>

enum {
	COMMON = 1 << 0, /* harmless in many places */
	C1 = 1 << 1,
	BAD = 1 << 2, /* hardly ever meant */
	LAW = 1 << 3,
	CURRENCY = 1 << 4,
	OPENING = 1 << 5, /* punctuation at the start of something */
	CLOSING = 1 << 6, /* and at the end */
	NUMERIC = 1 << 7,
	KAOMOJI = 1 << 8, /* letters that faces are made of */
	UPPER_ACCENTED = 1 << 9,
	LOWER_ACCENTED = 1 << 10,
	UPPER_COMMON = 1 << 11,
	LOWER_COMMON = 1 << 12,
	BOX = 1 << 13,
	/* Found by the character itself. */
	LATIN_LOWER = 1 << 14,
	LATIN_UPPER = 1 << 15,
	NOT_LATIN = 1 << 16, /* anything but the 52 letters of ASCII */
	SPACE = 1 << 17,
	WORD = 1 << 18,
	SAME_LINE = 1 << 19, /* anything but a newline */
	START = 1 << 20,     /* no character: the start of the text */
	OPTIONAL = 1 << 21,  /* the element may be absent */
};
enum { ACCENTED = LOWER_ACCENTED | UPPER_ACCENTED, LATIN = LATIN_LOWER | LATIN_UPPER };

static const struct {
	uint16_t first, last, classes;
} categories[] = {
	/* clang-format off */
	{ 0x80, 0x9f, C1 }, { 0xa0, 0xa0, COMMON }, { 0xa1, 0xa1, OPENING }, { 0xa2, 0xa3, CURRENCY },
	{ 0xa4, 0xa4, BAD }, { 0xa5, 0xa5, CURRENCY }, { 0xa6, 0xa6, BAD }, { 0xa7, 0xa7, LAW }, { 0xa8, 0xa8, BAD },
	{ 0xa9, 0xa9, OPENING }, { 0xaa, 0xaa, BAD }, { 0xab, 0xab, OPENING }, { 0xac, 0xac, BAD },
	{ 0xad, 0xad, COMMON }, { 0xae, 0xae, CLOSING }, { 0xaf, 0xaf, BAD }, { 0xb0, 0xb0, KAOMOJI },
	{ 0xb1, 0xb3, NUMERIC }, { 0xb4, 0xb4, COMMON }, { 0xb5, 0xb5, NUMERIC }, { 0xb6, 0xb6, LAW },
	{ 0xb7, 0xb7, COMMON }, { 0xb8, 0xb8, BAD }, { 0xb9, 0xb9, NUMERIC }, { 0xba, 0xba, BAD },
	{ 0xbb, 0xbb, CLOSING }, { 0xbc, 0xbe, NUMERIC }, { 0xbf, 0xbf, OPENING }, { 0xc0, 0xd1, UPPER_ACCENTED },
	{ 0xd2, 0xd6, KAOMOJI }, { 0xd7, 0xd7, NUMERIC }, { 0xd8, 0xd8, UPPER_ACCENTED }, { 0xd9, 0xdb, KAOMOJI },
	{ 0xdc, 0xdc, KAOMOJI | UPPER_ACCENTED }, { 0xdd, 0xdd, UPPER_ACCENTED }, { 0xde, 0xde, UPPER_COMMON },
	{ 0xdf, 0xf1, LOWER_ACCENTED }, { 0xf2, 0xf6, KAOMOJI }, { 0xf7, 0xf7, NUMERIC }, { 0xf8, 0xfb, KAOMOJI },
	{ 0xfc, 0xfc, KAOMOJI | LOWER_ACCENTED }, { 0x100, 0x100, UPPER_ACCENTED }, { 0x101, 0x101, LOWER_ACCENTED },
	{ 0x102, 0x102, UPPER_ACCENTED }, { 0x103, 0x103, LOWER_ACCENTED }, { 0x104, 0x104, UPPER_ACCENTED },
	{ 0x105, 0x105, LOWER_ACCENTED }, { 0x106, 0x106, UPPER_ACCENTED }, { 0x107, 0x107, LOWER_ACCENTED },
	{ 0x10c, 0x10c, UPPER_ACCENTED }, { 0x10d, 0x10d, LOWER_ACCENTED }, { 0x10e, 0x10e, UPPER_ACCENTED },
	{ 0x10f, 0x10f, LOWER_ACCENTED }, { 0x110, 0x110, UPPER_ACCENTED }, { 0x111, 0x111, LOWER_ACCENTED },
	{ 0x112, 0x112, UPPER_ACCENTED }, { 0x113, 0x113, LOWER_ACCENTED }, { 0x116, 0x116, UPPER_ACCENTED },
	{ 0x117, 0x117, LOWER_ACCENTED }, { 0x118, 0x118, UPPER_ACCENTED }, { 0x119, 0x119, LOWER_ACCENTED },
	{ 0x11a, 0x11a, UPPER_ACCENTED }, { 0x11b, 0x11b, LOWER_ACCENTED }, { 0x11e, 0x11e, UPPER_ACCENTED },
	{ 0x11f, 0x11f, LOWER_ACCENTED }, { 0x122, 0x122, UPPER_ACCENTED }, { 0x123, 0x123, LOWER_ACCENTED },
	{ 0x12a, 0x12a, UPPER_ACCENTED }, { 0x12b, 0x12b, LOWER_ACCENTED }, { 0x12f, 0x12f, LOWER_ACCENTED },
	{ 0x130, 0x130, UPPER_ACCENTED }, { 0x136, 0x136, UPPER_ACCENTED }, { 0x137, 0x137, LOWER_ACCENTED },
	{ 0x139, 0x139, UPPER_ACCENTED }, { 0x13a, 0x13a, LOWER_ACCENTED }, { 0x13b, 0x13b, UPPER_ACCENTED },
	{ 0x13c, 0x13c, LOWER_ACCENTED }, { 0x13d, 0x13d, UPPER_ACCENTED }, { 0x13e, 0x13e, LOWER_ACCENTED },
	{ 0x141, 0x141, UPPER_ACCENTED }, { 0x142, 0x142, LOWER_ACCENTED }, { 0x143, 0x143, UPPER_ACCENTED },
	{ 0x145, 0x145, UPPER_ACCENTED }, { 0x147, 0x147, UPPER_ACCENTED }, { 0x14c, 0x14c, KAOMOJI },
	{ 0x150, 0x150, KAOMOJI }, { 0x152, 0x152, UPPER_ACCENTED }, { 0x153, 0x153, LOWER_ACCENTED },
	{ 0x155, 0x155, LOWER_ACCENTED }, { 0x158, 0x158, UPPER_ACCENTED }, { 0x15a, 0x15a, UPPER_ACCENTED },
	{ 0x15b, 0x15b, LOWER_ACCENTED }, { 0x15e, 0x15e, UPPER_ACCENTED }, { 0x15f, 0x15f, LOWER_ACCENTED },
	{ 0x160, 0x160, UPPER_ACCENTED }, { 0x161, 0x161, LOWER_ACCENTED }, { 0x162, 0x162, UPPER_ACCENTED },
	{ 0x164, 0x164, UPPER_ACCENTED }, { 0x165, 0x165, LOWER_ACCENTED }, { 0x16a, 0x16a, KAOMOJI },
	{ 0x16e, 0x16e, UPPER_ACCENTED }, { 0x170, 0x170, UPPER_ACCENTED }, { 0x172, 0x172, KAOMOJI },
	{ 0x178, 0x179, UPPER_ACCENTED }, { 0x17a, 0x17a, LOWER_ACCENTED }, { 0x17b, 0x17b, UPPER_ACCENTED },
	{ 0x17c, 0x17c, LOWER_ACCENTED }, { 0x17d, 0x17d, UPPER_ACCENTED }, { 0x17e, 0x17e, LOWER_ACCENTED },
	{ 0x192, 0x192, BAD }, { 0x2c6, 0x2c7, BAD }, { 0x2d8, 0x2d8, BAD }, { 0x2db, 0x2dc, BAD },
	{ 0x2dd, 0x2dd, CLOSING }, { 0x384, 0x385, OPENING }, { 0x386, 0x386, UPPER_COMMON },
	{ 0x388, 0x38a, UPPER_COMMON }, { 0x38c, 0x38c, UPPER_COMMON }, { 0x38e, 0x38f, UPPER_COMMON },
	{ 0x391, 0x3ab, UPPER_COMMON }, { 0x3ac, 0x3c9, LOWER_COMMON }, { 0x401, 0x42f, UPPER_COMMON },
	{ 0x430, 0x45f, LOWER_COMMON }, { 0x490, 0x490, UPPER_ACCENTED }, { 0x491, 0x491, LOWER_ACCENTED },
	{ 0x2013, 0x2015, COMMON }, { 0x2018, 0x2018, OPENING }, { 0x2019, 0x2019, COMMON }, { 0x201a, 0x201a, OPENING },
	{ 0x201c, 0x201c, OPENING }, { 0x201d, 0x201d, CLOSING }, { 0x201e, 0x201e, OPENING }, { 0x2020, 0x2021, BAD },
	{ 0x2022, 0x2022, OPENING }, { 0x2026, 0x2026, COMMON }, { 0x2030, 0x2030, BAD }, { 0x2039, 0x2039, OPENING },
	{ 0x203a, 0x203a, CLOSING }, { 0x2044, 0x2044, NUMERIC }, { 0x20a7, 0x20a7, CURRENCY },
	{ 0x20ac, 0x20ac, CURRENCY }, { 0x2116, 0x2116, NUMERIC }, { 0x2122, 0x2122, CLOSING },
	{ 0x2202, 0x2202, NUMERIC }, { 0x2206, 0x2206, NUMERIC }, { 0x220f, 0x220f, NUMERIC },
	{ 0x2211, 0x2211, NUMERIC }, { 0x221a, 0x221a, NUMERIC }, { 0x221e, 0x221e, NUMERIC },
	{ 0x2229, 0x2229, NUMERIC }, { 0x222b, 0x222b, NUMERIC }, { 0x2248, 0x2248, NUMERIC },
	{ 0x2260, 0x2261, NUMERIC }, { 0x2264, 0x2265, NUMERIC }, { 0x2310, 0x2310, BAD }, { 0x2502, 0x2502, BOX },
	{ 0x250c, 0x250c, BOX }, { 0x2510, 0x2510, BOX }, { 0x2518, 0x2518, BOX }, { 0x251c, 0x251c, BOX },
	{ 0x2524, 0x2524, BOX }, { 0x252c, 0x252c, BOX }, { 0x253c, 0x253c, BOX }, { 0x2550, 0x256c, BOX },
	{ 0x2580, 0x2580, BOX }, { 0x2584, 0x2584, BOX }, { 0x2588, 0x2588, BOX }, { 0x258c, 0x258c, BOX },
	{ 0x2590, 0x2593, BOX }, { 0x25ca, 0x25ca, BAD }, { 0xf8ff, 0xf8ff, OPENING },
	{ 0xfb01, 0xfb02, LOWER_ACCENTED }, { 0xfffd, 0xfffd, BAD },
	/* clang-format on */
};

/* One character of a sequence: of one of the classes, or one of the characters listed. */
typedef struct element {
	uint32_t classes;
	const char *characters;
} element;

enum { LONGEST_RULE = 7 };

/* The elements end with an empty one. */
static const element rules[][LONGEST_RULE + 1] = {
	{ { C1, "" } },
	{ { BAD | ACCENTED | BOX | OPENING | CLOSING | CURRENCY | NUMERIC | LAW, "" }, { BAD, "" } },
	{ { LATIN, "" }, { LOWER_COMMON | UPPER_COMMON, "" }, { BAD, "" } },
	{ { BAD, "" }, { ACCENTED | BOX | OPENING | CLOSING | CURRENCY | NUMERIC | LAW, "" } },
	{ { LOWER_ACCENTED | LOWER_COMMON | BOX | CLOSING | CURRENCY | NUMERIC, "" }, { UPPER_ACCENTED, "" } },
	{ { BOX | CLOSING | CURRENCY | NUMERIC, "" }, { LOWER_ACCENTED, "" } },
	{ { LOWER_ACCENTED | BOX | CLOSING, "" }, { CURRENCY, "" } },
	{ { SPACE, "" }, { UPPER_ACCENTED, "" }, { CURRENCY, "" } },
	{ { UPPER_ACCENTED | BOX, "" }, { NUMERIC | LAW, "" } },
	{ { ACCENTED | BOX | CURRENCY | CLOSING, "" }, { OPENING, "" }, { NUMERIC, "" } },
	{ { ACCENTED | CURRENCY | NUMERIC | BOX | LAW, "" }, { CLOSING, "" }, { OPENING, "" } },
	{ { CURRENCY | NUMERIC | BOX, "" }, { OPENING, "" } },
	{ { LATIN_LOWER, "" }, { UPPER_ACCENTED, "" }, { OPENING | CURRENCY, "" } },
	{ { BOX, "" }, { KAOMOJI, "" } },
	{ { ACCENTED | CURRENCY | NUMERIC | OPENING | CLOSING | LAW, "" }, { BOX, "" } },
	{ { BOX, "" }, { CLOSING, "" } },
	{ { ACCENTED, "" }, { OPENING | CLOSING, "" }, { WORD, "" } },
	{ { 0, "Œœ" }, { NOT_LATIN, "" } },
	{ { UPPER_ACCENTED, "" }, { 0, "°" } },
	/* Windows-1252, two characters; then its Arabic and South Asian */
	{ { 0, "ÂÃÎÐ" }, { OPENING | CLOSING, "€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´" } },
	{ { 0, "×" }, { 0, "²³" } },
	{ { 0, "ØÙ" }, { COMMON | CURRENCY | BAD | NUMERIC | OPENING, "ŸŠ®°µ»" }, { 0, "ØÙ" },
	    { COMMON | CURRENCY | BAD | NUMERIC | OPENING, "ŸŠ®°µ»" } },
	{ { 0, "à" }, { 0, "²µ¹¼½¾" } },
	/* Mac Roman */
	{ { 0, "√" }, { 0, "±∂†≠®™´≤≥¥µø" } },
	{ { 0, "≈" }, { 0, "°¢" } },
	{ { 0, "‚" }, { 0, "Ä" }, { 0, "ìîïòôúùû†°¢π" } },
	{ { 0, "‚" }, { 0, "âó" }, { 0, "àä°ê" } },
	/* Windows-1251 */
	{ { 0, "в" }, { 0, "Ђ" } },
	{ { 0, "ВГРС" }, { C1 | BAD | OPENING | CLOSING | CURRENCY, "°µ" }, { 0, "ВГРС" } },
	{ { 0, "Г" }, { 0, "ў" }, { 0, "В" }, { 0, "Ђ" }, { 0, "В" }, { SAME_LINE, "" }, { LATIN, " " } },
	/* Windows-1252 of à and á, and of the no-break space */
	{ { 0, "Ã" }, { 0, "\u00a0¡" } },
	{ { LATIN_LOWER, "" }, { SPACE | OPTIONAL, "" }, { 0, "ÃÂ" }, { 0, " " } },
	{ { START, "" }, { 0, "ÃÂ" }, { 0, " " } },
	{ { LATIN_LOWER | CLOSING, ".,?!" }, { 0, "Â" }, { OPENING | CLOSING, " " } },
	/* Windows-1253, Windows-1257 */
	{ { 0, "β" }, { 0, "€" }, { 0, "™\u00a0Ά\u00ad®°" } },
	{ { 0, "ΒΓΞΟ" }, { C1 | BAD | OPENING | CLOSING | CURRENCY, "°" }, { 0, "ΒΓΞΟ" } },
	{ { 0, "ā" }, { 0, "€" } },
};

static uint32_t category_of(uint32_t c)
{
	size_t low = 0, high = sizeof categories / sizeof *categories;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (c > categories[middle].last)
			low = middle + 1;
		else
			high = middle;
	}
	bool inside = low < sizeof categories / sizeof *categories && c >= categories[low].first;
	return inside ? categories[low].classes : 0;
}

static uint32_t classes_of(uint32_t c)
{
	uint32_t k = c - 'a' < 26 ? LATIN_LOWER : c - 'A' < 26 ? LATIN_UPPER : NOT_LATIN;
	char_class general = class_of_char(c);
	if (c >= 0x80) k |= category_of(c);
	if (is_python_space(c)) k |= SPACE;
	if (general == CLASS_LETTER || general == CLASS_NUMBER || c == '_') k |= WORD;
	if (c != '\n') k |= SAME_LINE;
	return k;
}

/* A character ready to be compared: its classes, and its UTF-8 as a string. */
typedef struct seen {
	uint32_t classes;
	char utf8[5];
} seen;

static seen look_at(uint32_t c)
{
	seen s = { classes_of(c), "" };
	utf8_encode(c, (uint8_t *)s.utf8);
	return s;
}

/* Whether the rule matches the `left` characters that follow. */
static bool rule_matches(const element *rule, const seen *window, size_t left, bool at_start)
{
	size_t i = 0;
	for (const element *one = rule; one->characters; one++) {
		if (one->classes & START) {
			if (!at_start) return false;
			continue;
		}
		bool fits = i < left && ((window[i].classes & one->classes) ||
		                            (*one->characters && *window[i].utf8 && strstr(one->characters, window[i].utf8)));
		if (!fits && !(one->classes & OPTIONAL)) return false;
		i += fits;
	}
	return true;
}

bool looks_wrong(const uint32_t *at, size_t count)
{
	seen window[LONGEST_RULE];
	size_t known = 0; /* of the window */
	for (size_t i = 0; i < count; i++) {
		if (known) memmove(window, window + 1, --known * sizeof *window);
		/* Every rule asks for a character outside ASCII among its first three. */
		if (at[i] < 0x80 && (i + 1 >= count || at[i + 1] < 0x80) && (i + 2 >= count || at[i + 2] < 0x80)) {
			known = 0;
			continue;
		}
		for (; known < LONGEST_RULE && i + known < count; known++) window[known] = look_at(at[i + known]);
		for (size_t k = 0; k < sizeof rules / sizeof *rules; k++)
			if (rule_matches(rules[k], window, known, !i)) return true;
	}
	return false;
}
