/* attention_mma.cu - attention of bf16 by the matrix units, forward and backward (Dao 2023, arXiv:2307.08691): heads up
 * to 160 wide, filled up with zeros to D columns.
 *
 * A warp owns 16 rows, a block 64; rows of the other side pass through shared memory in tiles. Scores stay in the
 * registers in which they were made: summed pairs of one product are the A of the next. */
#include "backend/cuda/kernels/mma.cuh"

enum { WARPS = 4, THREADS = 32 * WARPS, OWN = 16 * WARPS };

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

/* Row `i` of this block's head in [N, T, heads·width]. */
DEVICE const bf16 *row_at(const void *x, const attention_params &p, uint32_t tokens, uint32_t i)
{
	size_t n = blockIdx.y / p.heads, head = blockIdx.y % p.heads;
	return (const bf16 *)x + ((n * tokens + i) * p.heads + head) * p.width;
}

/* A tile of rows in shared memory, D + 8 apart so that neighbouring rows begin in other banks. Rows from `tokens` on
 * and columns from `width` on are zeros. */
template <int D>
DEVICE void load_tile(
    bf16 *to, const void *x, const attention_params &p, uint32_t tokens, uint32_t first, uint32_t rows)
{
	for (uint32_t i = threadIdx.x; i < rows * (D / 8); i += THREADS) {
		uint32_t row = i / (D / 8), column = i % (D / 8) * 8;
		pack<bf16> value = {};
		if (first + row < tokens) {
			const bf16 *from = row_at(x, p, tokens, first + row) + column;
			if (p.packs) {
				if (column < p.width) value = *(const pack<bf16> *)from;
			} else
				UNROLL for (uint32_t k = 0; k < 8; k++) if (column + k < p.width) value.v[k] = from[k];
		}
		*(pack<bf16> *)(to + row * (D + 8) + column) = value;
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

/* s[rows 16][tile rows 8·N] = A·tileᵀ */
template <int D, int N> DEVICE void scores(float (*s)[4], const uint32_t (*a)[4], const bf16 *tile)
{
	uint32_t b[4];
	UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++) s[j][i] = 0;
	UNROLL for (int k = 0; k < D / 16; k++) UNROLL for (int j = 0; j < N / 2; j++)
	{
		load_b<D>(b, tile, j, k);
		multiply(s[2 * j], a[k], b[0], b[1]);
		multiply(s[2 * j + 1], a[k], b[2], b[3]);
	}
}

/* The same with an A that lies in shared memory, from `row` on. */
template <int D, int N> DEVICE void scores_of(float (*s)[4], const bf16 *own, uint32_t row, const bf16 *tile)
{
	uint32_t a[4], b[4];
	UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++) s[j][i] = 0;
	UNROLL for (int k = 0; k < D / 16; k++)
	{
		load_a<D>(a, own, row, k);
		UNROLL for (int j = 0; j < N / 2; j++)
		{
			load_b<D>(b, tile, j, k);
			multiply(s[2 * j], a, b[0], b[1]);
			multiply(s[2 * j + 1], a, b[2], b[3]);
		}
	}
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
		bf16 *to = (bf16 *)(uintptr_t)row_at(y, p, tokens, row);
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

DEVICE uint32_t seen_by(const attention_params &p, uint32_t query)
{
	return p.causal && query + 1 < p.keys ? query + 1 : p.keys;
}

static constexpr float LOG2_E = 1.44269504088896341f;

/* ── forward ── */

/* Keys of tile `start` that a row does not see get −∞, the others their bias; scores are not scaled yet. */
template <int N> DEVICE void mask_scores(float (*s)[4], const attention_params &p, uint32_t first, uint32_t start)
{
	lane_place l = lane_of_warp();
	size_t n = p.bias ? blockIdx.y / p.heads % p.biases : 0, head = blockIdx.y % p.heads;
	UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++)
	{
		uint32_t key = start + 8 * j + 2 * l.t + i % 2, query = first + l.g + i / 2 * 8;
		if (key >= seen_by(p, query))
			s[j][i] = -INFINITY;
		else if (p.bias && query < p.queries)
			s[j][i] += p.bias[((n * p.heads + head) * p.queries + query) * p.keys + key] / p.scale;
	}
}

