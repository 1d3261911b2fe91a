/* convolution.c - the convolution, and its gradients by data and by weight.
 *
 * One relation joins the three: picture pixel (row, column) and result pixel (y, x) meet through tap (u, v) of the
 * kernel where row = y·stride + u − top and column = x·stride + v − left. */
#include "backend/reference/activation.h"
#include "backend/reference/plain.h"

typedef struct convolution {
	int images, height, width, in;        /* the picture */
	int result_height, result_width, out; /* the result */
	int kernel_height, kernel_width;      /* the weight: [out,in,height,width] */
	int stride, top, left;
} convolution;

static convolution convolution_of(const node *picture, const node *weight, const node *result, const node *y)
{
	const int *p = picture->shape.d, *w = weight->shape.d, *r = result->shape.d;
	return (convolution){ p[0], p[1], p[2], p[3], r[1], r[2], r[3], w[2], w[3], y->a[0], y->a[1], y->a[2] };
}

/* The weight as [out][tap][in], or as [in][tap][out], so that a sum over channels runs along memory. */
size_t conv_scratch(const call *c) { return count_of(c->x[1]) * sizeof(real); }

static void channels_last(const call *c, const convolution *k, bool by_input)
{
	const real *w = c->in[1];
	real *to = c->scratch;
	int taps = k->kernel_height * k->kernel_width, in = k->in, out = k->out;
	for (int o = 0; o < out; o++)
		for (int i = 0; i < in; i++)
			for (int t = 0; t < taps; t++) {
				size_t at = by_input ? ((size_t)i * taps + t) * out + o : ((size_t)o * taps + t) * in + i;
				to[at] = w[((size_t)o * in + i) * taps + t];
			}
}

static double result_at(const convolution *k, const real *picture, const real *weight, int y, int x)
{
	double sum = 0;
	for (int u = 0; u < k->kernel_height; u++)
		for (int v = 0; v < k->kernel_width; v++) {
			int row = y * k->stride + u - k->top, column = x * k->stride + v - k->left;
			if (row < 0 || row >= k->height || column < 0 || column >= k->width) continue;
			sum += dot(picture + ((size_t)row * k->width + column) * k->in,
			    weight + ((size_t)u * k->kernel_width + v) * k->in, (size_t)k->in);
		}
	return sum;
}

static bool result_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	convolution k = convolution_of(c->x[0], c->x[1], c->y, c->y);
	const real *w = c->scratch, *bias = c->x[2] ? c->in[2] : NULL, *residual = c->x[3] ? c->in[3] : NULL;
	size_t filter = (size_t)k.kernel_height * k.kernel_width * k.in;
	for (int row = (int)first; row < (int)end; row++) {
		const real *picture = (const real *)c->in[0] + (size_t)(row / k.result_height) * k.height * k.width * k.in;
		for (int o = 0; o < k.out; o++)
			for (int x = 0; x < k.result_width; x++) {
				size_t at = ((size_t)row * k.result_width + x) * k.out + o;
				double sum = result_at(&k, picture, w + o * filter, row % k.result_height, x);
				if (bias) sum += (double)bias[o];
				if (residual) sum += (double)residual[at];
				((real *)c->out)[at] = activation_value((activation)c->y->a[5], (real)sum);
			}
	}
	return true;
}

bool plain_conv(const call *c)
{
	convolution k = convolution_of(c->x[0], c->x[1], c->y, c->y);
	channels_last(c, &k, false);
	return parallel_for(c->threads, (size_t)(k.images * k.result_height), 1, result_rows, c);
}

/* The result row (or column) that meets picture row p through tap u; −1: none. */
static int met(int p, int u, int before, int stride, int length)
{
	int scaled = p - u + before;
	return scaled >= 0 && scaled % stride == 0 && scaled / stride < length ? scaled / stride : -1;
}

static double picture_gradient_at(const convolution *k, const real *dy, const real *weight, int row, int column)
{
	double sum = 0;
	for (int u = 0; u < k->kernel_height; u++)
		for (int v = 0; v < k->kernel_width; v++) {
			int y = met(row, u, k->top, k->stride, k->result_height);
			int x = met(column, v, k->left, k->stride, k->result_width);
			if (y < 0 || x < 0) continue;
			sum += dot(dy + ((size_t)y * k->result_width + x) * k->out,
			    weight + ((size_t)u * k->kernel_width + v) * k->out, (size_t)k->out);
		}
	return sum;
}

static bool picture_rows(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	convolution k = convolution_of(c->y, c->x[1], c->x[0], c->y);
	const real *w = c->scratch;
	size_t filter = (size_t)k.kernel_height * k.kernel_width * k.out;
	for (int row = (int)first; row < (int)end; row++) {
		const real *dy = (const real *)c->in[0] + (size_t)(row / k.height) * k.result_height * k.result_width * k.out;
		for (int i = 0; i < k.in; i++)
			for (int x = 0; x < k.width; x++)
				((real *)c->out)[((size_t)row * k.width + x) * k.in + i] =
				    (real)picture_gradient_at(&k, dy, w + i * filter, row % k.height, x);
	}
	return true;
}

bool plain_conv_dx(const call *c)
{
	convolution k = convolution_of(c->y, c->x[1], c->x[0], c->y);
	channels_last(c, &k, true);
	return parallel_for(c->threads, (size_t)(k.images * k.height), 1, picture_rows, c);
}

enum { CHANNELS = 128 }; /* input channels whose weight gradients are summed together */

/* dw of output channel o, tap (u, v) and n input channels from `first` on: Σ over result pixels of dy·picture */
static void weight_gradient(const call *c, const convolution *k, int o, int u, int v, int first, int n)
{
	const real *dy = (const real *)c->in[0] + o, *picture = (const real *)c->in[1] + first;
	double sum[CHANNELS] = { 0 };
	for (int image = 0; image < k->images; image++)
		for (int y = 0; y < k->result_height; y++) {
			int row = y * k->stride + u - k->top;
			if (row < 0 || row >= k->height) continue;
			for (int x = 0; x < k->result_width; x++) {
				int column = x * k->stride + v - k->left;
				if (column < 0 || column >= k->width) continue;
				double d = (double)dy[(((size_t)image * k->result_height + y) * k->result_width + x) * k->out];
				const real *p = picture + (((size_t)image * k->height + row) * k->width + column) * k->in;
				for (int i = 0; i < n; i++) sum[i] += d * (double)p[i];
			}
		}
	for (int i = 0; i < n; i++)
		((real *)c->out)[(((size_t)o * k->in + first + i) * k->kernel_height + u) * k->kernel_width + v] = (real)sum[i];
}

static bool weight_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	(void)worker;
	convolution k = convolution_of(c->x[1], c->y, c->x[0], c->y);
	int taps = k.kernel_height * k.kernel_width;
	for (int task = (int)first; task < (int)end; task++)
		for (int i = 0; i < k.in; i += CHANNELS) {
			int n = k.in - i < CHANNELS ? k.in - i : CHANNELS, tap = task % taps;
			weight_gradient(c, &k, task / taps, tap / k.kernel_width, tap % k.kernel_width, i, n);
		}
	return true;
}

bool plain_conv_dw(const call *c)
{
	const int *w = c->y->shape.d;
	return parallel_for(c->threads, (size_t)(w[0] * w[2] * w[3]), 1, weight_part, c);
}
