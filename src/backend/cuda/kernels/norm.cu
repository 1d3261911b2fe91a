/* norm.cu - group norm, layer norm and root-mean-square norm, with their gradients: z = γ·x̂ + β, y = act(z),
 * x̂ = (x − mean)·rstd (Wu and He 2018, Ba et al. 2016, Zhang and Sennrich 2019).
 *
 * Group norm goes in three steps, so that a single picture keeps the whole GPU busy and memory is read in order: each
 * block reduces a chunk of pixels for every channel; a block for each group joins the channels and chunks; and an
 * elementwise pass applies what was found. Values are [items, pixels, channels]. Layer norm has a warp for each row. */
#include "backend/cuda/kernels/activation.cuh"

/* The result of a forward pass, which may be bf16 where x is f32. */
template <class T, int W> DEVICE void store_result(const norm_params &p, size_t at, const values<W> &x)
{
	if (p.narrow)
		store<bf16, W>(p.y, at, x);
	else
		store<T, W>(p.y, at, x);
}

/* ── two sums for each channel over a chunk of pixels: block (chunk, item) ── */

/* F adds up with add(pixel, channel, a, b) after begin(pixel, channel) of the chunk's first pixel, and finish(k,
 * pixels, a, b) makes of channel + k's sums what is stored. Shared memory: [threads][2][W] floats. */
template <class T, int W, class F> DEVICE void over_pixels(const norm_params &p, F f)
{
	SHARED(float, room);
	uint32_t units = p.channels / W, lanes = units < blockDim.x ? units : blockDim.x, rows = blockDim.x / lanes;
	uint32_t lane = threadIdx.x % lanes, row = threadIdx.x / lanes;
	uint32_t first = blockIdx.x * p.chunk, end = first + p.chunk < p.pixels ? first + p.chunk : p.pixels;
	size_t item = blockIdx.y;
	for (uint32_t base = 0; base < units; base += lanes) {
		uint32_t unit = base + lane;
		float a[W] = {}, b[W] = {};
		if (row < rows && unit < units) {
			f.begin(item * p.pixels + first, unit * W);
			for (uint32_t pixel = first + row; pixel < end; pixel += rows)
				f.add(item * p.pixels + pixel, unit * W, a, b);
			UNROLL for (int k = 0; k < W; k++)
			{
				room[(threadIdx.x * 2 + 0) * W + k] = a[k];
				room[(threadIdx.x * 2 + 1) * W + k] = b[k];
			}
		}
		__syncthreads();
		if (row == 0 && unit < units) {
			for (uint32_t r = 1; r < rows; r++) UNROLL for (int k = 0; k < W; k++)
				{
					a[k] += room[((r * lanes + lane) * 2 + 0) * W + k];
					b[k] += room[((r * lanes + lane) * 2 + 1) * W + k];
				}
			float *out = p.part + (item * p.chunks + blockIdx.x) * 2 * p.channels + unit * W;
			UNROLL for (int k = 0; k < W; k++)
			{
				f.finish(k, (float)(end - first), &a[k], &b[k]);
				out[k] = a[k];
				out[p.channels + k] = b[k];
			}
		}
		__syncthreads(); /* room is written again */
	}
}

/* Mean and Σ(x − mean)² of a chunk, summed about its first value: without that a large mean would eat the digits. */
template <class T, int W> struct moments {
	const norm_params &p;
	values<W> origin;
	DEVICE_METHOD moments(const norm_params &q) : p(q) {}
	DEVICE_METHOD void begin(size_t pixel, uint32_t channel) { origin = load<T, W>(p.x, pixel * p.channels + channel); }
	DEVICE_METHOD void add(size_t pixel, uint32_t channel, float *a, float *b)
	{
		values<W> x = load<T, W>(p.x, pixel * p.channels + channel);
		UNROLL for (int k = 0; k < W; k++)
		{
			float d = x.v[k] - origin.v[k];
			a[k] += d, b[k] += d * d;
		}
	}
	DEVICE_METHOD void finish(int k, float pixels, float *a, float *b)
	{
		float mean = *a / pixels;
		*b -= *a * mean;
		*a = origin.v[k] + mean;
	}
};

