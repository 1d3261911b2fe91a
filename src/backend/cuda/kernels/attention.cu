/* attention.cu - softmax(scale·q·kᵀ)·v for each head, and its gradient, without matrix units: for float, and for bf16
 * where heads are wider than attention_mma.cu takes. The softmax runs along (Milakov and Gimelshein 2018), scores are
 * computed anew for the gradient (Dao et al. 2022): no matrix of queries × keys is stored.
 *
 * A warp owns a row, a block eight. It meets the rows of the other side 32 at a time in shared memory: each lane makes
 * one score, then each lane sums over the 32 for the columns lane, lane + 32, …: A of them. */
#include "backend/cuda/kernels/attention.cuh"

enum { OWN = MAX_BLOCK / 32, MET = 32 };

DEVICE float warp_most(float x)
{
	for (int distance = 16; distance; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
	return x;
}

/* Copies rows first … of x to shared memory, `width + 1` floats apart, so that the lanes' rows begin in other banks;
 * rows from `tokens` on become zeros. */
template <class T>
DEVICE void load_rows(
    float *to, const void *x, const attention_params &p, uint32_t tokens, uint32_t first, uint32_t rows)
{
	for (uint32_t i = threadIdx.x; i < rows * p.width; i += MAX_BLOCK) {
		uint32_t row = i / p.width, column = i % p.width;
		float value = 0;
		if (first + row < tokens) value = widen(row_at<T>(x, p, tokens, first + row)[column]);
		to[row * (p.width + 1) + column] = value;
	}
}

DEVICE float dot(const float *a, const float *b, uint32_t n)
{
	float sum = 0;
	for (uint32_t i = 0; i < n; i++) sum += a[i] * b[i];
	return sum;
}

/* sum[a] += Σ over lanes of factor·row[lane][column a], factor being each lane's own */
template <int A> DEVICE void accumulate(float *sum, float factor, const float *rows, const attention_params &p)
{
	for (int j = 0; j < MET; j++) {
		float f = __shfl_sync(ALL_LANES, factor, j);
		const float *row = rows + j * (p.width + 1);
		UNROLL for (int a = 0; a < A; a++)
		{
			uint32_t column = threadIdx.x % 32 + 32 * a;
			if (column < p.width) sum[a] += f * row[column];
		}
	}
}

template <class T, int A>
DEVICE void put_row(void *y, const attention_params &p, uint32_t tokens, uint32_t i, const float *sum)
{
	if (i >= tokens) return;
	T *to = (T *)(uintptr_t)row_at<T>(y, p, tokens, i);
	UNROLL for (int a = 0; a < A; a++)
	{
		uint32_t column = threadIdx.x % 32 + 32 * a;
		if (column < p.width) to[column] = narrow<T>(sum[a]);
	}
}

/* ── forward; and what the gradient needs of each query: the logarithm of its sum of exponentials, and its softmax's
 * own share Σj pj·(do·vj) = do·o, from an o that is not rounded yet ── */

/* Shared memory: OWN rows, then MET rows, width + 1 floats each. */
template <class T, int A> DEVICE void attend(const attention_params &p)
{
	SHARED(float, own);
	float *met = own + OWN * (p.width + 1);
	uint32_t first = blockIdx.x * OWN, warp = threadIdx.x / 32, lane = threadIdx.x % 32, query = first + warp;
	uint32_t last = first + OWN < p.queries ? first + OWN : p.queries, seen = seen_by(p, query);
	float most = -INFINITY, total = 0, sum[A] = {};
	load_rows<T>(own, p.q, p, p.queries, first, OWN);
	for (uint32_t start = 0; start < seen_by(p, last - 1); start += MET) {
		__syncthreads();
		load_rows<T>(met, p.k, p, p.keys, start, MET);
		__syncthreads();
		float score = p.scale * dot(own + warp * (p.width + 1), met + lane * (p.width + 1), p.width);
		if (start + lane >= seen)
			score = -INFINITY;
		else if (p.bias && query < p.queries)
			score += bias_of(p, query)[start + lane];
		float higher = fmaxf(most, warp_most(score));
		float kept = higher > most ? expf(most - higher) : 1, e = score > -INFINITY ? expf(score - higher) : 0;
		most = higher;
		total = total * kept + warp_sum(e);
		UNROLL for (int a = 0; a < A; a++) sum[a] *= kept;
		__syncthreads();
		load_rows<T>(met, p.v, p, p.keys, start, MET);
		__syncthreads();
		accumulate<A>(sum, e, met, p);
	}
	UNROLL for (int a = 0; a < A; a++) sum[a] /= total;
	if (p.o) put_row<T, A>(p.o, p, p.queries, query, sum);
	if (!p.log_sum || query >= p.queries) return;
	const T *d = row_at<T>(p.d, p, p.queries, query);
	float share = 0;
	UNROLL for (int a = 0; a < A; a++)
	{
		uint32_t column = lane + 32 * a;
		if (column < p.width) share += sum[a] * widen(d[column]);
	}
	share = warp_sum(share);
	if (lane) return;
	p.log_sum[(size_t)blockIdx.y * p.queries + query] = most + logf(total);
	p.share[(size_t)blockIdx.y * p.queries + query] = share;
}

/* ── the gradient ── */

/* dq: a warp for each query. Shared memory: OWN rows of q and of do, then MET rows. */
template <class T, int A> DEVICE void differentiate_queries(const attention_params &p)
{
	SHARED(float, own);
	uint32_t room = OWN * (p.width + 1), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
	float *slopes = own + room, *met = slopes + room;
	uint32_t first = blockIdx.x * OWN, query = first + warp, seen = seen_by(p, query);
	uint32_t last = first + OWN < p.queries ? first + OWN : p.queries;
	size_t at = (size_t)blockIdx.y * p.queries + (query < p.queries ? query : 0);
	float log_sum = p.log_sum[at], share = p.share[at], sum[A] = {};
	load_rows<T>(own, p.q, p, p.queries, first, OWN);
	load_rows<T>(slopes, p.d, p, p.queries, first, OWN);
	for (uint32_t start = 0; start < seen_by(p, last - 1); start += MET) {
		__syncthreads();
		load_rows<T>(met, p.v, p, p.keys, start, MET);
		__syncthreads();
		float slope = dot(slopes + warp * (p.width + 1), met + lane * (p.width + 1), p.width);
		__syncthreads();
		load_rows<T>(met, p.k, p, p.keys, start, MET);
		__syncthreads();
		float score = p.scale * dot(own + warp * (p.width + 1), met + lane * (p.width + 1), p.width);
		float e = start + lane < seen ? expf(score - log_sum) : 0;
		accumulate<A>(sum, e * (slope - share) * p.scale, met, p);
	}
	put_row<T, A>(p.dq, p, p.queries, query, sum);
}

/* dk and dv: a warp for each key. Shared memory: OWN rows of k and of v, then MET rows of q and of do. */
template <class T, int A> DEVICE void differentiate_keys(const attention_params &p)
{
	SHARED(float, own);
	uint32_t room = OWN * (p.width + 1), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
	float *values = own + room, *met = values + room;
	uint32_t first = blockIdx.x * OWN, key = first + warp;
	float key_sum[A] = {}, value_sum[A] = {};
	load_rows<T>(own, p.k, p, p.keys, first, OWN);
	load_rows<T>(values, p.v, p, p.keys, first, OWN);
	for (uint32_t start = p.causal ? first / MET * MET : 0; start < p.queries; start += MET) {
		uint32_t query = start + lane;
		size_t at = (size_t)blockIdx.y * p.queries + (query < p.queries ? query : 0);
		bool meets = query < p.queries && key < seen_by(p, query);
		__syncthreads();
		load_rows<T>(met, p.q, p, p.queries, start, MET);
		__syncthreads();
		float score = p.scale * dot(own + warp * (p.width + 1), met + lane * (p.width + 1), p.width);
		float e = meets ? expf(score - p.log_sum[at]) : 0;
		__syncthreads();
		load_rows<T>(met, p.d, p, p.queries, start, MET);
		__syncthreads();
		float slope = dot(values + warp * (p.width + 1), met + lane * (p.width + 1), p.width);
		accumulate<A>(value_sum, e, met, p);
		__syncthreads();
		load_rows<T>(met, p.q, p, p.queries, start, MET);
		__syncthreads();
		accumulate<A>(key_sum, meets ? e * (slope - p.share[at]) * p.scale : 0, met, p);
	}
	put_row<T, A>(p.dk, p, p.keys, key, key_sum);
	put_row<T, A>(p.dv, p, p.keys, key, value_sum);
}

/* Columns of a lane: heads up to 64, 160 and 512 wide. */
#define ATTENTION_KERNELS(type, name, columns)                                                             \
	KERNEL(attention_##columns##_##name, attention_params) { attend<type, columns>(p); }                   \
	KERNEL(attention_dq_##columns##_##name, attention_params) { differentiate_queries<type, columns>(p); } \
	KERNEL(attention_dkv_##columns##_##name, attention_params) { differentiate_keys<type, columns>(p); }
ATTENTION_KERNELS(float, f32, 2)
ATTENTION_KERNELS(float, f32, 5)
ATTENTION_KERNELS(float, f32, 16)
ATTENTION_KERNELS(bf16, bf16, 2)
ATTENTION_KERNELS(bf16, bf16, 5)
ATTENTION_KERNELS(bf16, bf16, 16)
