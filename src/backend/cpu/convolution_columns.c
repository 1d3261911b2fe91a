/* convolution_columns.c - the gradient of a convolution's weight on small maps, as one matrix product: what each tap
 * sees is gathered into columns, and the product of dy, transposed, with them is the gradient. oneDNN's convolution
 * walks over pictures one by one, which on a map of 4×4 leaves most of the machine idle; here the pictures' places are
 * one long sum. Larger maps are better off without the gathering, in f32 sooner.
 *
 * Tiles depend on the shapes alone and each is computed by one thread, so that the number of threads changes no bit. */
#include "backend/cpu/onednn.h"
#include "backend/cpu/rows.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PLACES_BF16 = 64, MOST_PLACES = 16, LEAST_CHANNELS = 16, TILE = 128 };

typedef struct columns {
	conv_shape shape;
	size_t rows, taps, width; /* rows: places of all results; width: taps · in */
	size_t tile, tiles;       /* results' channels of a tile; the last may have fewer */
	onednn *whole, *last;     /* last: NULL where it is a whole one */
	size_t gathered_bytes, product_bytes, scratch_bytes;
} columns;

static bool fits(const call *c)
{
	const int *dy = c->x[0]->shape.d;
	return c->x[0]->dtype == c->x[1]->dtype && onednn_computes(c->x[0]->dtype) && c->y->dtype == F32 &&
	       dy[1] * dy[2] <= (c->x[0]->dtype == BF16 ? MOST_PLACES_BF16 : MOST_PLACES) &&
	       last_axis(c->x[0]) >= LEAST_CHANNELS && last_axis(c->x[1]) >= LEAST_CHANNELS;
}

static void release(void *state)
{
	columns *s = state;
	onednn_free(s->whole);
	onednn_free(s->last);
	free(s);
}

/* dw[tile,in] of one tap = dyᵀ[tile,rows] · gathered[rows,in] */
static onednn *make_tile(const columns *s, size_t channels, dtype d)
{
	matmul_shape m = { (int)channels, (int)s->rows, s->shape.in, 1, (size_t)s->shape.out, s->width, 1, s->width,
		false };
	return onednn_matmul(&m, d, F32, NULL, 1);
}

static bool prepare(call *c, error *e)
{
	columns *s = calloc(1, sizeof *s);
	if (!s) return fail(e, NO_MEMORY, "out of memory");
	const int *x = c->x[1]->shape.d, *dy = c->x[0]->shape.d, *w = c->y->shape.d, *a = c->y->a;
	s->shape = (conv_shape){ x[0], x[1], x[2], x[3], dy[1], dy[2], dy[3], w[2], w[3], a[0], a[1], a[2], a[3], a[4] };
	s->rows = count_of(c->x[0]) / (size_t)dy[3];
	s->taps = (size_t)w[2] * (size_t)w[3];
	s->width = s->taps * (size_t)x[3];
	s->tile = dy[3] < TILE ? (size_t)dy[3] : TILE;
	s->tiles = ((size_t)dy[3] + s->tile - 1) / s->tile;
	size_t left = (size_t)dy[3] % s->tile;
	s->whole = make_tile(s, s->tile, c->x[0]->dtype);
	if (left) s->last = make_tile(s, left, c->x[0]->dtype);
	c->state = s;
	if (!s->whole || (left && !s->last)) {
		release(s);
		c->state = NULL;
		return fail(e, NO_MEMORY, "oneDNN makes no product for the gradient of a convolution's weight");
	}
	s->gathered_bytes = aligned(s->rows * s->width * dtype_size(c->x[0]->dtype));
	s->product_bytes = aligned(count_of(c->y) * sizeof(float));
	s->scratch_bytes = onednn_scratch_bytes(s->whole);
	if (s->last && onednn_scratch_bytes(s->last) > s->scratch_bytes) s->scratch_bytes = onednn_scratch_bytes(s->last);
	return true;
}

static size_t scratch_bytes(const call *c)
{
	const columns *s = c->state;
	return s->gathered_bytes + s->product_bytes + (size_t)c->threads * s->scratch_bytes;
}

/* What the taps see from one place: [taps][in], zeros outside the picture. */
static void gather_row(const columns *s, const char *x, size_t row, size_t bytes, char *to)
{
	const conv_shape *c = &s->shape;
	int at = (int)(row % ((size_t)c->result_height * (size_t)c->result_width));
	size_t image = row / ((size_t)c->result_height * (size_t)c->result_width);
	for (int ky = 0; ky < c->kernel_height; ky++)
		for (int kx = 0; kx < c->kernel_width; kx++, to += bytes) {
			int v = at / c->result_width * c->stride - c->top + ky, u = at % c->result_width * c->stride - c->left + kx;
			bool inside = v >= 0 && v < c->height && u >= 0 && u < c->width;
			if (inside)
				memcpy(to, x + ((image * (size_t)c->height + (size_t)v) * (size_t)c->width + (size_t)u) * bytes, bytes);
			else
				memset(to, 0, bytes);
		}
}

static bool run(const call *c, error *e)
{
	const columns *s = c->state;
	size_t size = dtype_size(c->x[0]->dtype), in = (size_t)s->shape.in, out = (size_t)s->shape.out, taps = s->taps;
	char *gathered = c->scratch, *room = gathered + s->gathered_bytes + s->product_bytes;
	float *product = (float *)(gathered + s->gathered_bytes), *dw = c->out;
	int failure = 0;
#pragma omp parallel num_threads(c->threads)
	{
#pragma omp for schedule(static)
		for (size_t row = 0; row < s->rows; row++)
			gather_row(s, c->in[1], row, in * size, gathered + row * s->width * size);
#pragma omp for schedule(dynamic) reduction(max : failure)
		for (size_t task = 0; task < taps * s->tiles; task++) {
			size_t tap = task / s->tiles, tile = task % s->tiles, first = tile * s->tile;
			const onednn *p = s->last && tile == s->tiles - 1 ? s->last : s->whole;
			int its = onednn_run(p, (const char *)c->in[0] + first * size, gathered + tap * in * size, NULL,
			    product + first * s->width + tap * in, room + (size_t)omp_get_thread_num() * s->scratch_bytes);
			if (its > failure) failure = its;
		}
#pragma omp for schedule(static)
		for (size_t o = 0; o < out; o++) /* taps go inside, as weights are laid out */
			for (size_t k = 0; k < in; k++)
				for (size_t tap = 0; tap < taps; tap++)
					dw[(o * in + k) * taps + tap] = product[o * s->width + tap * in + k];
	}
	return onednn_went_well(failure, c, e);
}

const kernel onednn_conv_dw_columns = { CONV_DW, "oneDNN columns", fits, prepare, scratch_bytes, NULL, NULL, run,
	release };
