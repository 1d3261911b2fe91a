/* sweep.c - see sweep.h. */
#include "cli/sweep.h"
#include "cli/options.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int axis_read(axis *a, const char *text)
{
	const char *equals = strchr(text, '=');
	size_t n = equals ? (size_t)(equals - text) : 0;
	if (!n || n >= sizeof a->name || !equals[1])
		return complain(2, "--grid \"%.80s\": an option and its values, as in steps=10,20,30", text);
	memcpy(a->name, text, n);
	a->name[n] = 0;
	a->text = strdup(equals + 1);
	for (char *at = a->text; at; a->count++) {
		if (a->count == MOST_VALUES) return complain(2, "--grid %s: more than %d values", a->name, MOST_VALUES);
		a->value[a->count] = at;
		at = strchr(at, ',');
		if (at) *at++ = 0;
	}
	return a->text ? 0 : complain(4, "out of memory");
}

void axis_free(axis *a)
{
	free(a->text);
	*a = (axis){ 0 };
}

/* ── labels ── */

/* Letters of 5×7 dots, a row a number, its leftmost dot 16. Capitals are drawn as small letters, what is not here as a
 * box. */
static const struct letter {
	char c;
	unsigned char rows[7];
} letters[] = {
	{ ' ', { 0 } },
	{ '0', { 14, 17, 19, 21, 25, 17, 14 } },
	{ '1', { 4, 12, 4, 4, 4, 4, 14 } },
	{ '2', { 14, 17, 1, 2, 4, 8, 31 } },
	{ '3', { 31, 2, 4, 2, 1, 17, 14 } },
	{ '4', { 2, 6, 10, 18, 31, 2, 2 } },
	{ '5', { 31, 16, 30, 1, 1, 17, 14 } },
	{ '6', { 6, 8, 16, 30, 17, 17, 14 } },
	{ '7', { 31, 1, 2, 4, 8, 8, 8 } },
	{ '8', { 14, 17, 17, 14, 17, 17, 14 } },
	{ '9', { 14, 17, 17, 15, 1, 2, 12 } },
	{ 'a', { 0, 0, 14, 1, 15, 17, 15 } },
	{ 'b', { 16, 16, 22, 25, 17, 17, 30 } },
	{ 'c', { 0, 0, 14, 16, 16, 17, 14 } },
	{ 'd', { 1, 1, 13, 19, 17, 17, 15 } },
	{ 'e', { 0, 0, 14, 17, 31, 16, 14 } },
	{ 'f', { 6, 9, 8, 28, 8, 8, 8 } },
	{ 'g', { 0, 15, 17, 17, 15, 1, 14 } },
	{ 'h', { 16, 16, 22, 25, 17, 17, 17 } },
	{ 'i', { 4, 0, 12, 4, 4, 4, 14 } },
	{ 'j', { 2, 0, 6, 2, 2, 18, 12 } },
	{ 'k', { 16, 16, 18, 20, 24, 20, 18 } },
	{ 'l', { 12, 4, 4, 4, 4, 4, 14 } },
	{ 'm', { 0, 0, 26, 21, 21, 17, 17 } },
	{ 'n', { 0, 0, 22, 25, 17, 17, 17 } },
	{ 'o', { 0, 0, 14, 17, 17, 17, 14 } },
	{ 'p', { 0, 0, 30, 17, 30, 16, 16 } },
	{ 'q', { 0, 0, 13, 19, 15, 1, 1 } },
	{ 'r', { 0, 0, 22, 25, 16, 16, 16 } },
	{ 's', { 0, 0, 14, 16, 14, 1, 30 } },
	{ 't', { 8, 8, 28, 8, 8, 9, 6 } },
	{ 'u', { 0, 0, 17, 17, 17, 19, 13 } },
	{ 'v', { 0, 0, 17, 17, 17, 10, 4 } },
	{ 'w', { 0, 0, 17, 17, 21, 21, 10 } },
	{ 'x', { 0, 0, 17, 10, 4, 10, 17 } },
	{ 'y', { 0, 0, 17, 17, 15, 1, 14 } },
	{ 'z', { 0, 0, 31, 2, 4, 8, 31 } },
	{ '.', { 0, 0, 0, 0, 0, 12, 12 } },
	{ ',', { 0, 0, 0, 0, 12, 4, 8 } },
	{ '-', { 0, 0, 0, 31, 0, 0, 0 } },
	{ '+', { 0, 4, 4, 31, 4, 4, 0 } },
	{ '_', { 0, 0, 0, 0, 0, 0, 31 } },
	{ ':', { 0, 12, 12, 0, 12, 12, 0 } },
	{ '=', { 0, 0, 31, 0, 31, 0, 0 } },
	{ '/', { 0, 1, 2, 4, 8, 16, 0 } },
	{ '(', { 2, 4, 8, 8, 8, 4, 2 } },
	{ ')', { 8, 4, 2, 2, 2, 4, 8 } },
};

