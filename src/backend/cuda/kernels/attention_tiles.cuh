/* attention_tiles.cuh - tiles of a head's rows in shared memory, and their products by the matrix units, for the
 * kernels of attention_mma.cu and attention_mma_gradient.cu. Heads are filled up with zeros to D columns; rows in
 * shared memory are D + 8 apart, so that neighbouring rows begin in other banks. */
#ifndef SUMI_BACKEND_CUDA_ATTENTION_TILES_H
#define SUMI_BACKEND_CUDA_ATTENTION_TILES_H
#include "backend/cuda/kernels/attention.cuh"
#include "backend/cuda/kernels/mma.cuh"

static constexpr float LOG2_E = 1.44269504088896341f;

struct lane_place { /* in a fragment: see mma.cuh */
	uint32_t g, t;
};

DEVICE lane_place lane_of_warp()
{
	lane_place l;
	l.g = threadIdx.x % 32 / 4;
	l.t = threadIdx.x % 4;
	return l;
}

/* Begins to copy `rows` rows from `first` on to shared memory; rows from `tokens` on and columns from p.width on become
 * zeros. Who reads them waits for the copies (mma.cuh), and then for the block. */
template <int D, int THREADS>
DEVICE void load_tile(
    bf16 *to, const void *x, const attention_params &p, uint32_t tokens, uint32_t first, uint32_t rows)
{
	for (uint32_t i = threadIdx.x; i < rows * (D / 8); i += THREADS) {
		uint32_t row = i / (D / 8), column = i % (D / 8) * 8;
		bool there = first + row < tokens && column < p.width;
		bf16 *at = to + row * (D + 8) + column;
		const bf16 *from = row_at<bf16>(x, p, tokens, there ? first + row : 0) + (there ? column : 0);
		if (p.packs) {
			copy_later(at, from, there);
			continue;
		}
		pack<bf16> value = {};
		UNROLL for (uint32_t k = 0; k < 8; k++) if (there && column + k < p.width) value.v[k] = from[k];
		*(pack<bf16> *)at = value;
	}
}

/* A: rows 16 of a tile from `row` on, columns 16·k … */
template <int D> DEVICE void load_a(uint32_t *a, const bf16 *tile, uint32_t row, int k)
{
	uint32_t lane = threadIdx.x % 32;
	load_matrices(a, tile + (row + lane % 16) * (D + 8) + k * 16 + lane / 16 * 8);
}

/* B where a tile's rows are its columns: rows 16·j …, columns 16·k …: two B of eight columns each */
template <int D> DEVICE void load_b(uint32_t *b, const bf16 *tile, int j, int k)
{
	uint32_t lane = threadIdx.x % 32;
	load_matrices(b, tile + (j * 16 + lane % 8 + lane / 16 * 8) * (D + 8) + k * 16 + lane / 8 % 2 * 8);
}

/* B where a tile's rows are summed over: rows 16·k …, columns 16·j …: two B of eight columns each */
template <int D> DEVICE void load_b_summed(uint32_t *b, const bf16 *tile, int k, int j)
{
	uint32_t lane = threadIdx.x % 32;
	load_transposed(b, tile + (k * 16 + lane % 16) * (D + 8) + j * 16 + lane / 16 * 8);
}

/* sum[rows 16][D] += s·tile, s rounded to bf16 */
template <int D, int N> DEVICE void add_product(float (*sum)[4], const float (*s)[4], const bf16 *tile)
{
	uint32_t b[4];
	UNROLL for (int k = 0; k < N / 2; k++)
	{
		uint32_t a[] = { pair_of(s[2 * k][0], s[2 * k][1]), pair_of(s[2 * k][2], s[2 * k][3]),
			pair_of(s[2 * k + 1][0], s[2 * k + 1][1]), pair_of(s[2 * k + 1][2], s[2 * k + 1][3]) };
		UNROLL for (int j = 0; j < D / 16; j++)
		{
			load_b_summed<D>(b, tile, k, j);
			multiply(sum[2 * j], a, b[0], b[1]);
			multiply(sum[2 * j + 1], a, b[2], b[3]);
		}
	}
}

/* Writes 16 rows from `first` on; factor: of rows g and g + 8. */
template <int D>
DEVICE void put_rows(
    void *y, const attention_params &p, uint32_t tokens, uint32_t first, const float (*sum)[4], const float *factor)
{
	lane_place l = lane_of_warp();
	UNROLL for (int half = 0; half < 2; half++)
	{
		uint32_t row = first + l.g + 8 * half;
		if (row >= tokens) continue;
		bf16 *to = (bf16 *)(uintptr_t)row_at<bf16>(y, p, tokens, row);
		UNROLL for (int j = 0; j < D / 8; j++)
		{
			uint32_t column = 8 * j + 2 * l.t;
			float a = sum[j][2 * half] * factor[half], b = sum[j][2 * half + 1] * factor[half];
			if (p.packs && column < p.width)
				*(uint32_t *)(to + column) = pair_of(a, b);
			else {
				if (column < p.width) to[column] = to_bf16(a);
				if (column + 1 < p.width) to[column + 1] = to_bf16(b);
			}
		}
	}
}

DEVICE float of_four(float x) /* the sum over the four lanes that share a row */
{
	x += __shfl_xor_sync(ALL_LANES, x, 1);
	return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

DEVICE float most_of_four(float x)
{
	x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
	return fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
}

#endif
