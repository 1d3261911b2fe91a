/* attention_mma.cu - attention of bf16 by the matrix units (Dao 2023, arXiv:2307.08691): heads up to 160 wide, filled
 * up with zeros to D columns.
 *
 * A warp owns 16·M rows of queries, so that what it loads of a key or value serves M products; tiles of keys and values
 * pass through shared memory, the next being copied while one is computed with. Scores stay in the registers in which
 * they were made: summed pairs of one product are the A of the next. */
#include "backend/cuda/kernels/attention_tiles.cuh"

/* Keys of tile `start` that a row does not see get −∞, the others their bias; scores are not scaled yet. */
template <int N> DEVICE void mask_scores(float (*s)[4], const attention_params &p, uint32_t first, uint32_t start)
{
	lane_place l = lane_of_warp();
	UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++)
	{
		uint32_t key = start + 8 * j + 2 * l.t + i % 2, query = first + l.g + i / 2 * 8;
		if (key >= seen_by(p, query))
			s[j][i] = -INFINITY;
		else if (p.bias && query < p.queries)
			s[j][i] += bias_of(p, query)[key] / p.scale;
	}
}

/* A row's softmax's own share do·o, from an o that is not rounded yet; sum: of row g or g + 8. */
template <int D>
DEVICE float share_of(const attention_params &p, uint32_t row, int half, const float (*sum)[4], float factor)
{
	lane_place l = lane_of_warp();
	const bf16 *d = row_at<bf16>(p.d, p, p.queries, row < p.queries ? row : 0);
	float share = 0;
	UNROLL for (int j = 0; j < D / 8; j++) UNROLL for (int i = 0; i < 2; i++)
	{
		uint32_t column = 8 * j + 2 * l.t + i;
		if (column < p.width) share += sum[j][2 * half + i] * factor * widen(d[column]);
	}
	return of_four(share);
}

/* s[M][rows 16][keys 8·N] = q·keyᵀ, not scaled */
template <int D, int M, int N> DEVICE void score(float (*s)[N][4], const uint32_t (*q)[D / 16][4], const bf16 *keys)
{
	uint32_t b[4];
	UNROLL for (int m = 0; m < M; m++) UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++)
	    s[m][j][i] = 0;
	UNROLL for (int k = 0; k < D / 16; k++) UNROLL for (int j = 0; j < N / 2; j++)
	{
		load_b<D>(b, keys, j, k);
		UNROLL for (int m = 0; m < M; m++)
		{
			multiply(s[m][2 * j], q[m][k], b[0], b[1]);
			multiply(s[m][2 * j + 1], q[m][k], b[2], b[3]);
		}
	}
}

/* sum[M][rows 16][D] += s·values, s rounded to bf16 */
template <int D, int M, int N>
DEVICE void add_values(float (*sum)[D / 8][4], const float (*s)[N][4], const bf16 *values)
{
	uint32_t a[M][4], b[4];
	UNROLL for (int k = 0; k < N / 2; k++)
	{
		UNROLL for (int m = 0; m < M; m++) UNROLL for (int i = 0; i < 4; i++)
		{
			const float *pair = &s[m][2 * k + i / 2][i % 2 * 2];
			a[m][i] = pair_of(pair[0], pair[1]);
		}
		UNROLL for (int j = 0; j < D / 16; j++)
		{
			load_b_summed<D>(b, values, k, j);
			UNROLL for (int m = 0; m < M; m++)
			{
				multiply(sum[m][2 * j], a[m], b[0], b[1]);
				multiply(sum[m][2 * j + 1], a[m], b[2], b[3]);
			}
		}
	}
}

/* The softmax runs along: s becomes exponentials, whose sum (of this lane's columns) and whose products so far are
 * scaled down where a higher score has come. most: of rows g and g + 8; factor: of scores, to powers of 2. */
template <int D, int N>
DEVICE void exponentiate(float (*s)[4], float (*sum)[4], float *most, float *total, float factor)
{
	UNROLL for (int half = 0; half < 2; half++)
	{
		float higher = most[half];
		UNROLL for (int j = 0; j < N; j++) higher = fmaxf(higher, fmaxf(s[j][2 * half], s[j][2 * half + 1]));
		higher = most_of_four(higher);
		float kept = power_of_2((most[half] - higher) * factor), shift = higher * factor, added = 0;
		most[half] = higher;
		UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 2 * half; i < 2 * half + 2; i++)
		{
			s[j][i] = power_of_2(s[j][i] * factor - shift);
			added += s[j][i];
		}
		total[half] = total[half] * kept + added;
		UNROLL for (int j = 0; j < D / 8; j++) sum[j][2 * half] *= kept, sum[j][2 * half + 1] *= kept;
	}
}

