/* matmul.c - the matrix product by oneDNN, in tiles that depend on the shapes alone: each tile is a primitive made for
 * one thread, so that the number of threads changes no bit.
 *
 * Nor does the size of a batch: oneDNN sums differently for other numbers of rows, so tiles are cut within the rows of
 * two items (a guided picture is a pair of them), and further pairs are the same tiles again. What a last item alone
 * leaves of a tile is filled up with zeros. */
#include "backend/cpu/onednn.h"
#include "backend/cpu/rows.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A pair's result in row_tiles × column_tiles tiles; the last of each may be smaller. */
typedef struct tiles {
	size_t m, k, n;
	size_t pair;          /* rows of two items; m where the product has no items */
	size_t rows, columns; /* of a tile */
	size_t row_tiles, column_tiles;
	onednn *made[2][2]; /* [last row of tiles is smaller][last column of tiles is smaller]; shared by all such tiles */
	size_t packed_bytes[2], scratch_bytes;
	size_t left; /* rows that are there of a last tile that is not whole; 0: all are whole */
} tiles;

static bool fits(const call *c)
{
	dtype d = c->x[0]->dtype;
	return onednn_computes(d) && c->x[1]->dtype == d && (c->y->dtype == d || c->y->dtype == F32);
}

static size_t tiles_in(size_t n, size_t tile) { return (n + tile - 1) / tile; }

/* A tile's length for about `count` tiles of at least `least`, a multiple of 16 if there is more than one. */
static size_t cut(size_t n, size_t count, size_t least)
{
	size_t length = tiles_in(n, count);
	if (length < least) length = least;
	length = (length + 15) & ~(size_t)15;
	return length < n ? length : n;
}

/* Items are the first of three or more axes, or the rows of a matrix that has few: an embedded timestep for each. */
static size_t pair_of(const call *c, size_t m)
{
	enum { FEW = 32 };
	const shape *x = &c->x[0]->shape;
	if (c->y->a[0] || (x->n < 3 && m > FEW)) return m;
	return 2 * (m / (size_t)(x->n < 3 ? (int)m : x->d[0]));
}

/* About 32 tiles, none too small to be worth a call: rows are cut first, for a tile reads all its columns of B. */
static void choose_tiles(tiles *t)
{
	enum { TILES = 32, ROWS = 128, COLUMNS = 128 };
	t->rows = cut(t->pair, TILES, ROWS);
	t->row_tiles = tiles_in(t->pair, t->rows);
	t->columns = cut(t->n, TILES / t->row_tiles, COLUMNS);
	t->column_tiles = tiles_in(t->n, t->columns);
	t->left = t->m % t->pair % t->rows;
}

static size_t rows_of(const tiles *t, size_t i) { return i + 1 < t->row_tiles ? t->rows : t->pair - i * t->rows; }

static size_t columns_of(const tiles *t, size_t j)
{
	return j + 1 < t->column_tiles ? t->columns : t->n - j * t->columns;
}

static onednn *primitive_of(const tiles *t, size_t i, size_t j)
{
	return t->made[rows_of(t, i) != t->rows][columns_of(t, j) != t->columns];
}

static void release(void *state)
{
	tiles *t = state;
	for (int i = 0; i < 4; i++) onednn_free(t->made[i / 2][i % 2]);
	free(t);
}

static bool make_tile(const call *c, tiles *t, size_t i, size_t j)
{
	bool ta = c->y->a[0], tb = c->y->a[1];
	size_t m = rows_of(t, i), n = columns_of(t, j);
	onednn **made = &t->made[m != t->rows][n != t->columns];
	const onednn *like = t->made[0][n != t->columns]; /* of this column, which is packed once; NULL for the first */
	if (*made) return true;
	matmul_shape s = { (int)m, (int)t->k, (int)n, ta ? 1 : t->k, ta ? t->m : 1, tb ? 1 : t->n, tb ? t->k : 1, t->n,
		!ta && t->pair >= 64 };
	onednn_epilogue epilogue = { c->x[2] != NULL, c->x[3] != NULL, (activation)c->y->a[2] };
	*made = onednn_matmul(&s, c->x[0]->dtype, c->y->dtype, &epilogue, like);
	if (!*made) return false;
	size_t scratch = onednn_scratch_bytes(*made);
	if (scratch > t->scratch_bytes) t->scratch_bytes = scratch;
	t->packed_bytes[n != t->columns] = aligned(onednn_packed_bytes(*made));
	return true;
}

static bool prepare(call *c, error *e)
{
	tiles *t = calloc(1, sizeof *t);
	if (!t) return fail(e, NO_MEMORY, "out of memory");
	t->n = last_axis(c->y);
	t->m = count_of(c->y) / t->n;
	t->k = count_of(c->x[0]) / t->m;
	t->pair = pair_of(c, t->m);
	choose_tiles(t);
	bool fine = true;
	for (size_t i = 0; fine && i < t->row_tiles; i++)
		for (size_t j = 0; fine && j < t->column_tiles; j++) fine = make_tile(c, t, i, j);
	if (!fine) {
		fail(e, NO_MEMORY, "out of memory: oneDNN makes no product of %zu×%zu and %zu×%zu", t->m, t->k, t->k, t->n);
		release(t);
		return false;
	}
	c->state = t;
	return true;
}

