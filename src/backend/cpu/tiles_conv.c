/* tiles_conv.c - the convolution on bf16 in tiles of AMX, without im2col.
 *
 * A part of the picture is copied into a map whose margins are zeros. In a map neighbouring places are one step apart,
 * from one row to the next as well: so 32 places that follow each other are the rows of a left factor, for each tap at
 * its own offset. Places in the margins are computed for nothing. Steps of the sum are [tap row][32 channels][tap
 * column]: the taps of a row meet the same places while these are in the first cache. Each sum is computed in this
 * order alone, so that neither threads nor the size of a batch change a bit. */
#include "backend/cpu/onednn.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/tiles.h"
#include <stdlib.h>
#include <string.h>

typedef struct plan {
	conv_shape s;
	size_t channel_steps, steps, panels, range; /* range: panels of a task, whose weights stay in the second cache */
	size_t pixel;                               /* values from one place of a map to the next */
	int rows, columns;                          /* of the result, that a map serves */
	int row_maps, column_maps;                  /* maps of a picture */
	int chunk;                                  /* rows of a map that are computed at a time */
	int width, height;                          /* of a map */
	size_t map_values, maps;
	bool together; /* all maps are there at once; else each thread makes its own, one after the other */
	size_t *offset;
} plan;

static int cuts(int n, int length) { return (n + length - 1) / length; }
static int least(int a, int b) { return a < b ? a : b; }
static int most(int a, int b) { return a > b ? a : b; }

/* With a stride most places would be computed for nothing. */
static bool fits(const call *c)
{
	return c->y->a[0] == 1 && c->x[0]->dtype == BF16 && c->x[1]->dtype == BF16 &&
	       (c->y->dtype == BF16 || c->y->dtype == F32) && (!c->x[3] || c->x[3]->dtype == c->y->dtype) &&
	       tiles_activate((activation)c->y->a[5]);
}

static void release(void *state)
{
	plan *p = state;
	free(p->offset);
	free(p);
}

static void size_map(plan *p, int rows, int columns)
{
	const conv_shape *s = &p->s;
	p->rows = rows, p->columns = columns;
	p->row_maps = cuts(s->result_height, rows);
	p->column_maps = cuts(s->result_width, columns);
	p->height = rows - 1 + s->kernel_height;
	p->width = columns - 1 + s->kernel_width;
	p->maps = (size_t)s->images * (size_t)p->row_maps * (size_t)p->column_maps;
	/* behind the last place there is room for those that are computed for nothing */
	p->map_values = ((size_t)p->height * (size_t)p->width + TILE_SIDE) * p->pixel;
}

/* Maps of whole pictures where all of them are small, and else parts of a picture that stay in the second cache. */
static void choose_maps(plan *p)
{
	enum { ALL = 4 << 20, ONE = 768 << 10, COLUMNS = 128, PLACES = 512 };
	const conv_shape *s = &p->s;
	size_map(p, s->result_height, s->result_width);
	p->together = p->maps * p->map_values * sizeof(uint16_t) <= ALL;
	if (!p->together) {
		int columns = cuts(s->result_width, cuts(s->result_width, COLUMNS)); /* in parts of nearly the same size */
		size_map(p, 1, columns);
		size_t row = (size_t)p->width * p->pixel * sizeof(uint16_t);
		int rows = least(most((int)(ONE / row) - s->kernel_height + 1, 2), s->result_height);
		size_map(p, cuts(s->result_height, cuts(s->result_height, rows)), columns);
	}
	p->chunk = p->together ? least(p->rows, most(1, PLACES / p->width)) : p->rows;
}

static bool prepare(call *c, error *e)
{
	enum { CACHED = 768 << 10 };
	plan *p = calloc(1, sizeof *p);
	if (!p) return fail(e, NO_MEMORY, "out of memory");
	p->s = conv_shape_of(c->x[0], c->x[1], c->y, c->y);
	const conv_shape *s = &p->s;
	p->channel_steps = parts((size_t)s->in, TILE_STEP);
	p->pixel = (p->channel_steps | 1) * TILE_STEP; /* odd, so that places do not meet in the same lines of a cache */
	p->steps = p->channel_steps * (size_t)(s->kernel_height * s->kernel_width);
	p->panels = parts((size_t)s->out, TILE_SIDE);
	p->range = CACHED / (p->steps * RIGHT_STEP_BYTES);
	if (!p->range) p->range = 1;
	choose_maps(p);
	p->offset = malloc(p->steps * sizeof *p->offset);
	if (!p->offset) {
		free(p);
		return fail(e, NO_MEMORY, "out of memory");
	}
	size_t k = 0;
	for (int y = 0; y < s->kernel_height; y++)
		for (size_t channels = 0; channels < p->channel_steps; channels++)
			for (int x = 0; x < s->kernel_width; x++)
				p->offset[k++] = (size_t)(y * p->width + x) * p->pixel + channels * TILE_STEP;
	c->state = p;
	return true;
}

