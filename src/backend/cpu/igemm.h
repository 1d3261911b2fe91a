/* igemm.h - matrix products and convolutions in f32 by indirection: no im2col, and activations are not packed.
 *
 * One micro-kernel adds up a tile of rows × columns over a list of segments. In a segment, row i of A is read from its
 * own pointer with a fixed step, and B from one pointer with a fixed step. A convolution's segments are its taps, where
 * each row's pointer is the pixel under the tap (or zeros); a weight gradient's are the picture's rows; a matrix
 * product has one. Every element of the result is summed in one order whatever the tiles and the threads, so
 * results are the same to the bit for any number of threads. The idea of the indirection buffer is Dukhan's (arXiv
 * 1907.02129). */
#ifndef SUMI_BACKEND_CPU_IGEMM_H
#define SUMI_BACKEND_CPU_IGEMM_H
#include "backend/share.h"

enum { TILE_ROWS = 6, TILE_COLUMNS = 16 };

typedef struct segment {
	const float *a[TILE_ROWS]; /* of each row; rows that are not there repeat another */
	const float *b;            /* TILE_COLUMNS consecutive floats for each k */
	int k;
} segment;

/* tile[row][column] = Σ over segments and k of a[row][a_shift + k·a_step] · b[b_shift + k·b_step + column].
 * Where `columns` is under TILE_COLUMNS, the other columns are neither read nor defined. */
typedef void tile_kernel(const segment *list, int count, ptrdiff_t a_shift, ptrdiff_t a_step, ptrdiff_t b_shift,
    ptrdiff_t b_step, int columns, float *tile);
tile_kernel tile_avx2;
tile_kernel *igemm_tile(void); /* the best of this CPU; NULL: none */

/* What is done to a tile on its way out: act(tile + bias + residual). */
typedef struct epilogue {
	const float *bias, *residual; /* [all columns]; at the offsets of out. NULL: none */
	activation activation;
} epilogue;
/* Writes a tile's rows × columns to out, row i at out + offset[i] + column. */
void tile_store(
    const float *tile, int rows, int columns, int column, const epilogue *e, float *out, const size_t *offset);

extern const kernel igemm_matmul, igemm_matmul_transposed, igemm_conv, igemm_conv_dx, igemm_conv_dw;

/* A's transpose, cut into tiles: [tiles][rows][TILE_ROWS], columns that are not there are zeros. */
size_t igemm_transposed_floats(size_t rows, int columns);
void igemm_transpose(const float *a, size_t rows, int columns, float *out, int threads);
/* Sums longer than this are added up in parts: it keeps their error small, and B's part in the cache. */
enum { LONGEST_SUM = 2048 };

#endif
