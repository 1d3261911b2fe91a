/* igemm_conv.c - convolutions by the micro-kernel: forward, by data, by weight. Channels last.
 *
 * Forward and by data are one loop over pixels of the result; they differ in which source pixel lies under a tap.
 * Weights are packed to [panel][tap][source channel][TILE_COLUMNS]. */
#include "backend/cpu/igemm.h"
#include <stdlib.h>
#include <string.h>

typedef struct geometry {
	int batch, height, width, channels;      /* of x */
	int out_height, out_width, out_channels; /* of y */
	int kernel_height, kernel_width, taps, stride, top, left;
} geometry;

static geometry geometry_of(const call *c, const node *x, const node *w, const node *y)
{
	const int *xd = x->shape.d, *wd = w->shape.d, *yd = y->shape.d;
	return (geometry){ xd[0], xd[1], xd[2], xd[3], yd[1], yd[2], yd[3], wd[2], wd[3], wd[2] * wd[3], c->y->a[0],
		c->y->a[1], c->y->a[2] };
}

enum { MOST_TAPS = 64, BLOCK_TILES = 16, GROUP_PANELS = 8 };

static bool fits(const call *c)
{
	if (c->y->dtype != F32 || !igemm_tile()) return false;
	for (int i = 0; i < c->y->inputs; i++)
		if (c->x[i] && c->x[i]->dtype != F32) return false;
	const node *w = c->y->op == CONV_DW ? c->y : c->x[1];
	return w->shape.d[2] * w->shape.d[3] <= MOST_TAPS;
}

static int panels_of(int columns) { return (columns + TILE_COLUMNS - 1) / TILE_COLUMNS; }

/* ── forward and by data ── */

typedef struct sweep { /* pixels of the result, each a sum over taps of source pixels */
	geometry g;
	bool by_data;
	int height, width, source_height, source_width, source_channels, columns;
	const float *source, *zeros, *packed;
} sweep;

static sweep sweep_of(const call *c)
{
	bool by_data = c->y->op == CONV_DX;
	sweep s = { .by_data = by_data, .source = c->in[0], .packed = c->packed, .zeros = c->scratch };
	s.g = by_data ? geometry_of(c, c->y, c->x[1], c->x[0]) : geometry_of(c, c->x[0], c->x[1], c->y);
	s.height = c->y->shape.d[1], s.width = c->y->shape.d[2], s.columns = c->y->shape.d[3];
	s.source_height = c->x[0]->shape.d[1], s.source_width = c->x[0]->shape.d[2],
	s.source_channels = c->x[0]->shape.d[3];
	return s;
}

/* Where tap u meets place i of the result, along one axis; -1: nowhere. */
static int source_place(const sweep *s, int i, int u, int before, int length)
{
	int at = s->by_data ? i + before - u : i * s->g.stride + u - before;
	if (s->by_data) {
		if (at < 0 || at % s->g.stride) return -1;
		at /= s->g.stride;
	}
	return at < length ? at : -1;
}

/* The segments of the tile that begins at pixel `first`; taps that meet nothing in any row are left out. */
static int find_segments(const sweep *s, size_t first, int rows, segment *list)
{
	int picture[TILE_ROWS], y[TILE_ROWS], x[TILE_ROWS], count = 0;
	for (int i = 0; i < rows; i++) {
		size_t p = first + (size_t)i, area = (size_t)s->height * (size_t)s->width;
		picture[i] = (int)(p / area), y[i] = (int)(p % area) / s->width, x[i] = (int)(p % area) % s->width;
	}
	for (int tap = 0; tap < s->g.taps; tap++) {
		segment *n = &list[count];
		bool any = false;
		for (int i = 0; i < TILE_ROWS; i++) {
			int r = i < rows ? i : 0;
			int row = source_place(s, y[r], tap / s->g.kernel_width, s->g.top, s->source_height);
			int column = source_place(s, x[r], tap % s->g.kernel_width, s->g.left, s->source_width);
			size_t at = ((size_t)picture[r] * (size_t)s->source_height + (size_t)row) * (size_t)s->source_width +
			            (size_t)column;
			bool inside = row >= 0 && column >= 0;
			n->a[i] = inside ? s->source + at * (size_t)s->source_channels : s->zeros;
			any |= inside;
		}
		n->b = s->packed + (size_t)tap * (size_t)s->source_channels * TILE_COLUMNS;
		n->k = s->source_channels;
		count += any;
	}
	return count;
}