/* A row's softmax's own share do·o, from an o that is not rounded yet; sum: of row g or g + 8. */
template <int D>
DEVICE float share_of(const attention_params &p, uint32_t row, int half, const float (*sum)[4], float factor)
{
	lane_place l = lane_of_warp();
	const bf16 *d = row_at(p.d, p, p.queries, row < p.queries ? row : 0);
	float share = 0;
	UNROLL for (int j = 0; j < D / 8; j++) UNROLL for (int i = 0; i < 2; i++)
	{
		uint32_t column = 8 * j + 2 * l.t + i;
		if (column < p.width) share += sum[j][2 * half + i] * factor * widen(d[column]);
	}
	return of_four(share);
}

/* Shared memory: OWN rows of q, whose room K and V tiles of KEYS rows take afterwards; D + 8 wide. */
template <int D, int KEYS> DEVICE void attend(const attention_params &p)
{
	enum { N = KEYS / 8 };
	SHARED(bf16, tile_k);
	bf16 *tile_v = tile_k + KEYS * (D + 8);
	uint32_t warp = threadIdx.x / 32, block = blockIdx.x * OWN, first = block + warp * 16;
	uint32_t last = block + OWN < p.queries ? block + OWN : p.queries, end = seen_by(p, last - 1);
	uint32_t q[D / 16][4];
	float sum[D / 8][4] = {}, most[2] = { -INFINITY, -INFINITY }, total[2] = { 0, 0 }, s[N][4];
	float factor = p.scale * LOG2_E;
	load_tile<D>(tile_k, p.q, p, p.queries, block, OWN);
	__syncthreads();
	UNROLL for (int k = 0; k < D / 16; k++) load_a<D>(q[k], tile_k, warp * 16, k);
	for (uint32_t start = 0; start < end; start += KEYS) {
		__syncthreads();
		load_tile<D>(tile_k, p.k, p, p.keys, start, KEYS);
		load_tile<D>(tile_v, p.v, p, p.keys, start, KEYS);
		__syncthreads();
		scores<D, N>(s, q, tile_k);
		if (start + KEYS > p.keys || p.causal || p.bias) mask_scores<N>(s, p, first, start);
		UNROLL for (int half = 0; half < 2; half++)
		{
			float higher = most[half];
			UNROLL for (int j = 0; j < N; j++) higher = fmaxf(higher, fmaxf(s[j][2 * half], s[j][2 * half + 1]));
			higher = most_of_four(higher);
			float kept = exp2f((most[half] - higher) * factor);
			most[half] = higher;
			total[half] *= kept;
			UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 2 * half; i < 2 * half + 2; i++)
			{
				s[j][i] = exp2f((s[j][i] - higher) * factor);
				total[half] += s[j][i];
			}
			UNROLL for (int j = 0; j < D / 8; j++) sum[j][2 * half] *= kept, sum[j][2 * half + 1] *= kept;
		}
		add_product<D, N>(sum, s, tile_v);
	}
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

/* ── the gradient ── */

/* s becomes the probabilities, d (dO·Vᵀ) the gradients of the scores. Rows are queries, columns keys. */
template <int N>
DEVICE void slopes_of_queries(float (*s)[4], float (*d)[4], const attention_params &p, uint32_t first, uint32_t start,
    const float *log_sum, const float *share)
{
	lane_place l = lane_of_warp();
	UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++)
	{
		uint32_t key = start + 8 * j + 2 * l.t + i % 2;
		bool seen = key < seen_by(p, first + l.g + i / 2 * 8);
		s[j][i] = seen ? exp2f((s[j][i] * p.scale - log_sum[i / 2]) * LOG2_E) : 0;
		d[j][i] = s[j][i] * (d[j][i] - share[i / 2]) * p.scale;
	}
}

