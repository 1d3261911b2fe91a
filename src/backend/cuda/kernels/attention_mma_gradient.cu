/* attention_mma_gradient.cu - the gradient of attention in bf16 by the matrix units: scores are computed anew, of what
 * attention_mma.cu has left of each query. A warp owns 16 rows, a block 64; rows of the other side pass through shared
 * memory in tiles. */
#include "backend/cuda/kernels/attention_tiles.cuh"

enum { WARPS = 4, THREADS = 32 * WARPS, OWN = 16 * WARPS };

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
	load_tile<D, THREADS>(tile_k, p.q, p, p.queries, block, OWN);
	copies_end();
	copies_wait<0>();
	__syncthreads();
	UNROLL for (int k = 0; k < D / 16; k++) load_a<D>(q[k], tile_k, warp * 16, k);
	__syncthreads();
	load_tile<D, THREADS>(tile_k, p.d, p, p.queries, block, OWN);
	copies_end();
	copies_wait<0>();
	__syncthreads();
	UNROLL for (int k = 0; k < D / 16; k++) load_a<D>(d[k], tile_k, warp * 16, k);
	for (uint32_t start = 0; start < end; start += KEYS) {
		__syncthreads();
		load_tile<D, THREADS>(tile_k, p.k, p, p.keys, start, KEYS);
		load_tile<D, THREADS>(tile_v, p.v, p, p.keys, start, KEYS);
		copies_end();
		copies_wait<0>();
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
	load_tile<D, THREADS>(own_k, p.k, p, p.keys, block, OWN);
	load_tile<D, THREADS>(own_v, p.v, p, p.keys, block, OWN);
	for (uint32_t start = p.causal ? block / QUERIES * QUERIES : 0; start < p.queries; start += QUERIES) {
		__syncthreads();
		load_tile<D, THREADS>(tile_q, p.q, p, p.queries, start, QUERIES);
		load_tile<D, THREADS>(tile_d, p.d, p, p.queries, start, QUERIES);
		copies_end();
		copies_wait<0>();
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

/* columns, keys of a tile for dq, queries of a tile for dk and dv: attention.c has the same */
#define ATTENTION_KERNELS(D, KEYS, QUERIES)                                                           \
	KERNEL_OF(THREADS, 1, attention_mma_dq_##D, attention_params) { differentiate_queries<D, KEYS>(p); } \
	KERNEL_OF(THREADS, 1, attention_mma_dkv_##D, attention_params) { differentiate_keys<D, QUERIES>(p); }
ATTENTION_KERNELS(32, 64, 32)
ATTENTION_KERNELS(48, 64, 32)
ATTENTION_KERNELS(64, 64, 32)
ATTENTION_KERNELS(80, 64, 32)
ATTENTION_KERNELS(128, 32, 32)
ATTENTION_KERNELS(160, 32, 16)