static void sweep_block(const sweep *s, const call *c, size_t first, int first_panel, int last_panel)
{
	size_t pixels = (size_t)s->g.batch * (size_t)s->height * (size_t)s->width;
	size_t panel_floats = (size_t)s->g.taps * (size_t)s->source_channels * TILE_COLUMNS;
	epilogue e = { 0 };
	if (!s->by_data) e = (epilogue){ c->in[2], c->in[3], (activation)c->y->a[5] };
	tile_kernel *compute = igemm_tile();
	_Alignas(64) float tile[TILE_ROWS * TILE_COLUMNS];
	segment list[BLOCK_TILES][MOST_TAPS];
	int count[BLOCK_TILES], tiles = 0, rows[BLOCK_TILES];
	for (; tiles < BLOCK_TILES && first + (size_t)tiles * TILE_ROWS < pixels; tiles++) {
		size_t at = first + (size_t)tiles * TILE_ROWS;
		rows[tiles] = pixels - at < TILE_ROWS ? (int)(pixels - at) : TILE_ROWS;
		count[tiles] = find_segments(s, at, rows[tiles], list[tiles]);
	}
	for (int p = first_panel; p < last_panel; p++)
		for (int t = 0; t < tiles; t++) {
			int column = p * TILE_COLUMNS,
			    width = s->columns - column < TILE_COLUMNS ? s->columns - column : TILE_COLUMNS;
			size_t offset[TILE_ROWS];
			for (int i = 0; i < TILE_ROWS; i++) offset[i] = (first + (size_t)(t * TILE_ROWS + i)) * (size_t)s->columns;
			compute(list[t], count[t], 0, 1, (ptrdiff_t)((size_t)p * panel_floats), TILE_COLUMNS, TILE_COLUMNS, tile);
			tile_store(tile, rows[t], width, column, &e, c->out, offset);
		}
}

static int groups_of(const sweep *s) { return (panels_of(s->columns) + GROUP_PANELS - 1) / GROUP_PANELS; }

static bool sweep_blocks(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	sweep s = sweep_of(c);
	int panels = panels_of(s.columns);
	size_t groups = (size_t)groups_of(&s);
	for (size_t task = first; task < end; task++) {
		int panel = (int)(task % groups) * GROUP_PANELS;
		int last = panel + GROUP_PANELS < panels ? panel + GROUP_PANELS : panels;
		sweep_block(&s, c, task / groups * BLOCK_TILES * TILE_ROWS, panel, last);
	}
	return true;
}

static bool run_sweep(const call *c, error *e)
{
	(void)e;
	sweep s = sweep_of(c);
	memset(c->scratch, 0, (size_t)s.source_channels * sizeof(float));
	size_t pixels = (size_t)s.g.batch * (size_t)s.height * (size_t)s.width, block = BLOCK_TILES * TILE_ROWS;
	size_t blocks = (pixels + block - 1) / block;
	return parallel_for(c->threads, blocks * (size_t)groups_of(&s), 1, sweep_blocks, c);
}

static size_t zeros_bytes(const call *c) { return (size_t)c->x[0]->shape.d[3] * sizeof(float); }

static size_t packed_bytes(const call *c)
{
	const int *w = c->x[1]->shape.d;
	bool by_data = c->y->op == CONV_DX;
	size_t columns = (size_t)panels_of(by_data ? w[1] : w[0]) * TILE_COLUMNS;
	return columns * (size_t)(by_data ? w[0] : w[1]) * (size_t)(w[2] * w[3]) * sizeof(float);
}

