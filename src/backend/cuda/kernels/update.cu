/* update.cu - what changes weights: sums of squares, clipping, averages, SGD and AdamW, in float as the reference has
 * them. numbers: the caller's, in device memory, since they change from step to step. */
#include "backend/cuda/kernels/kernel.cuh"
#include "backend/cuda/kernels/sums.cuh"

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

/* One element: its moments and its weight. */
DEVICE void adamw(const double *numbers, float g, float *m, float *v, float *weight)
{
	float shrink = (float)numbers[0], stride = (float)numbers[1], root = (float)numbers[2];
	float rest1 = (float)numbers[3], b2 = (float)numbers[4], rest2 = (float)numbers[5], epsilon = (float)numbers[6];
	*m = *m + rest1 * (g - *m);
	*v = b2 * *v + rest2 * g * g;
	*weight = *weight * shrink - stride * *m / (sqrtf(*v) * root + epsilon);
}

KERNEL(update_adamw, update_params)
{
	float scale = *p.scale;
	for (size_t i = first_index(); i < p.n; i += all_threads())
		adamw(p.numbers, p.gradient[i] * scale, &p.first[i], &p.second[i], &p.weight[i]);
}

/* ── moments in 8 bits: a block for each EIGHT_BIT_BLOCK elements, which share their scales ── */

DEVICE uint8_t nearest_code(const float *values, float x)
{
	int low = 0;
	for (int half = EIGHT_BIT_VALUES / 2; half; half /= 2)
		if (low + half < EIGHT_BIT_VALUES && values[low + half] <= x) low += half;
	return (uint8_t)(low + 1 < EIGHT_BIT_VALUES && values[low + 1] - x < x - values[low] ? low + 1 : low);
}

DEVICE uint8_t coded(const float *values, float x, float largest)
{
	return nearest_code(values, x * (largest > 0 ? 1 / largest : 0));
}

KERNEL(update_adamw_8bit, update_8bit_params)
{
	SHARED(float, with_sign);
	float *without = with_sign + EIGHT_BIT_VALUES, *room = without + EIGHT_BIT_VALUES;
	size_t block = blockIdx.x, i = block * EIGHT_BIT_BLOCK + threadIdx.x;
	bool there = i < p.n;
	float m = 0, root = 0;
	with_sign[threadIdx.x] = p.with_sign[threadIdx.x];
	without[threadIdx.x] = p.without[threadIdx.x];
	__syncthreads();
	if (there) {
		m = with_sign[p.average[i]] * p.average_scale[block];
		root = without[p.root[i]] * p.root_scale[block];
		float v = root * root;
		adamw(p.numbers, p.gradient[i] * *p.scale, &m, &v, &p.weight[i]);
		root = sqrtf(v);
	}
	float most = block_largest(fabsf(m), room), most_root = block_largest(root, room);
	if (there) {
		p.average[i] = coded(with_sign, m, most);
		p.root[i] = coded(without, root, most_root);
	}
	if (threadIdx.x == 0) {
		p.average_scale[block] = most;
		p.root_scale[block] = most_root;
	}
}