/* Writes the 16 rows from `first` on, and what the gradient needs of each. */
template <int D>
DEVICE void put_results(
    const attention_params &p, uint32_t first, const float (*sum)[4], const float *most, float *total)
{
	lane_place l = lane_of_warp();
	float rest[2];
	UNROLL for (int half = 0; half < 2; half++)
	{
		uint32_t row = first + l.g + 8 * half;
		total[half] = of_four(total[half]);
		rest[half] = 1 / total[half];
		if (!p.log_sum) continue;
		float share = share_of<D>(p, row, half, sum, rest[half]);
		if (l.t || row >= p.queries) continue;
		p.log_sum[(size_t)blockIdx.y * p.queries + row] = most[half] * p.scale + logf(total[half]);
		p.share[(size_t)blockIdx.y * p.queries + row] = share;
	}
	if (p.o) put_rows<D>(p.o, p, p.queries, first, sum, rest);
}

/* Shared memory, D + 8 wide: two tiles of KEYS keys and two of values; the block's queries pass through it first. */
template <int D, int M, int WARPS, int KEYS> DEVICE void attend(const attention_params &p)
{
	enum { N = KEYS / 8, THREADS = 32 * WARPS, OWN = 16 * M * WARPS, TILE = KEYS * (D + 8) };
	SHARED(bf16, tiles);
	uint32_t warp = threadIdx.x / 32, block = blockIdx.x * OWN, first = block + warp * 16 * M;
	uint32_t last = block + OWN < p.queries ? block + OWN : p.queries, end = seen_by(p, last - 1);
	uint32_t q[M][D / 16][4];
	float sum[M][D / 8][4] = {}, most[M][2], total[M][2] = {}, s[M][N][4];
	load_tile<D, THREADS>(tiles, p.q, p, p.queries, block, OWN);
	copies_end();
	copies_wait<0>();
	__syncthreads();
	UNROLL for (int m = 0; m < M; m++)
	{
		most[m][0] = most[m][1] = -INFINITY;
		UNROLL for (int k = 0; k < D / 16; k++) load_a<D>(q[m][k], tiles, (warp * M + m) * 16, k);
	}
	__syncthreads();
	load_tile<D, THREADS>(tiles, p.k, p, p.keys, 0, KEYS);
	load_tile<D, THREADS>(tiles + TILE, p.v, p, p.keys, 0, KEYS);
	copies_end();
	for (uint32_t start = 0, stage = 0; start < end; start += KEYS, stage ^= 1) {
		const bf16 *keys = tiles + stage * 2 * TILE, *values = keys + TILE;
		bf16 *next = tiles + (stage ^ 1) * 2 * TILE;
		copies_wait<0>();
		__syncthreads(); /* this tile is there, and nobody computes with the one before */
		if (start + KEYS < end) {
			load_tile<D, THREADS>(next, p.k, p, p.keys, start + KEYS, KEYS);
			load_tile<D, THREADS>(next + TILE, p.v, p, p.keys, start + KEYS, KEYS);
			copies_end();
		}
		score<D, M, N>(s, q, keys);
		UNROLL for (int m = 0; m < M; m++)
		{
			if (start + KEYS > p.keys || p.causal || p.bias) mask_scores<N>(s[m], p, first + 16 * m, start);
			exponentiate<D, N>(s[m], sum[m], most[m], total[m], p.scale * LOG2_E);
		}
		add_values<D, M, N>(sum, s, values);
	}
	UNROLL for (int m = 0; m < M; m++) put_results<D>(p, first + 16 * m, sum[m], most[m], total[m]);
}

/* Columns, M, warps, keys of a tile, blocks of a multiprocessor, as they were fastest on an H200 (docs/performance.md);
 * attention.c has the same. */
#define ATTENTION_KERNEL(D, M, WARPS, KEYS, BLOCKS) \
	KERNEL_OF(32 * WARPS, BLOCKS, attention_mma_##D, attention_params) { attend<D, M, WARPS, KEYS>(p); }
ATTENTION_KERNEL(32, 2, 4, 64, 1)
ATTENTION_KERNEL(48, 2, 8, 64, 1)
ATTENTION_KERNEL(64, 1, 8, 64, 2)
ATTENTION_KERNEL(80, 1, 8, 64, 1)
ATTENTION_KERNEL(128, 1, 8, 64, 1)
ATTENTION_KERNEL(160, 1, 4, 64, 1)