static bool pack_panels(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const int *d = c->x[1]->shape.d;
	bool by_data = c->y->op == CONV_DX;
	int taps = d[2] * d[3], columns = by_data ? d[1] : d[0], inner = by_data ? d[0] : d[1];
	/* strides in the weight [out,in,tap] of a result column and of a source channel */
	size_t of_column = (size_t)(by_data ? taps : d[1] * taps), of_inner = (size_t)(by_data ? d[1] * taps : taps);
	const float *w = c->in[1];
	for (int p = (int)first; p < (int)end; p++)
		for (int tap = 0; tap < taps; tap++)
			for (int k = 0; k < inner; k++) {
				float *to = (float *)c->packed + ((size_t)(p * taps + tap) * (size_t)inner + (size_t)k) * TILE_COLUMNS;
				for (int j = 0; j < TILE_COLUMNS; j++) {
					int column = p * TILE_COLUMNS + j;
					to[j] = column < columns ? w[(size_t)column * of_column + (size_t)k * of_inner + (size_t)tap] : 0;
				}
			}
	return true;
}

static bool pack(const call *c, error *e)
{
	(void)e;
	const int *d = c->x[1]->shape.d;
	bool by_data = c->y->op == CONV_DX;
	size_t inner = (size_t)(by_data ? d[0] : d[1]) * (size_t)(d[2] * d[3]);
	return share(c, (size_t)panels_of(by_data ? d[1] : d[0]), inner * TILE_COLUMNS, pack_panels, c);
}

const kernel igemm_conv = { CONV, "igemm", fits, NULL, zeros_bytes, packed_bytes, pack, run_sweep, NULL };
const kernel igemm_conv_dx = { CONV_DX, "igemm", fits, NULL, zeros_bytes, packed_bytes, pack, run_sweep, NULL };

/* ── by weight: for each tap, dyᵀ·x over all pixels that the tap meets ── */

static geometry dw_geometry(const call *c) { return geometry_of(c, c->x[1], c->y, c->x[0]); }

static size_t dw_scratch_bytes(const call *c)
{
	geometry g = dw_geometry(c);
	size_t rows = (size_t)g.batch * (size_t)g.out_height,
	       tiles = (size_t)((g.out_channels + TILE_ROWS - 1) / TILE_ROWS);
	size_t tasks = (size_t)g.taps * (size_t)panels_of(g.channels);
	return igemm_transposed_floats(rows * (size_t)g.out_width, g.out_channels) * sizeof(float) +
	       tasks * tiles * TILE_ROWS * TILE_COLUMNS * sizeof(float) + (size_t)g.taps * rows * sizeof(segment);
}

/* The segments of one tap: for each row of y, the run of its pixels that the tap meets inside x. */
static int dw_segments(const geometry *g, int tap, const float *dy, const float *x, segment *list)
{
	int u = tap / g->kernel_width, v = tap % g->kernel_width, count = 0;
	int first = v >= g->left ? 0 : (g->left - v + g->stride - 1) / g->stride;
	int last = (g->width - 1 + g->left - v) / g->stride; /* the last column of y that meets x */
	if (g->width - 1 + g->left - v < 0) return 0;
	if (last > g->out_width - 1) last = g->out_width - 1;
	for (int n = 0; n < g->batch && first <= last; n++)
		for (int oy = 0; oy < g->out_height; oy++) {
			int y = oy * g->stride + u - g->top;
			if (y < 0 || y >= g->height) continue;
			const float *a = dy + ((size_t)(n * g->out_height + oy) * (size_t)g->out_width + (size_t)first) * TILE_ROWS;
			size_t at = (size_t)(n * g->height + y) * (size_t)g->width + (size_t)(first * g->stride + v - g->left);
			list[count++] =
			    (segment){ { a, a + 1, a + 2, a + 3, a + 4, a + 5 }, x + at * (size_t)g->channels, last - first + 1 };
		}
	return count;
}

