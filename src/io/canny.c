/* canny.c - gradients, thinning, and edges followed from the strong ones on. */
#include "io/canny.h"
#include <stdlib.h>
#include <string.h>

typedef struct gradient {
	int16_t x, y;
	int32_t size; /* |x| + |y|; 0 outside of the picture */
} gradient;

typedef enum mark { NO_EDGE, WEAK, EDGE } mark;

typedef struct field { /* of the picture and a frame of one pixel around it */
	int width, height;
	gradient *at;
	uint8_t *marks;
	size_t *waiting; /* edges whose neighbours have not been looked through */
	size_t count;
} field;

static size_t place(const field *f, int x, int y) { return (size_t)(y + 1) * (size_t)(f->width + 2) + (size_t)(x + 1); }

static int within(int i, int end) { return i < 0 ? 0 : i >= end ? end - 1 : i; }

/* Sobel's operator on one channel, the picture's border continued outwards. */
static gradient sobel(const picture *p, int x, int y, int channel)
{
	int v[3][3];
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++) {
			size_t row = (size_t)within(y + i - 1, p->height), column = (size_t)within(x + k - 1, p->width);
			v[i][k] = p->rgb[3 * (row * (size_t)p->width + column) + (size_t)channel];
		}
	int dx = v[0][2] + 2 * v[1][2] + v[2][2] - v[0][0] - 2 * v[1][0] - v[2][0];
	int dy = v[2][0] + 2 * v[2][1] + v[2][2] - v[0][0] - 2 * v[0][1] - v[0][2];
	return (gradient){ (int16_t)dx, (int16_t)dy, abs(dx) + abs(dy) };
}

static void find_gradients(field *f, const picture *p)
{
	for (int y = 0; y < f->height; y++)
		for (int x = 0; x < f->width; x++) {
			gradient best = sobel(p, x, y, 0);
			for (int c = 1; c < 3; c++) {
				gradient other = sobel(p, x, y, c);
				if (other.size > best.size) best = other;
			}
			f->at[place(f, x, y)] = best;
		}
}

/* Whether the gradient is largest here along its own direction: across, down, or along one of the diagonals. */
static bool is_ridge(const field *f, size_t i)
{
	enum { BITS = 15, TANGENT = 13573 }; /* of 22.5°, times 2^15 */
	const gradient *g = &f->at[i];
	size_t row = (size_t)(f->width + 2);
	int64_t x = abs(g->x), y = (int64_t)abs(g->y) << BITS, low = x * TANGENT, steep = low + (x << (BITS + 1));
	if (y < low) return g->size > g[-1].size && g->size >= g[1].size;
	if (y > steep) return g->size > f->at[i - row].size && g->size >= f->at[i + row].size;
	size_t back = (g->x ^ g->y) < 0 ? i - row + 1 : i - row - 1, on = (g->x ^ g->y) < 0 ? i + row - 1 : i + row + 1;
	return g->size > f->at[back].size && g->size > f->at[on].size;
}

static void begin_edge(field *f, size_t i)
{
	f->marks[i] = EDGE;
	f->waiting[f->count++] = i;
}

static void find_ridges(field *f, int low, int high)
{
	for (int y = 0; y < f->height; y++)
		for (int x = 0; x < f->width; x++) {
			size_t i = place(f, x, y);
			if (f->at[i].size <= low || !is_ridge(f, i)) continue;
			f->marks[i] = WEAK;
			if (f->at[i].size > high) begin_edge(f, i);
		}
}

static void follow(field *f)
{
	while (f->count) {
		size_t i = f->waiting[--f->count], row = (size_t)(f->width + 2);
		for (size_t y = i - row; y <= i + row; y += row)
			for (size_t k = y - 1; k <= y + 1; k++)
				if (f->marks[k] == WEAK) begin_edge(f, k);
	}
}

static void draw(const field *f, picture *out)
{
	for (int y = 0; y < f->height; y++)
		for (int x = 0; x < f->width; x++)
			memset(out->rgb + 3 * ((size_t)y * (size_t)f->width + (size_t)x),
			    f->marks[place(f, x, y)] == EDGE ? 255 : 0, 3);
}

bool picture_edges(picture *out, const picture *p, int low, int high, error *e)
{
	size_t n = (size_t)(p->width + 2) * (size_t)(p->height + 2);
	field f = { p->width, p->height, calloc(n, sizeof *f.at), calloc(n, 1), malloc(n * sizeof *f.waiting), 0 };
	bool fine = f.at && f.marks && f.waiting;
	*out = (picture){ 0 };
	if (!fine) fail(e, NO_MEMORY, "no memory to find edges in %d × %d pixels", p->width, p->height);
	fine = fine && picture_new(out, p->width, p->height, e);
	if (fine) {
		find_gradients(&f, p);
		find_ridges(&f, low, high);
		follow(&f);
		draw(&f, out);
	}
	free(f.at);
	free(f.marks);
	free(f.waiting);
	return fine;
}