template <class T> DEVICE void norm_moments_body(const norm_params &p)
{
	if (p.packs)
		over_pixels<T, pack<T>::COUNT>(p, moments<T, pack<T>::COUNT>(p));
	else
		over_pixels<T, 1>(p, moments<T, 1>(p));
}
KERNELS(norm_moments, norm_params)

/* Joins them: block (group, item). stats: [items][2][channels], mean and rstd of the channel's group. Shared memory: 32
 * floats. */
KERNEL(norm_stats, norm_params)
{
	SHARED(float, room);
	uint32_t width = p.channels / p.groups, first = blockIdx.x * width, n = p.chunks * width;
	const float *part = p.part + (size_t)blockIdx.y * p.chunks * 2 * p.channels + first;
	float count = (float)p.pixels * (float)width, sum = 0, squares = 0;
	for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
		uint32_t chunk = i / width, pixels = chunk + 1 < p.chunks ? p.chunk : p.pixels - chunk * p.chunk;
		sum += (float)pixels * part[(size_t)chunk * 2 * p.channels + i % width];
	}
	float mean = block_sum(sum, room) / count;
	for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
		uint32_t chunk = i / width, pixels = chunk + 1 < p.chunks ? p.chunk : p.pixels - chunk * p.chunk;
		const float *at = part + (size_t)chunk * 2 * p.channels + i % width;
		squares += at[p.channels] + (float)pixels * (at[0] - mean) * (at[0] - mean);
	}
	float rstd = 1 / sqrtf(block_sum(squares, room) / count + p.epsilon);
	float *stats = p.stats + (size_t)blockIdx.y * 2 * p.channels + first;
	for (uint32_t k = threadIdx.x; k < width; k += blockDim.x) {
		stats[k] = mean;
		stats[p.channels + k] = rstd;
	}
}

/* ── y ── */

template <class T, int W> DEVICE void apply(const norm_params &p)
{
	uint32_t units = p.channels / W;
	size_t n = (size_t)p.items * p.pixels * units;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		size_t pixel = i / units, channel = i % units * W;
		const float *stats = p.stats + pixel / p.pixels * 2 * p.channels + channel;
		values<W> x = load<T, W>(p.x, pixel * p.channels + channel);
		UNROLL for (int k = 0; k < W; k++)
		{
			float z = (x.v[k] - stats[k]) * stats[p.channels + k] * p.gamma[channel + k] + p.beta[channel + k];
			x.v[k] = activation_value(p.activation, z);
		}
		store_result<T, W>(p, pixel * p.channels + channel, x);
	}
}

template <class T> DEVICE void norm_apply_body(const norm_params &p)
{
	if (p.packs)
		apply<T, pack<T>::COUNT>(p);
	else
		apply<T, 1>(p);
}
KERNELS(norm_apply, norm_params)

/* ── the gradients of a group norm ── */

DEVICE float inner_gradient(const norm_params &p, size_t channel, float normalised, float dy)
{
	return p.activation ? dy * activation_slope(p.activation, p.gamma[channel] * normalised + p.beta[channel]) : dy;
}

/* Σ dz·x̂ and Σ dz */
template <class T, int W> struct slopes {
	const norm_params &p;
	DEVICE_METHOD slopes(const norm_params &q) : p(q) {}
	DEVICE_METHOD void begin(size_t, uint32_t) {}
	DEVICE_METHOD void add(size_t pixel, uint32_t channel, float *a, float *b)
	{
		values<W> x = load<T, W>(p.x, pixel * p.channels + channel);
		values<W> dy = load<T, W>(p.dy, pixel * p.channels + channel);
		const float *stats = p.stats + pixel / p.pixels * 2 * p.channels + channel;
		UNROLL for (int k = 0; k < W; k++)
		{
			float normalised = (x.v[k] - stats[k]) * stats[p.channels + k];
			float dz = inner_gradient(p, channel + k, normalised, dy.v[k]);
			a[k] += dz * normalised, b[k] += dz;
		}
	}
	DEVICE_METHOD void finish(int, float, float *, float *) {}
};

template <class T> DEVICE void norm_slopes_body(const norm_params &p)
{
	if (p.packs)
		over_pixels<T, pack<T>::COUNT>(p, slopes<T, pack<T>::COUNT>(p));
	else
		over_pixels<T, 1>(p, slopes<T, 1>(p));
}
KERNELS(norm_slopes, norm_params)

