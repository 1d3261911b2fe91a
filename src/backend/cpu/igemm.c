/* igemm.c - matrix products by the micro-kernel, and what products and convolutions share. */
#include "backend/cpu/igemm.h"
#include "backend/reference/activation.h"
#include <string.h>

tile_kernel *igemm_tile(void)
{
#if defined __x86_64__ && !defined SUMI_DOUBLE
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return tile_avx2;
#endif
	return NULL;
}

void tile_store(
    const float *tile, int rows, int columns, int column, const epilogue *e, float *out, const size_t *offset)
{
	for (int i = 0; i < rows; i++) {
		float *to = out + offset[i] + column;
		float sums[TILE_COLUMNS];
		memcpy(sums, tile + i * TILE_COLUMNS, sizeof sums);
		for (int j = 0; e->bias && j < columns; j++) sums[j] += e->bias[column + j];
		for (int j = 0; e->residual && j < columns; j++) sums[j] += e->residual[offset[i] + (size_t)(column + j)];
		for (int j = 0; e->activation && j < columns; j++)
			sums[j] = (float)activation_value(e->activation, (real)sums[j]);
		memcpy(to, sums, (size_t)columns * sizeof *to);
	}
}

size_t igemm_transposed_floats(size_t rows, int columns)
{
	return (size_t)((columns + TILE_ROWS - 1) / TILE_ROWS) * TILE_ROWS * rows;
}

typedef struct transposition {
	const float *a;
	size_t rows;
	int columns;
	float *out;
} transposition;

static bool transpose_rows(const void *context, size_t first, size_t end, int worker)
{
	const transposition *j = context;
	(void)worker;
	int columns = j->columns, tiles = (columns + TILE_ROWS - 1) / TILE_ROWS;
	for (size_t k = first; k < end; k++)
		for (int t = 0; t < tiles; t++) {
			int n = columns - t * TILE_ROWS < TILE_ROWS ? columns - t * TILE_ROWS : TILE_ROWS;
			float *to = j->out + ((size_t)t * j->rows + k) * TILE_ROWS;
			for (int i = 0; i < TILE_ROWS; i++)
				to[i] = i < n ? j->a[k * (size_t)columns + (size_t)(t * TILE_ROWS + i)] : 0;
		}
	return true;
}

void igemm_transpose(const float *a, size_t rows, int columns, float *out, int threads)
{
	transposition j = { a, rows, columns, out };
	parallel_for(threads, rows, grain_for((size_t)columns, 1 << 14), transpose_rows, &j);
}

static size_t rows_of(const node *n)
{
	size_t rows = 1;
	for (int i = 0; i < n->shape.n - 1; i++) rows *= (size_t)n->shape.d[i];
	return rows;
}

static int columns_of(const node *n) { return n->shape.d[n->shape.n - 1]; }

static bool all_f32(const call *c)
{
	if (c->y->dtype != F32 || !igemm_tile()) return false;
	for (int i = 0; i < c->y->inputs; i++)
		if (c->x[i] && c->x[i]->dtype != F32) return false;
	return true;
}

/* ── A·B and A·Bᵀ: B's transpose is packed into panels [panel][k][TILE_COLUMNS] ── */

static bool fits(const call *c) { return all_f32(c) && !c->y->a[0]; }
static int inner_of(const call *c) { return columns_of(c->x[0]); }

static size_t packed_bytes(const call *c)
{
	if (!c->y->a[1]) return 0;
	size_t panels = (size_t)(columns_of(c->y) + TILE_COLUMNS - 1) / TILE_COLUMNS;
	return panels * (size_t)inner_of(c) * TILE_COLUMNS * sizeof(float);
}

static bool pack_panels(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	int n = columns_of(c->y), inner = inner_of(c);
	const float *b = c->in[1];
	for (int p = (int)first; p < (int)end; p++) {
		float *to = (float *)c->packed + (size_t)p * (size_t)inner * TILE_COLUMNS;
		for (int j = 0; j < TILE_COLUMNS; j++) {
			int column = p * TILE_COLUMNS + j;
			for (int k = 0; k < inner; k++)
				to[k * TILE_COLUMNS + j] = column < n ? b[(size_t)column * (size_t)inner + (size_t)k] : 0;
		}
	}
	return true;
}

static bool pack(const call *c, error *e)
{
	(void)e;
	size_t panels = (size_t)(columns_of(c->y) + TILE_COLUMNS - 1) / TILE_COLUMNS;
	return share(c, panels, (size_t)inner_of(c) * TILE_COLUMNS, pack_panels, c);
}

enum { BLOCK_TILES = 16, GROUP_PANELS = 8 }; /* of a task: rows whose part of A stays in the cache, and columns */