static size_t scratch_bytes(const call *c)
{
	const tiles *t = c->state;
	size_t fill = t->left ? aligned(t->rows * t->k * dtype_size(c->x[0]->dtype)) : 0;
	if (t->left) fill += aligned(t->rows * t->n * dtype_size(c->y->dtype));
	return (size_t)c->threads * t->scratch_bytes + fill;
}

/* Each column of tiles is packed by itself; whole ones, then the smaller one. */
static size_t packed_bytes(const call *c)
{
	const tiles *t = c->state;
	bool smaller = columns_of(t, t->column_tiles - 1) != t->columns;
	return t->packed_bytes[0] * (t->column_tiles - smaller) + t->packed_bytes[1] * smaller;
}

static const char *columns_at(const call *c, const tiles *t, size_t j)
{
	return (const char *)c->in[1] + j * t->columns * (c->y->a[1] ? t->k : 1) * dtype_size(c->x[1]->dtype);
}

/* What tasks share: oneDNN's status, where it failed. */
typedef struct tile_job {
	const call *c;
	const tiles *t;
	atomic_int *failure;
} tile_job;

static bool pack_columns(const void *context, size_t first, size_t end, int worker)
{
	const tile_job *job = context;
	const tiles *t = job->t;
	char *room = (char *)job->c->scratch + (size_t)worker * t->scratch_bytes;
	int failure = 0;
	for (size_t j = first; j < end && !failure; j++)
		failure = onednn_pack(
		    primitive_of(t, 0, j), columns_at(job->c, t, j), (char *)job->c->packed + j * t->packed_bytes[0], room);
	if (failure) atomic_store(job->failure, failure);
	return !failure;
}

static bool pack(const call *c, error *e)
{
	const tiles *t = c->state;
	atomic_int failure = 0;
	tile_job job = { c, t, &failure };
	parallel_for(c->threads, t->column_tiles, 1, pack_columns, &job);
	return onednn_went_well(failure, c, e);
}

/* The last tile, filled up: its rows of A, and of the result, which may be added to. */
typedef struct filling {
	char *a, *out;
} filling;

static filling filled_of(const call *c, const tiles *t)
{
	char *a = (char *)c->scratch + (size_t)c->threads * t->scratch_bytes;
	return (filling){ a, a + aligned(t->rows * t->k * dtype_size(c->x[0]->dtype)) };
}

static void fill_up(const call *c, const tiles *t)
{
	filling f = filled_of(c, t);
	size_t a = t->k * dtype_size(c->x[0]->dtype), out = t->n * dtype_size(c->y->dtype), first = t->m - t->left;
	memcpy(f.a, (const char *)c->in[0] + first * a, t->left * a);
	memset(f.a + t->left * a, 0, (t->rows - t->left) * a);
	memset(f.out, 0, t->rows * out);
	if (c->x[3]) memcpy(f.out, (char *)c->out + first * out, t->left * out);
}

/* Tile (i, j) of the pair whose first row is `first`. */
static int run_tile(const call *c, const tiles *t, size_t first, size_t i, size_t j, int worker)
{
	const onednn *p = primitive_of(t, i, j);
	size_t row = first + i * t->rows, in_size = dtype_size(c->x[0]->dtype), out_size = dtype_size(c->y->dtype);
	if (row >= t->m) return 0;
	bool filled = t->left && row == t->m - t->left;
	const char *a = filled ? filled_of(c, t).a : (const char *)c->in[0] + row * (c->y->a[0] ? 1 : t->k) * in_size;
	const void *b = onednn_packed_bytes(p) ? (char *)c->packed + j * t->packed_bytes[0] : columns_at(c, t, j);
	const float *bias = c->x[2] ? (const float *)c->in[2] + j * t->columns : NULL;
	char *out = (filled ? filled_of(c, t).out : (char *)c->out + row * t->n * out_size) + j * t->columns * out_size;
	return onednn_run(p, a, b, bias, out, (char *)c->scratch + (size_t)worker * t->scratch_bytes);
}

static bool run_tiles(const void *context, size_t first, size_t end, int worker)
{
	const tile_job *job = context;
	const tiles *t = job->t;
	size_t in_pair = t->row_tiles * t->column_tiles;
	int failure = 0;
	for (size_t k = first; k < end && !failure; k++) {
		size_t at = k % in_pair;
		failure = run_tile(job->c, t, k / in_pair * t->pair, at / t->column_tiles, at % t->column_tiles, worker);
	}
	if (failure) atomic_store(job->failure, failure);
	return !failure;
}

static bool run(const call *c, error *e)
{
	const tiles *t = c->state;
	size_t tasks = tiles_in(t->m, t->pair) * t->row_tiles * t->column_tiles, row = t->n * dtype_size(c->y->dtype);
	atomic_int failure = 0;
	tile_job job = { c, t, &failure };
	if (c->x[3] && c->in[3] != c->out) memcpy(c->out, c->in[3], t->m * row);
	if (t->left) fill_up(c, t);
	parallel_for(c->threads, tasks, 1, run_tiles, &job);
	if (t->left) memcpy((char *)c->out + (t->m - t->left) * row, filled_of(c, t).out, t->left * row);
	return onednn_went_well(failure, c, e);
}

const kernel onednn_matmul_tiles = { MATMUL, "oneDNN", fits, prepare, scratch_bytes, packed_bytes, pack, run, release };