/* Adds up the chunks, in order: out is [items, 4 or 2, channels], with mean and rstd where there are four; the first of
 * two alone where the norm is uncentred. */
KERNEL(norm_join, norm_params)
{
	size_t rows = p.stats ? 4 : p.uncentred ? 1 : 2, n = p.items * rows * p.channels;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		size_t channel = i % p.channels, row = i / p.channels % rows, item = i / p.channels / rows;
		if (row >= 2) {
			p.out[i] = p.stats[(item * 2 + row - 2) * p.channels + channel];
			continue;
		}
		float sum = 0;
		for (uint32_t c = 0; c < p.chunks; c++) sum += p.part[((item * p.chunks + c) * 2 + row) * p.channels + channel];
		p.out[i] = sum;
	}
}

/* The means of γ·dz and γ·dz·x̂ over a group, from the sums: block (group, item); stats takes them for each channel.
 * Shared memory: 32 floats. */
KERNEL(norm_means, norm_params)
{
	SHARED(float, room);
	uint32_t width = p.channels / p.groups, first = blockIdx.x * width;
	const float *sums = p.sums + (size_t)blockIdx.y * 4 * p.channels;
	float count = (float)p.pixels * (float)width, bare = 0, times = 0;
	for (uint32_t k = first + threadIdx.x; k < first + width; k += blockDim.x) {
		times += p.gamma[k] * sums[k];
		bare += p.gamma[k] * sums[p.channels + k];
	}
	bare = block_sum(bare, room) / count;
	times = block_sum(times, room) / count;
	float *stats = p.stats + (size_t)blockIdx.y * 2 * p.channels;
	for (uint32_t k = first + threadIdx.x; k < first + width; k += blockDim.x) {
		stats[k] = bare;
		stats[p.channels + k] = times;
	}
}

/* dx = rstd·(γ·dz − mean(γ·dz) − x̂·mean(γ·dz·x̂)) */
template <class T, int W> DEVICE void differentiate(const norm_params &p)
{
	uint32_t units = p.channels / W;
	size_t n = (size_t)p.items * p.pixels * units;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		size_t pixel = i / units, channel = i % units * W, item = pixel / p.pixels;
		const float *mean = p.sums + (item * 4 + 2) * p.channels + channel, *rstd = mean + p.channels;
		const float *bare = p.stats + item * 2 * p.channels + channel, *times = bare + p.channels;
		values<W> x = load<T, W>(p.x, pixel * p.channels + channel);
		values<W> dy = load<T, W>(p.dy, pixel * p.channels + channel);
		UNROLL for (int k = 0; k < W; k++)
		{
			float normalised = (x.v[k] - mean[k]) * rstd[k];
			float d = p.gamma[channel + k] * inner_gradient(p, channel + k, normalised, dy.v[k]);
			x.v[k] = rstd[k] * (d - bare[k] - normalised * times[k]);
		}
		store<T, W>(p.y, pixel * p.channels + channel, x);
	}
}

template <class T> DEVICE void norm_dx_body(const norm_params &p)
{
	if (p.packs)
		differentiate<T, pack<T>::COUNT>(p);
	else
		differentiate<T, 1>(p);
}
KERNELS(norm_dx, norm_params)

/* ── layer norm: a warp for each row; items is the number of rows ── */

