/* update.cu - what changes weights: sums of squares, clipping, averages, SGD and AdamW, in float as the reference has
 * them. numbers: the caller's, in device memory, since they change from step to step. */
#include "backend/cuda/kernels/kernel.cuh"

/* The sum over a block in double, in thread 0; room: 8 bytes for each warp. */
DEVICE double block_sum_double(double x, double *room)
{
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
	for (int distance = 16; distance; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
	__syncthreads();
	if (lane == 0) room[warp] = x;
	__syncthreads();
	if (threadIdx.x) return 0;
	for (int i = 1; i < warps; i++) x += room[i];
	return x;
}

KERNEL(squares, squares_params)
{
	SHARED(double, room);
	size_t first = (size_t)blockIdx.x * SQUARES_CHUNK, end = first + SQUARES_CHUNK < p.n ? first + SQUARES_CHUNK : p.n;
	double sum = 0;
	for (size_t i = first + threadIdx.x; i < end; i += blockDim.x) sum += (double)p.x[i] * (double)p.x[i];
	sum = block_sum_double(sum, room);
	if (threadIdx.x == 0) p.part[blockIdx.x] = sum;
}

/* One block: adds up the parts. */
KERNEL(squares_join, squares_params)
{
	SHARED(double, room);
	double sum = 0;
	for (uint32_t i = threadIdx.x; i < p.chunks; i += blockDim.x) sum += p.part[i];
	sum = block_sum_double(sum, room);
	if (threadIdx.x == 0) *p.sum = (p.before ? *p.before : 0) + sum;
}

/* One thread. weight: where the scale is written */
KERNEL(clip_scale, update_params)
{
	if (first_index()) return;
	double most = p.numbers[0], parts = p.numbers[1], norm = sqrt(*p.squares) / parts, scale = most / (norm + 1e-6);
	*p.weight = (float)((most > 0 && !(scale > 1) ? scale : 1) / parts);
}

KERNEL(accumulate, update_params)
{
	float keep = (float)p.numbers[0], take = (float)p.numbers[1];
	bool copies = keep == 0 && take == 1; /* whatever was there, NaN as well */
	for (size_t i = first_index(); i < p.n; i += all_threads())
		p.weight[i] = copies ? p.gradient[i] : keep * p.weight[i] + take * p.gradient[i];
}

KERNEL(update_sgd, update_params)
{
	float shrink = (float)p.numbers[0], rate = (float)p.numbers[1], momentum = (float)p.numbers[2], scale = *p.scale;
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		float g = p.gradient[i] * scale;
		if (p.first) g = p.first[i] = momentum * p.first[i] + g;
		p.weight[i] = p.weight[i] * shrink - rate * g;
	}
}

KERNEL(update_adamw, update_params)
{
	float shrink = (float)p.numbers[0], stride = (float)p.numbers[1], root = (float)p.numbers[2];
	float rest1 = (float)p.numbers[3], b2 = (float)p.numbers[4], rest2 = (float)p.numbers[5];
	float epsilon = (float)p.numbers[6], scale = *p.scale;
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		float g = p.gradient[i] * scale, m = p.first[i] + rest1 * (g - p.first[i]),
		      v = b2 * p.second[i] + rest2 * g * g;
		p.first[i] = m;
		p.second[i] = v;
		p.weight[i] = p.weight[i] * shrink - stride * m / (sqrtf(v) * root + epsilon);
	}
}