static size_t packed_bytes(const call *c)
{
	const plan *p = c->state;
	return p->panels * p->steps * RIGHT_STEP_BYTES;
}

static size_t map_bytes(const plan *p) { return aligned(p->map_values * sizeof(uint16_t)); }

static size_t scratch_bytes(const call *c)
{
	const plan *p = c->state;
	return (p->together ? p->maps : (size_t)c->threads) * map_bytes(p);
}

static bool pack_panels(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	const plan *p = c->state;
	const conv_shape *s = &p->s;
	(void)worker;
	size_t width = (size_t)s->kernel_width, taps = (size_t)s->kernel_height * width, column = (size_t)s->in * taps;
	for (size_t j = first; j < end; j++) {
		const uint16_t *from = (const uint16_t *)c->in[1] + j * TILE_SIDE * column;
		uint16_t *to = (uint16_t *)c->packed + j * p->steps * RIGHT_STEP;
		for (size_t i = 0; i < p->channel_steps; i++)
			for (size_t tap = 0; tap < taps; tap++)
				tiles_pack(from + i * TILE_STEP * taps + tap, smaller(TILE_STEP, (size_t)s->in - i * TILE_STEP), taps,
				    smaller(TILE_SIDE, (size_t)s->out - j * TILE_SIDE), column,
				    to + ((tap / width * p->channel_steps + i) * width + tap % width) * RIGHT_STEP);
	}
	return true;
}

static bool pack(const call *c, error *e)
{
	(void)e;
	const plan *p = c->state;
	return share(c, p->panels, p->steps * TILE_STEP * TILE_SIDE, pack_panels, c);
}

/* ── maps ── */

/* Where a map begins in the result. */
typedef struct place {
	int image, row, column;
} place;

static place place_of(const plan *p, size_t map)
{
	int n = (int)map, in_image = p->row_maps * p->column_maps;
	return (place){ n / in_image, n % in_image / p->column_maps * p->rows, n % p->column_maps * p->columns };
}

static void fill_row(const call *c, const plan *p, place at, int row, uint16_t *map)
{
	const conv_shape *s = &p->s;
	int y = at.row - s->top + row, x = at.column - s->left;
	uint16_t *to = map + (size_t)row * (size_t)p->width * p->pixel;
	int before = least(most(-x, 0), p->width), there = most(0, least(p->width, s->width - x) - before);
	if (y < 0 || y >= s->height) before = p->width, there = 0;
	memset(to, 0, (size_t)before * p->pixel * sizeof *to);
	if (there) {
		size_t pixel = ((size_t)at.image * (size_t)s->height + (size_t)y) * (size_t)s->width + (size_t)(x + before);
		tiles_copy((const uint16_t *)c->in[0] + pixel * (size_t)s->in, (size_t)there, (size_t)s->in, p->pixel,
		    to + (size_t)before * p->pixel);
	}
	int end = before + there;
	memset(to + (size_t)end * p->pixel, 0, (size_t)(p->width - end) * p->pixel * sizeof *to);
}

static bool fill_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	const plan *p = c->state;
	(void)worker;
	for (size_t k = first; k < end; k++) {
		size_t map = k / (size_t)p->height;
		fill_row(c, p, place_of(p, map), (int)(k % (size_t)p->height),
		    (uint16_t *)(void *)((char *)c->scratch + map * map_bytes(p)));
	}
	return true;
}

/* ── the result ── */