DEVICE size_t row_of_warp() { return (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; }

struct row_stats {
	float mean, rstd;
};

template <class T, int W> DEVICE row_stats stats_of_row(const norm_params &p, size_t row)
{
	uint32_t lane = threadIdx.x % 32;
	float sum = 0, squares = 0;
	for (uint32_t k = lane * W; k < p.channels; k += 32 * W) {
		values<W> x = load<T, W>(p.x, row * p.channels + k);
		UNROLL for (int j = 0; j < W; j++) sum += x.v[j];
	}
	float mean = p.uncentred ? 0 : warp_sum(sum) / (float)p.channels;
	for (uint32_t k = lane * W; k < p.channels; k += 32 * W) {
		values<W> x = load<T, W>(p.x, row * p.channels + k);
		UNROLL for (int j = 0; j < W; j++) squares += (x.v[j] - mean) * (x.v[j] - mean);
	}
	return row_stats{ mean, 1 / sqrtf(warp_sum(squares) / (float)p.channels + p.epsilon) };
}

template <class T, int W> DEVICE void normalise_row(const norm_params &p, size_t row)
{
	row_stats s = stats_of_row<T, W>(p, row);
	for (uint32_t k = threadIdx.x % 32 * W; k < p.channels; k += 32 * W) {
		values<W> x = load<T, W>(p.x, row * p.channels + k);
		UNROLL for (int j = 0; j < W; j++)
		{
			x.v[j] = (x.v[j] - s.mean) * s.rstd;
			if (p.gamma) x.v[j] = x.v[j] * p.gamma[k + j] + (p.beta ? p.beta[k + j] : 0);
		}
		store_result<T, W>(p, row * p.channels + k, x);
	}
}

template <class T> DEVICE void layer_norm_body(const norm_params &p)
{
	size_t row = row_of_warp();
	if (row >= p.items) return;
	if (p.packs)
		normalise_row<T, pack<T>::COUNT>(p, row);
	else
		normalise_row<T, 1>(p, row);
}
KERNELS(layer_norm, norm_params)

template <class T, int W> DEVICE void differentiate_row(const norm_params &p, size_t row)
{
	row_stats s = stats_of_row<T, W>(p, row);
	float bare = 0, times = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t k = threadIdx.x % 32 * W; k < p.channels; k += 32 * W) {
			values<W> x = load<T, W>(p.x, row * p.channels + k), dy = load<T, W>(p.dy, row * p.channels + k);
			UNROLL for (int j = 0; j < W; j++)
			{
				float normalised = (x.v[j] - s.mean) * s.rstd, d = p.gamma ? p.gamma[k + j] * dy.v[j] : dy.v[j];
				if (!pass)
					bare += d, times += d * normalised;
				else
					x.v[j] = s.rstd * (d - bare - normalised * times);
			}
			if (pass) store<T, W>(p.y, row * p.channels + k, x);
		}
		if (pass) continue;
		bare = p.uncentred ? 0 : warp_sum(bare) / (float)p.channels;
		times = warp_sum(times) / (float)p.channels;
	}
}

template <class T> DEVICE void layer_norm_dx_body(const norm_params &p)
{
	size_t row = row_of_warp();
	if (row >= p.items) return;
	if (p.packs)
		differentiate_row<T, pack<T>::COUNT>(p, row);
	else
		differentiate_row<T, 1>(p, row);
}
KERNELS(layer_norm_dx, norm_params)

/* mean and rstd of each row: stats [rows][2], for the gradients of γ and β */
template <class T> DEVICE void row_stats_body(const norm_params &p)
{
	size_t row = row_of_warp();
	if (row >= p.items) return;
	row_stats s = p.packs ? stats_of_row<T, pack<T>::COUNT>(p, row) : stats_of_row<T, 1>(p, row);
	if (threadIdx.x % 32) return;
	p.stats[row * 2] = s.mean;
	p.stats[row * 2 + 1] = s.rstd;
}
KERNELS(row_stats, norm_params)

/* Σ dy·x̂ and Σ dy over the rows, which are the pixels of one item */
template <class T, int W> struct row_slopes {
	const norm_params &p;
	DEVICE_METHOD row_slopes(const norm_params &q) : p(q) {}
	DEVICE_METHOD void begin(size_t, uint32_t) {}
	DEVICE_METHOD void add(size_t row, uint32_t channel, float *a, float *b)
	{
		values<W> x = load<T, W>(p.x, row * p.channels + channel);
		values<W> dy = load<T, W>(p.dy, row * p.channels + channel);
		UNROLL for (int k = 0; k < W; k++)
		{
			a[k] += dy.v[k] * (x.v[k] - p.stats[row * 2]) * p.stats[row * 2 + 1];
			b[k] += dy.v[k];
		}
	}
	DEVICE_METHOD void finish(int, float, float *, float *) {}
};

template <class T> DEVICE void row_slopes_body(const norm_params &p)
{
	if (p.packs)
		over_pixels<T, pack<T>::COUNT>(p, row_slopes<T, pack<T>::COUNT>(p));
	else
		over_pixels<T, 1>(p, row_slopes<T, 1>(p));
}
KERNELS(row_slopes, norm_params)
