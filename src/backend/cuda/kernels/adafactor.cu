/* adafactor.cu - Adafactor's step, in double as the reference has it (train/optimize/optimizer.h): first the second moments,
 * then the size of the whole step, then the step. The direction is computed twice rather than stored. */
#include "backend/cuda/kernels/kernel.cuh"
#include "backend/cuda/kernels/sums.cuh"

#define TINY 1e-30 /* added to squared gradients; the paper's epsilon1 */

DEVICE double gradient_at(const adafactor_params &p, size_t i) { return (double)p.gradient[i] * (double)*p.scale; }

DEVICE double square_at(const adafactor_params &p, size_t i)
{
	double g = gradient_at(p, i);
	return g * g + TINY;
}

DEVICE float decayed(const adafactor_params &p, float before, double fresh)
{
	double decay = p.numbers[2];
	return (float)(decay * (double)before + (1 - decay) * fresh);
}

/* One block for each row. */
KERNEL(adafactor_rows, adafactor_params)
{
	SHARED(double, room);
	size_t first = (size_t)blockIdx.x * p.columns;
	double sum = 0;
	for (size_t k = threadIdx.x; k < p.columns; k += blockDim.x) sum += square_at(p, first + k);
	sum = block_sum_double(sum, room);
	if (threadIdx.x == 0) p.row[blockIdx.x] = decayed(p, p.row[blockIdx.x], sum / (double)p.columns);
}

/* A thread for each column. */
KERNEL(adafactor_columns, adafactor_params)
{
	for (size_t k = first_index(); k < p.columns; k += all_threads()) {
		double sum = 0;
		for (size_t r = 0; r < p.rows; r++) sum += square_at(p, r * p.columns + k);
		p.column[k] = decayed(p, p.column[k], sum / (double)p.rows);
	}
}

/* A tensor of one axis has a moment for each element. */
KERNEL(adafactor_elements, adafactor_params)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) p.row[i] = decayed(p, p.row[i], square_at(p, i));
}

/* One block: the mean of the rows. */
KERNEL(adafactor_mean, adafactor_params)
{
	SHARED(double, room);
	double sum = 0;
	for (size_t r = threadIdx.x; r < p.rows; r += blockDim.x) sum += (double)p.row[r];
	sum = block_sum_double(sum, room);
	if (threadIdx.x == 0) p.found[ADAFACTOR_MEAN] = sum / (double)p.rows;
}

DEVICE double direction_at(const adafactor_params &p, size_t i)
{
	double v = p.column ? (double)p.row[i / p.columns] * (double)p.column[i % p.columns] / p.found[ADAFACTOR_MEAN]
	                    : (double)p.row[i];
	return gradient_at(p, i) / sqrt(v);
}

KERNEL(adafactor_size, adafactor_params)
{
	SHARED(double, room);
	size_t first = (size_t)blockIdx.x * SQUARES_CHUNK, end = first + SQUARES_CHUNK < p.n ? first + SQUARES_CHUNK : p.n;
	double sum = 0;
	for (size_t i = first + threadIdx.x; i < end; i += blockDim.x) {
		double d = direction_at(p, i);
		sum += d * d;
	}
	sum = block_sum_double(sum, room);
	if (threadIdx.x == 0) p.part[blockIdx.x] = sum;
}

/* One block: how far the step goes. */
KERNEL(adafactor_stride, adafactor_params)
{
	SHARED(double, room);
	double sum = 0;
	for (uint32_t i = threadIdx.x; i < p.chunks; i += blockDim.x) sum += p.part[i];
	sum = block_sum_double(sum, room);
	if (threadIdx.x) return;
	double size = sqrt(sum / (double)p.n);
	p.found[ADAFACTOR_STRIDE] = p.numbers[1] / (size > 1 ? size : 1);
}

KERNEL(adafactor_step, adafactor_params)
{
	float shrink = (float)p.numbers[0];
	double stride = p.found[ADAFACTOR_STRIDE];
	for (size_t i = first_index(); i < p.n; i += all_threads())
		p.weight[i] = (float)((double)(p.weight[i] * shrink) - stride * direction_at(p, i));
}
