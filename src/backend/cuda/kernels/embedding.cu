/* embedding.cu - rows of a table by number, their gradient, and the sinusoidal embedding of timesteps. */
#include "backend/cuda/kernels/kernel.cuh"

/* A number outside the table gives a row of NaN, which no test and no loss overlooks. */
KERNEL(embedding, embedding_params)
{
	size_t n = (size_t)p.count * p.width;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		int32_t id = p.ids[i / p.width];
		bool known = id >= 0 && (uint32_t)id < p.height;
		float x = known ? load_as(p.table, (size_t)id * p.width + i % p.width, p.from) : bits_as_float(0x7fffffff);
		store_as(p.y, i, p.to, x);
	}
}

/* A block for each place: the first that reads a row of the table sums dy of all that read it, in order. The table
 * was cleared before. Shared memory: one int. */
KERNEL(embedding_grad, embedding_params)
{
	SHARED(int, earlier);
	uint32_t i = blockIdx.x;
	int32_t id = p.ids[i];
	if (threadIdx.x == 0) *earlier = 0;
	__syncthreads();
	for (uint32_t j = threadIdx.x; j < i; j += blockDim.x)
		if (p.ids[j] == id) atomicExch(earlier, 1);
	__syncthreads();
	if (*earlier || id < 0 || (uint32_t)id >= p.height) return;
	for (uint32_t k = threadIdx.x; k < p.width; k += blockDim.x) {
		float sum = 0;
		for (uint32_t j = i; j < p.count; j++)
			if (p.ids[j] == id) sum += load_as(p.table, (size_t)j * p.width + k, p.from);
		((float *)p.y)[(size_t)id * p.width + k] = sum;
	}
}

/* Ho et al. 2020 after Vaswani et al. 2017. Angles are rounded to float, as the original code's are. */
KERNEL(timestep_embedding, timestep_params)
{
	uint32_t half = p.width / 2;
	size_t n = (size_t)p.count * p.width;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		uint32_t k = (uint32_t)(i % p.width), wave = k % (half ? half : 1);
		float frequency = (float)exp(-log((double)p.max_period) * (double)wave / (double)half);
		float angle = p.t[i / p.width] * frequency;
		p.y[i] = k < half ? (float)cos((double)angle) : k < 2 * half ? (float)sin((double)angle) : 0;
	}
}