static void multiply_block(const call *c, size_t first_row, int first_panel, int last_panel)
{
	size_t rows = rows_of(c->x[0]);
	int n = columns_of(c->y), inner = inner_of(c);
	bool packed = c->y->a[1];
	epilogue e = { c->in[2], c->in[3], (activation)c->y->a[2] };
	tile_kernel *compute = igemm_tile();
	_Alignas(64) float tile[TILE_ROWS * TILE_COLUMNS];
	for (int p = first_panel; p < last_panel; p++)
		for (int t = 0; t < BLOCK_TILES && first_row + (size_t)t * TILE_ROWS < rows; t++) {
			size_t row = first_row + (size_t)t * TILE_ROWS, offset[TILE_ROWS];
			int column = p * TILE_COLUMNS, height = rows - row < TILE_ROWS ? (int)(rows - row) : TILE_ROWS;
			int width = n - column < TILE_COLUMNS ? n - column : TILE_COLUMNS;
			segment s = { .k = inner };
			for (int i = 0; i < TILE_ROWS; i++) {
				size_t r = row + (size_t)(i < height ? i : 0);
				s.a[i] = (const float *)c->in[0] + r * (size_t)inner;
				offset[i] = r * (size_t)n;
			}
			s.b = packed ? (const float *)c->packed + (size_t)column * (size_t)inner : (const float *)c->in[1] + column;
			compute(&s, 1, 0, 1, 0, packed ? TILE_COLUMNS : n, packed ? TILE_COLUMNS : width, tile);
			tile_store(tile, height, width, column, &e, c->out, offset);
		}
}

static int groups_of(int panels) { return (panels + GROUP_PANELS - 1) / GROUP_PANELS; }

static bool multiply_blocks(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	int panels = (columns_of(c->y) + TILE_COLUMNS - 1) / TILE_COLUMNS;
	size_t groups = (size_t)groups_of(panels);
	for (size_t task = first; task < end; task++) {
		int panel = (int)(task % groups) * GROUP_PANELS;
		int last = panel + GROUP_PANELS < panels ? panel + GROUP_PANELS : panels;
		multiply_block(c, task / groups * BLOCK_TILES * TILE_ROWS, panel, last);
	}
	return true;
}

static bool multiply(const call *c, error *e)
{
	(void)e;
	size_t block = BLOCK_TILES * TILE_ROWS, blocks = (rows_of(c->x[0]) + block - 1) / block;
	int groups = groups_of((columns_of(c->y) + TILE_COLUMNS - 1) / TILE_COLUMNS);
	return parallel_for(c->threads, blocks * (size_t)groups, 1, multiply_blocks, c);
}

const kernel igemm_matmul = { MATMUL, "igemm", fits, NULL, NULL, packed_bytes, pack, multiply, NULL };

/* ── Aᵀ·B, the gradient of a weight: a long sum for each of few elements ── */

static bool fits_transposed(const call *c)
{
	return all_f32(c) && c->y->a[0] && !c->y->a[1] && !c->x[2] && !c->x[3] && !c->y->a[2];
}

static size_t transposed_bytes(const call *c)
{
	return igemm_transposed_floats(rows_of(c->x[0]), columns_of(c->x[0])) * sizeof(float);
}

/* Tile t of rows and panel p of columns. */
static void transposed_tile(const call *c, int p, int t)
{
	size_t sum = rows_of(c->x[0]);
	int m = columns_of(c->x[0]), n = columns_of(c->y);
	int column = p * TILE_COLUMNS, width = n - column < TILE_COLUMNS ? n - column : TILE_COLUMNS;
	tile_kernel *compute = igemm_tile();
	const float *a = c->scratch, *b = c->in[1];
	float *out = c->out;
	_Alignas(64) float tile[TILE_ROWS * TILE_COLUMNS], whole[TILE_ROWS * TILE_COLUMNS] = { 0 };
	for (size_t first = 0; first < sum; first += LONGEST_SUM) {
		const float *from = a + ((size_t)t * sum + first) * TILE_ROWS;
		segment s = { { from, from + 1, from + 2, from + 3, from + 4, from + 5 }, b + first * (size_t)n + column,
			sum - first < LONGEST_SUM ? (int)(sum - first) : LONGEST_SUM };
		compute(&s, 1, 0, TILE_ROWS, 0, n, width, tile);
		for (int i = 0; i < TILE_ROWS * TILE_COLUMNS; i++) whole[i] += tile[i];
	}
	for (int i = 0; i < TILE_ROWS && t * TILE_ROWS + i < m; i++)
		memcpy(out + (size_t)(t * TILE_ROWS + i) * (size_t)n + column, whole + i * TILE_COLUMNS,
		    (size_t)width * sizeof *out);
}

static int transposed_tiles(const call *c) { return (columns_of(c->x[0]) + TILE_ROWS - 1) / TILE_ROWS; }

static bool transposed_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	size_t tiles = (size_t)transposed_tiles(c);
	for (size_t task = first; task < end; task++) transposed_tile(c, (int)(task / tiles), (int)(task % tiles));
	return true;
}

static bool multiply_transposed(const call *c, error *e)
{
	(void)e;
	size_t panels = (size_t)(columns_of(c->y) + TILE_COLUMNS - 1) / TILE_COLUMNS, sum = rows_of(c->x[0]);
	igemm_transpose(c->in[0], sum, columns_of(c->x[0]), c->scratch, c->threads);
	return share(c, panels * (size_t)transposed_tiles(c), sum * TILE_COLUMNS, transposed_part, c);
}

const kernel igemm_matmul_transposed = { MATMUL, "igemm_transposed", fits_transposed, NULL, transposed_bytes, NULL,
	NULL, multiply_transposed, NULL };