/* dq. Shared memory: OWN rows of q, then of do, in whose room tiles of k and v lie afterwards. */
template <int D, int KEYS> DEVICE void differentiate_queries(const attention_params &p)
{
	enum { N = KEYS / 8 };
	SHARED(bf16, tile_k);
	bf16 *tile_v = tile_k + KEYS * (D + 8);
	uint32_t warp = threadIdx.x / 32, block = blockIdx.x * OWN, first = block + warp * 16;
	uint32_t last = block + OWN < p.queries ? block + OWN : p.queries, end = seen_by(p, last - 1);
	uint32_t q[D / 16][4], d[D / 16][4];
	float sum[D / 8][4] = {}, s[N][4], slope[N][4], log_sum[2], share[2], one[] = { 1, 1 };
	lane_place l = lane_of_warp();
	UNROLL for (int half = 0; half < 2; half++)
	{
		uint32_t row = first + l.g + 8 * half;
		size_t at = (size_t)blockIdx.y * p.queries + (row < p.queries ? row : 0);
		log_sum[half] = p.log_sum[at];
		share[half] = p.share[at];
	}
	load_tile<D>(tile_k, p.q, p, p.queries, block, OWN);
	__syncthreads();
	UNROLL for (int k = 0; k < D / 16; k++) load_a<D>(q[k], tile_k, warp * 16, k);
	__syncthreads();
	load_tile<D>(tile_k, p.d, p, p.queries, block, OWN);
	__syncthreads();
	UNROLL for (int k = 0; k < D / 16; k++) load_a<D>(d[k], tile_k, warp * 16, k);
	for (uint32_t start = 0; start < end; start += KEYS) {
		__syncthreads();
		load_tile<D>(tile_k, p.k, p, p.keys, start, KEYS);
		load_tile<D>(tile_v, p.v, p, p.keys, start, KEYS);
		__syncthreads();
		scores<D, N>(s, q, tile_k);
		scores<D, N>(slope, d, tile_v);
		slopes_of_queries<N>(s, slope, p, first, start, log_sum, share);
		add_product<D, N>(sum, slope, tile_k);
	}
	put_rows<D>(p.dq, p, p.queries, first, sum, one);
}

/* dk and dv: rows are keys, columns queries. Shared memory: OWN rows of k and of v, then a tile of QUERIES rows of q
 * and one of do. */
template <int D, int QUERIES> DEVICE void differentiate_keys(const attention_params &p)
{
	enum { N = QUERIES / 8 };
	SHARED(bf16, own_k);
	bf16 *own_v = own_k + OWN * (D + 8), *tile_q = own_v + OWN * (D + 8), *tile_d = tile_q + QUERIES * (D + 8);
	uint32_t warp = threadIdx.x / 32, block = blockIdx.x * OWN, first = block + warp * 16;
	float key_sum[D / 8][4] = {}, value_sum[D / 8][4] = {}, s[N][4], slope[N][4], one[] = { 1, 1 };
	lane_place l = lane_of_warp();
	load_tile<D>(own_k, p.k, p, p.keys, block, OWN);
	load_tile<D>(own_v, p.v, p, p.keys, block, OWN);
	for (uint32_t start = p.causal ? block / QUERIES * QUERIES : 0; start < p.queries; start += QUERIES) {
		__syncthreads();
		load_tile<D>(tile_q, p.q, p, p.queries, start, QUERIES);
		load_tile<D>(tile_d, p.d, p, p.queries, start, QUERIES);
		__syncthreads();
		scores_of<D, N>(s, own_k, warp * 16, tile_q);
		scores_of<D, N>(slope, own_v, warp * 16, tile_d);
		UNROLL for (int j = 0; j < N; j++) UNROLL for (int i = 0; i < 4; i++)
		{
			uint32_t query = start + 8 * j + 2 * l.t + i % 2, key = first + l.g + i / 2 * 8;
			size_t at = (size_t)blockIdx.y * p.queries + (query < p.queries ? query : 0);
			bool meets = query < p.queries && key < seen_by(p, query);
			s[j][i] = meets ? exp2f((s[j][i] * p.scale - p.log_sum[at]) * LOG2_E) : 0;
			slope[j][i] = s[j][i] * (slope[j][i] - p.share[at]) * p.scale;
		}
		add_product<D, N>(value_sum, s, tile_d);
		add_product<D, N>(key_sum, slope, tile_q);
	}
	put_rows<D>(p.dk, p, p.keys, first, key_sum, one);
	put_rows<D>(p.dv, p, p.keys, first, value_sum, one);
}

/* columns, keys of a tile forward, keys of a tile for dq, queries of a tile for dk and dv: attention.c has the same */
#define ATTENTION_KERNELS(D, KEYS, DQ_KEYS, QUERIES)                                                     \
	KERNEL_OF(THREADS, attention_mma_##D, attention_params) { attend<D, KEYS>(p); }                      \
	KERNEL_OF(THREADS, attention_mma_dq_##D, attention_params) { differentiate_queries<D, DQ_KEYS>(p); } \
	KERNEL_OF(THREADS, attention_mma_dkv_##D, attention_params) { differentiate_keys<D, QUERIES>(p); }
ATTENTION_KERNELS(32, 64, 64, 32)
ATTENTION_KERNELS(48, 64, 64, 32)
ATTENTION_KERNELS(64, 64, 64, 32)
ATTENTION_KERNELS(80, 64, 64, 32)
ATTENTION_KERNELS(128, 64, 32, 32)
ATTENTION_KERNELS(160, 32, 32, 16)
