/* tiles.h - products in the tiles of AMX, bf16: what the rows (tiles_matmul.c, tiles_conv.c) have of tiles_amx.c.
 *
 * A product is computed in blocks of 32×32 sums, each over all of its steps of 32 values in one order: so a block's
 * bits depend neither on threads nor on what else is computed. The left factor is read where it lies, row i of step k
 * at left + offset[k] + i·row; the right one is packed into panels of 32 columns, [step][2 tiles]. */
#ifndef SUMI_BACKEND_CPU_TILES_H
#define SUMI_BACKEND_CPU_TILES_H
#include "backend/share.h"

enum { TILE_SIDE = 32, TILE_STEP = 32, RIGHT_STEP = TILE_SIDE * TILE_STEP, RIGHT_STEP_BYTES = 2 * RIGHT_STEP };

/* How many parts of `of` there are in n, the last one smaller where it must be. */
static inline size_t parts(size_t n, size_t of) { return (n + of - 1) / of; }
static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Sets up the tiles of the calling thread, which tiles_multiply() needs, and gives them back. */
void tiles_begin(void);
void tiles_end(void);

/* sums[32][32], 64-byte aligned, = or, where there is more, += the left factor's 32 rows times steps of a panel. Rows
 * that are not there must be readable. */
void tiles_multiply(const uint16_t *left, size_t row, const size_t *offset, size_t steps, const uint16_t *panel,
    bool more, float *sums);

/* `count` rows of so many values, one after the other, to rows that are `step` apart and end in zeros up to a whole
 * TILE_STEP. */
void tiles_copy(const uint16_t *from, size_t count, size_t values, size_t step, uint16_t *to);

/* One step of a panel: value k of column j is from[k·k_step + j·column_step]. Fewer values than TILE_STEP and fewer
 * columns than TILE_SIDE are filled up with zeros. */
void tiles_pack(const uint16_t *from, size_t values, size_t k_step, size_t columns, size_t column_step, uint16_t *to);

/* out = act(sums + bias + residual). */
typedef struct tiles_result {
	const float *bias;    /* [all columns]; NULL: none */
	const void *residual; /* at the places of out, and of its type; NULL: none. It may be out */
	void *out;
	dtype type; /* F32 or BF16 */
	activation activation;
} tiles_result;
bool tiles_activate(activation a); /* it is one of those that tiles_write() computes */

enum { NOWHERE = -1 };
/* Fetches what tiles_write() will touch, while the product before it is computed. */
void tiles_expect(const tiles_result *r, const ptrdiff_t *place, size_t column);
/* Row i of the sums goes to out[place[i] + column …], as many as `columns`, or nowhere. Changes the sums. */
void tiles_write(const tiles_result *r, float *sums, const ptrdiff_t *place, size_t column, size_t columns);

extern const kernel tiles_matmul, tiles_conv;

#endif
