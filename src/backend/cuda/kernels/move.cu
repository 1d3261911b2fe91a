/* move.cu - operations that only move values, whatever their type, and sums over axes. */
#include "backend/cuda/kernels/kernel.cuh"

/* One kernel for each unit that is moved at once: PERMUTE, SLICE, PAD, CONCAT, SPREAD, packing of weights. */
template <class U> DEVICE void move_body(const move_params &p)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		uint32_t rest = (uint32_t)i;
		size_t to = 0, from = 0;
		UNROLL for (int axis = 3; axis >= 0; axis--)
		{
			uint32_t k = rest % p.d[axis];
			rest /= p.d[axis];
			to += k * p.to_step[axis];
			from += k * p.from_step[axis];
		}
		((U *)p.to)[to] = ((const U *)p.from)[from];
	}
}
KERNEL(move_16, move_params) { move_body<pack<uint32_t>>(p); }
KERNEL(move_8, move_params) { move_body<uint64_t>(p); }
KERNEL(move_4, move_params) { move_body<uint32_t>(p); }
KERNEL(move_2, move_params) { move_body<uint16_t>(p); }
KERNEL(move_1, move_params) { move_body<uint8_t>(p); }

/* ── SUM_TO ── */

DEVICE size_t place(uint32_t i, const uint32_t *d, const size_t *step)
{
	size_t at = 0;
	UNROLL for (int axis = 3; axis >= 0; axis--)
	{
		at += (size_t)(i % d[axis]) * step[axis];
		i /= d[axis];
	}
	return at;
}

template <class T> DEVICE void put_sum(const sum_params &p, uint32_t output, uint32_t chunk, float sum)
{
	if (p.chunks > 1)
		p.part[(size_t)chunk * p.outputs + output] = sum;
	else
		((T *)p.y)[output] = narrow<T>(sum);
}

/* A block sums one chunk. `columns`: of 32 neighbouring outputs, eight threads to each; otherwise of one output. */
template <class T> DEVICE void sum_columns(const sum_params &p)
{
	SHARED(float, room); /* [8][32] */
	uint32_t column = threadIdx.x % 32, row = threadIdx.x / 32, rows = blockDim.x / 32;
	uint32_t output = blockIdx.x * 32 + column, first = blockIdx.y * p.chunk;
	uint32_t end = first + p.chunk < p.sums ? first + p.chunk : p.sums;
	float sum = 0;
	if (output < p.outputs) {
		const T *x = (const T *)p.x + place(output, p.out_d, p.out_step);
		for (uint32_t s = first + row; s < end; s += rows) sum += widen(x[place(s, p.sum_d, p.sum_step)]);
	}
	room[row * 32 + column] = sum;
	__syncthreads();
	if (row || output >= p.outputs) return;
	for (uint32_t r = 1; r < rows; r++) sum += room[r * 32 + column];
	put_sum<T>(p, output, blockIdx.y, sum);
}

template <class T> DEVICE void sum_rows(const sum_params &p)
{
	SHARED(float, room); /* [32] */
	uint32_t output = blockIdx.x, first = blockIdx.y * p.chunk;
	uint32_t end = first + p.chunk < p.sums ? first + p.chunk : p.sums;
	const T *x = (const T *)p.x + place(output, p.out_d, p.out_step);
	float sum = 0;
	for (uint32_t s = first + threadIdx.x; s < end; s += blockDim.x) sum += widen(x[place(s, p.sum_d, p.sum_step)]);
	sum = block_sum(sum, room);
	if (threadIdx.x == 0) put_sum<T>(p, output, blockIdx.y, sum);
}

template <class T> DEVICE void sum_body(const sum_params &p)
{
	if (p.columns)
		sum_columns<T>(p);
	else
		sum_rows<T>(p);
}
KERNELS(sum, sum_params)

/* The sums of the chunks, in order. */
template <class T> DEVICE void sum_parts_body(const sum_params &p)
{
	for (size_t o = first_index(); o < p.outputs; o += all_threads()) {
		float sum = 0;
		for (uint32_t c = 0; c < p.chunks; c++) sum += p.part[c * (size_t)p.outputs + o];
		((T *)p.y)[o] = narrow<T>(sum);
	}
}
KERNELS(sum_parts, sum_params)