/* Where in the result the 32 places from `first` on of a map's rows lie. False: nowhere, all of them. */
static bool find_places(const plan *p, place at, int rows, int columns, int first, ptrdiff_t *to)
{
	const conv_shape *s = &p->s;
	bool any = false;
	int row = first / p->width, column = first % p->width;
	for (int i = 0; i < TILE_SIDE; i++) {
		bool there = row < rows && column < columns;
		ptrdiff_t pixel =
		    ((ptrdiff_t)at.image * s->result_height + at.row + row) * s->result_width + at.column + column;
		to[i] = there ? pixel * s->out : NOWHERE;
		any |= there;
		if (++column == p->width) column = 0, row++;
	}
	return any;
}

/* A map's rows first … first + chunk − 1, for panels first_panel … end_panel − 1. */
static void compute(const call *c, const uint16_t *map, place at, int first, size_t first_panel, size_t end_panel)
{
	const plan *p = c->state;
	const conv_shape *s = &p->s;
	tiles_result r = { c->in[2], c->in[3], c->out, c->y->dtype, (activation)c->y->a[5] };
	_Alignas(64) float sums[TILE_SIDE * TILE_SIDE];
	ptrdiff_t to[TILE_SIDE];
	int rows = least(p->chunk, s->result_height - at.row - first),
	    columns = least(p->columns, s->result_width - at.column);
	rows = least(rows, p->rows - first);
	map += (size_t)first * (size_t)p->width * p->pixel;
	at.row += first;
	for (int i = 0; i < (rows - 1) * p->width + columns; i += TILE_SIDE) {
		if (!find_places(p, at, rows, columns, i, to)) continue;
		const uint16_t *left = map + (size_t)i * p->pixel;
		for (size_t j = first_panel; j < end_panel; j++) {
			tiles_expect(&r, to, j * TILE_SIDE);
			tiles_multiply(left, p->pixel, p->offset, p->steps, (const uint16_t *)c->packed + j * p->steps * RIGHT_STEP,
			    false, sums);
			tiles_write(&r, sums, to, j * TILE_SIDE, smaller(TILE_SIDE, (size_t)s->out - j * TILE_SIDE));
		}
	}
}

/* Chunks of all maps, and how many of them a task computes for one range of panels. */
static int chunks_of_map(const plan *p) { return cuts(p->rows, p->chunk); }
static size_t chunks_of_task(const plan *p)
{
	enum { PLACES = 512 };
	return parts(PLACES, (size_t)p->chunk * (size_t)p->width);
}
static size_t tasks_of_range(const plan *p) { return parts(p->maps * (size_t)chunks_of_map(p), chunks_of_task(p)); }

static bool compute_chunks(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	const plan *p = c->state;
	size_t in_range = tasks_of_range(p), in_task = chunks_of_task(p), in_map = (size_t)chunks_of_map(p);
	(void)worker;
	tiles_begin();
	for (size_t task = first; task < end; task++) {
		size_t panel = task / in_range * p->range, chunk = task % in_range * in_task;
		for (size_t i = chunk; i < smaller(chunk + in_task, p->maps * in_map); i++) {
			const char *map = (const char *)c->scratch + i / in_map * map_bytes(p);
			compute(c, (const uint16_t *)(const void *)map, place_of(p, i / in_map), (int)(i % in_map) * p->chunk,
			    panel, smaller(panel + p->range, p->panels));
		}
	}
	tiles_end();
	return true;
}

static bool compute_maps(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	const plan *p = c->state;
	uint16_t *map = (uint16_t *)(void *)((char *)c->scratch + (size_t)worker * map_bytes(p));
	tiles_begin();
	for (size_t k = first; k < end; k++) {
		place at = place_of(p, k);
		for (int row = 0; row < p->height; row++) fill_row(c, p, at, row, map);
		for (size_t panel = 0; panel < p->panels; panel += p->range)
			compute(c, map, at, 0, panel, smaller(panel + p->range, p->panels));
	}
	tiles_end();
	return true;
}

static bool run(const call *c, error *e)
{
	(void)e;
	const plan *p = c->state;
	if (!p->together) return parallel_for(c->threads, p->maps, 1, compute_maps, c);
	return share(c, p->maps * (size_t)p->height, (size_t)p->width * p->pixel, fill_rows, c) &&
	       parallel_for(c->threads, parts(p->panels, p->range) * tasks_of_range(p), 1, compute_chunks, c);
}

const kernel tiles_conv = { CONV, "tiles", fits, prepare, scratch_bytes, packed_bytes, pack, run, release };
