/* sample.cu - nearest resizing and pooling, with their gradients, and a convolution's columns: a thread makes one
 * result. */
#include "backend/cuda/kernels/kernel.cuh"

struct pixel { /* of a picture [N,H,W,C] */
	uint32_t image, row, column, channel;
};

DEVICE pixel pixel_of(size_t i, uint32_t height, uint32_t width, uint32_t channels)
{
	pixel q;
	q.channel = (uint32_t)(i % channels), i /= channels;
	q.column = (uint32_t)(i % width), i /= width;
	q.row = (uint32_t)(i % height);
	q.image = (uint32_t)(i / height);
	return q;
}

/* The unit is an element: `channels` counts units. */
template <class U> DEVICE void resize_body(const resize_params &p)
{
	size_t n = (size_t)p.images * p.to_height * p.to_width * p.channels;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		pixel q = pixel_of(i, p.to_height, p.to_width, p.channels);
		size_t row = (size_t)q.row * p.from_height / p.to_height, column = (size_t)q.column * p.from_width / p.to_width;
		((U *)p.y)[i] = ((
		    const U *)p.x)[((q.image * p.from_height + row) * p.from_width + column) * (size_t)p.channels + q.channel];
	}
}
KERNEL(resize_16, resize_params) { resize_body<pack<uint32_t>>(p); }
KERNEL(resize_4, resize_params) { resize_body<uint32_t>(p); }
KERNEL(resize_2, resize_params) { resize_body<uint16_t>(p); }

/* Rows of the large picture that read row i of the small one: first_reader(i) ≤ y < first_reader(i+1). */
DEVICE uint32_t first_reader(uint32_t i, uint32_t small, uint32_t large)
{
	return (uint32_t)(((size_t)i * large + small - 1) / small);
}

template <class T> DEVICE void resize_grad_body(const resize_params &p)
{
	size_t n = (size_t)p.images * p.to_height * p.to_width * p.channels;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		pixel q = pixel_of(i, p.to_height, p.to_width, p.channels);
		uint32_t top = first_reader(q.row, p.to_height, p.from_height);
		uint32_t bottom = first_reader(q.row + 1, p.to_height, p.from_height);
		uint32_t left = first_reader(q.column, p.to_width, p.from_width);
		uint32_t right = first_reader(q.column + 1, p.to_width, p.from_width);
		float sum = 0;
		for (uint32_t y = top; y < bottom; y++)
			for (uint32_t x = left; x < right; x++) {
				size_t at = ((size_t)(q.image * p.from_height + y) * p.from_width + x) * p.channels + q.channel;
				sum += widen(((const T *)p.x)[at]);
			}
		((T *)p.y)[i] = narrow<T>(sum);
	}
}
KERNELS(resize_grad, resize_params)

/* ── pooling: windows do not overlap ── */

DEVICE size_t picture_index(const pool_params &p, uint32_t image, uint32_t row, uint32_t column, uint32_t channel)
{
	return ((size_t)(image * p.height + row) * p.width + column) * p.channels + channel;
}

/* The value of window (image, row, column) of a channel and, for the maximum, where it lies first. */
template <class T> DEVICE float pooled(const pool_params &p, pixel w, size_t *at)
{
	float sum = 0, most = 0;
	for (uint32_t k = 0; k < p.window * p.window; k++) {
		uint32_t row = w.row * p.window + k / p.window, column = w.column * p.window + k % p.window;
		size_t i = picture_index(p, w.image, row, column, w.channel);
		float x = widen(((const T *)p.x)[i]);
		sum += x;
		if (!k || x > most) most = x, *at = i;
	}
	return p.maximum ? most : sum / (float)(p.window * p.window);
}

template <class T> DEVICE void pool_body(const pool_params &p)
{
	size_t n = (size_t)p.images * p.pooled_height * p.pooled_width * p.channels, at = 0;
	for (size_t i = first_index(); i < n; i += all_threads())
		((T *)p.y)[i] = narrow<T>(pooled<T>(p, pixel_of(i, p.pooled_height, p.pooled_width, p.channels), &at));
}
KERNELS(pool, pool_params)

template <class T> DEVICE void pool_grad_body(const pool_params &p)
{
	size_t n = (size_t)p.images * p.height * p.width * p.channels;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		pixel w = pixel_of(i, p.height, p.width, p.channels);
		w.row /= p.window, w.column /= p.window;
		float d = 0;
		if (w.row < p.pooled_height && w.column < p.pooled_width) { /* pixels beyond the last window have none */
			size_t from = ((size_t)(w.image * p.pooled_height + w.row) * p.pooled_width + w.column) * p.channels,
			       at = i;
			d = widen(((const T *)p.dy)[from + w.channel]);
			if (p.maximum) {
				pooled<T>(p, w, &at);
				d = at == i ? d : 0;
			} else
				d /= (float)(p.window * p.window);
		}
		((T *)p.y)[i] = narrow<T>(d);
	}
}
KERNELS(pool_grad, pool_params)

/* ── the columns of a convolution: each result pixel's window, so that the convolution is a matrix product ── */

template <class U> DEVICE void columns_body(const columns_params &p)
{
	uint32_t taps = p.kernel_height * p.kernel_width;
	size_t n = (size_t)p.images * p.result_height * p.result_width * taps * p.channels;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		pixel q = pixel_of(i / p.channels / taps, p.result_height, p.result_width, 1);
		uint32_t channel = (uint32_t)(i % p.channels), tap = (uint32_t)(i / p.channels % taps);
		int row = (int)q.row * p.stride + (int)(tap / p.kernel_width) - p.top;
		int column = (int)q.column * p.stride + (int)(tap % p.kernel_width) - p.left;
		U value = {};
		if (row >= 0 && row < (int)p.height && column >= 0 && column < (int)p.width)
			value =
			    ((const U *)p.picture)[((size_t)(q.image * p.height + row) * p.width + column) * p.channels + channel];
		((U *)p.columns)[i] = value;
	}
}
KERNEL(columns_16, columns_params) { columns_body<pack<uint32_t>>(p); }
KERNEL(columns_4, columns_params) { columns_body<uint32_t>(p); }
KERNEL(columns_2, columns_params) { columns_body<uint16_t>(p); }

/* A picture's gradient from its columns', which are in float: each pixel gathers from the windows that hold it. */
template <class T> DEVICE void from_columns_body(const columns_params &p)
{
	uint32_t taps = p.kernel_height * p.kernel_width;
	size_t n = (size_t)p.images * p.height * p.width * p.channels;
	for (size_t i = first_index(); i < n; i += all_threads()) {
		pixel q = pixel_of(i, p.height, p.width, p.channels);
		float sum = 0;
		for (uint32_t tap = 0; tap < taps; tap++) {
			int row = (int)q.row - (int)(tap / p.kernel_width) + p.top;
			int column = (int)q.column - (int)(tap % p.kernel_width) + p.left;
			if (row < 0 || column < 0 || row % p.stride || column % p.stride) continue;
			uint32_t y = (uint32_t)(row / p.stride), x = (uint32_t)(column / p.stride);
			if (y >= p.result_height || x >= p.result_width) continue;
			size_t window = (size_t)(q.image * p.result_height + y) * p.result_width + x;
			sum += ((const float *)p.columns)[(window * taps + tap) * p.channels + q.channel];
		}
		((T *)p.picture)[i] = narrow<T>(sum);
	}
}
KERNELS(from_columns, columns_params)