enum { DOT = 2, ADVANCE = 6 * DOT, LINE = 7 * DOT, MARGIN = 6, GAP = 4, LONGEST = 40 };

static const unsigned char *rows_of(char c)
{
	static const unsigned char box[7] = { 31, 17, 17, 17, 17, 17, 31 };
	c = (char)tolower((unsigned char)c);
	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
		if (letters[i].c == c) return letters[i].rows;
	return box;
}

static void put_text(sumi_image *to, const char *text, int left, int top)
{
	for (; *text; text++, left += ADVANCE) {
		const unsigned char *rows = rows_of(*text);
		for (int y = 0; y < LINE; y++)
			for (int x = 0; x < 5 * DOT; x++) {
				int px = left + x, py = top + y;
				if (!(rows[y / DOT] >> (4 - x / DOT) & 1) || px < 0 || py < 0 || px >= to->width || py >= to->height)
					continue;
				memset(to->pixels + 3 * ((size_t)py * (size_t)to->width + (size_t)px), 0, 3);
			}
	}
}

static void label_of(char *text, size_t size, const axis *a, int i)
{
	snprintf(text, size, "%s %s", a->name, a->value[i]);
	if (strlen(text) > LONGEST) strcpy(text + LONGEST - 2, "..");
}

static int longest_label(const axis *a)
{
	int most = 0;
	for (int i = 0; i < a->count; i++) {
		char text[256];
		label_of(text, sizeof text, a, i);
		if ((int)strlen(text) > most) most = (int)strlen(text);
	}
	return most * ADVANCE;
}

sumi_image *labelled_grid(sumi_image *const *pictures, const axis *columns, const axis *rows, sumi_error *e)
{
	int across = columns->count, down = rows->count ? rows->count : 1, width = 0, height = 0;
	char text[256];
	for (int i = 0; i < across * down; i++) {
		if (pictures[i]->width > width) width = pictures[i]->width;
		if (pictures[i]->height > height) height = pictures[i]->height;
	}
	int label = longest_label(columns), left = rows->count ? longest_label(rows) + 2 * MARGIN : 0,
	    top = LINE + 2 * MARGIN;
	int cell = width > label ? width : label;
	sumi_image *to = sumi_image_new(left + across * (cell + GAP) - GAP, top + down * (height + GAP) - GAP, NULL, e);
	if (!to) return NULL;
	memset(to->pixels, 255, 3 * (size_t)to->width * (size_t)to->height);
	for (int x = 0; x < across; x++) {
		label_of(text, sizeof text, columns, x);
		put_text(to, text, left + x * (cell + GAP) + (cell - (int)strlen(text) * ADVANCE) / 2, MARGIN);
	}
	for (int y = 0; y < rows->count; y++) {
		label_of(text, sizeof text, rows, y);
		put_text(to, text, MARGIN, top + y * (height + GAP) + (height - LINE) / 2);
	}
	for (int i = 0; i < across * down; i++) {
		const sumi_image *p = pictures[i];
		int x = left + i % across * (cell + GAP) + (cell - p->width) / 2,
		    y = top + i / across * (height + GAP) + (height - p->height) / 2;
		for (int row = 0; row < p->height; row++)
			memcpy(to->pixels + 3 * ((size_t)(y + row) * (size_t)to->width + (size_t)x),
			    p->pixels + 3 * (size_t)row * (size_t)p->width, 3 * (size_t)p->width);
	}
	return to;
}