/* All output channels of one tap and one panel of input channels; sums [tiles][TILE_ROWS][TILE_COLUMNS]. */
static void dw_task(const geometry *g, const segment *list, int count, int column, float *sums)
{
	int tiles = (g->out_channels + TILE_ROWS - 1) / TILE_ROWS, width = g->channels - column;
	size_t pixels = (size_t)g->batch * (size_t)g->out_height * (size_t)g->out_width;
	tile_kernel *compute = igemm_tile();
	_Alignas(64) float tile[TILE_ROWS * TILE_COLUMNS];
	memset(sums, 0, (size_t)tiles * sizeof tile);
	for (int first = 0, n; first < count; first += n) {
		int k = 0;
		for (n = 0; first + n < count && (n == 0 || k + list[first + n].k <= LONGEST_SUM); n++) k += list[first + n].k;
		for (int t = 0; t < tiles; t++) {
			compute(list + first, n, (ptrdiff_t)((size_t)t * pixels * TILE_ROWS), TILE_ROWS, column,
			    (ptrdiff_t)g->stride * g->channels, width < TILE_COLUMNS ? width : TILE_COLUMNS, tile);
			float *to = sums + t * TILE_ROWS * TILE_COLUMNS;
			for (int i = 0; i < TILE_ROWS * TILE_COLUMNS; i++) to[i] += tile[i];
		}
	}
}

/* What the parts of the gradient by weight share. */
typedef struct dw_job {
	const call *c;
	geometry g;
	size_t rows, task_floats;
	int panels;
	float *sums;
	segment *segments;
	int counts[MOST_TAPS];
} dw_job;

static bool dw_tasks(const void *context, size_t first, size_t end, int worker)
{
	const dw_job *j = context;
	(void)worker;
	for (size_t task = first; task < end; task++) {
		int tap = (int)task % j->g.taps;
		dw_task(&j->g, j->segments + (size_t)tap * j->rows, j->counts[tap], (int)task / j->g.taps * TILE_COLUMNS,
		    j->sums + task * j->task_floats);
	}
	return true;
}

/* Output channels first … end−1 as weights are laid out. */
static bool dw_store(const void *context, size_t first, size_t end, int worker)
{
	const dw_job *j = context;
	(void)worker;
	size_t channels = (size_t)j->g.channels, taps = (size_t)j->g.taps;
	float *out = j->c->out;
	for (size_t o = first; o < end; o++)
		for (size_t i = 0; i < channels; i++)
			for (size_t tap = 0; tap < taps; tap++)
				out[(o * channels + i) * taps + tap] =
				    j->sums[(i / TILE_COLUMNS * taps + tap) * j->task_floats + o * TILE_COLUMNS + i % TILE_COLUMNS];
	return true;
}

static bool run_dw(const call *c, error *e)
{
	(void)e;
	geometry g = dw_geometry(c);
	size_t rows = (size_t)g.batch * (size_t)g.out_height;
	int tiles = (g.out_channels + TILE_ROWS - 1) / TILE_ROWS;
	dw_job j = { c, g, rows, (size_t)tiles * TILE_ROWS * TILE_COLUMNS, panels_of(g.channels), NULL, NULL, { 0 } };
	float *dy = c->scratch;
	j.sums = dy + igemm_transposed_floats(rows * (size_t)g.out_width, g.out_channels);
	j.segments = (segment *)(void *)(j.sums + (size_t)(g.taps * j.panels) * j.task_floats);
	igemm_transpose(c->in[0], rows * (size_t)g.out_width, g.out_channels, dy, c->threads);
	for (int tap = 0; tap < g.taps; tap++)
		j.counts[tap] = dw_segments(&g, tap, dy, c->in[1], j.segments + (size_t)tap * rows);
	return parallel_for(c->threads, (size_t)(g.taps * j.panels), 1, dw_tasks, &j) &&
	       share(c, (size_t)g.out_channels, (size_t)g.channels * (size_t)g.taps, dw_store, &j);
}

const kernel igemm_conv_dw = { CONV_DW, "igemm", fits, NULL, dw_scratch_bytes, NULL, NULL, run_dw, NULL };
