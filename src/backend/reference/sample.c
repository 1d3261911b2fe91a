/* sample.c - pooling, and the gradients of pooling and resizing. */
#include "backend/reference/plain.h"
#include <string.h>

/* Destination rows of nearest resizing that read source row i of `from` into `to`: first ≤ y < end, from
 * floor(y·from/to) = i. */
static size_t first_reader(size_t i, size_t from, size_t to) { return (i * to + from - 1) / from; }

static bool resize_grad_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const int *small = c->y->shape.d, *large = c->x[0]->shape.d;
	size_t h = (size_t)small[1], w = (size_t)small[2], channels = (size_t)small[3];
	size_t H = (size_t)large[1], W = (size_t)large[2];
	const real *dy = c->in[0];
	for (size_t pixel = first; pixel < end; pixel++) {
		size_t image = pixel / (h * w), i = pixel / w % h, j = pixel % w;
		size_t top = first_reader(i, h, H), bottom = first_reader(i + 1, h, H);
		size_t left = first_reader(j, w, W), right = first_reader(j + 1, w, W);
		for (size_t k = 0; k < channels; k++) {
			double sum = 0;
			for (size_t y = top; y < bottom; y++)
				for (size_t x = left; x < right; x++) sum += (double)dy[((image * H + y) * W + x) * channels + k];
			((real *)c->out)[pixel * channels + k] = (real)sum;
		}
	}
	return true;
}

bool plain_resize_grad(const call *c)
{
	size_t pixels = count_of(c->y) / last_axis(c->y);
	return share(c, pixels, count_of(c->x[0]) / pixels, resize_grad_part, c);
}

/* A window of a pooled picture: its first element, and the distances to the next column and row. */
typedef struct window {
	size_t first, column, row, size;
} window;

static window window_of(const node *picture, int size, const node *pooled, size_t i)
{
	size_t W = (size_t)picture->shape.d[2], C = (size_t)picture->shape.d[3], H = (size_t)picture->shape.d[1];
	size_t h = (size_t)pooled->shape.d[1], w = (size_t)pooled->shape.d[2], s = (size_t)size;
	size_t channel = i % C, x = i / C % w, y = i / C / w % h, image = i / C / w / h;
	return (window){ ((image * H + y * s) * W + x * s) * C + channel, C, W * C, s };
}

static size_t place(const window *w, size_t k) { return w->first + k / w->size * w->row + k % w->size * w->column; }

static size_t largest(const window *w, const real *x)
{
	size_t best = w->first;
	for (size_t k = 1; k < w->size * w->size; k++)
		if (x[place(w, k)] > x[best]) best = place(w, k);
	return best;
}

static bool pool_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const real *x = c->in[0];
	real *y = c->out;
	for (size_t i = first; i < end; i++) {
		window w = window_of(c->x[0], c->y->a[1], c->y, i);
		double sum = 0;
		for (size_t k = 0; k < w.size * w.size; k++) sum += (double)x[place(&w, k)];
		y[i] = c->y->a[0] ? x[largest(&w, x)] : (real)(sum / (double)(w.size * w.size));
	}
	return true;
}

static size_t window_size(const call *c) { return (size_t)c->y->a[1] * (size_t)c->y->a[1]; }

bool plain_pool(const call *c) { return share(c, count_of(c->y), window_size(c), pool_part, c); }

static bool pool_grad_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	const real *x = c->in[0], *dy = c->in[1];
	real *dx = c->out;
	for (size_t i = first; i < end; i++) { /* windows do not overlap */
		window w = window_of(c->x[0], c->y->a[1], c->x[1], i);
		if (c->y->a[0])
			dx[largest(&w, x)] = dy[i];
		else
			for (size_t k = 0; k < w.size * w.size; k++) dx[place(&w, k)] = dy[i] / (real)(w.size * w.size);
	}
	return true;
}

bool plain_pool_grad(const call *c)
{
	memset(c->out, 0, count_of(c->y) * sizeof(real));
	return share(c, count_of(c->x[1]), window_size(c), pool_grad_part, c);
}
