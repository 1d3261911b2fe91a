/* convolution_columns.c - the gradient of a convolution's weight on small maps, as one matrix product: what each tap
 * sees is gathered into columns, and the product of dy, transposed, with them is the gradient. oneDNN's convolution
 * walks over pictures one by one, which on a map of 4×4 leaves most of the machine idle; here the pictures' places are
 * one long sum. Larger maps are better off without the gathering, in f32 sooner.
 *
 * Tiles depend on the shapes alone and each is computed by one thread, so that the number of threads changes no bit. */
#include "backend/cpu/onednn.h"
#include "backend/cpu/rows.h"
#include <stdatomic.h>
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
	return onednn_matmul(&m, d, F32, NULL, NULL);
}

static bool prepare(call *c, error *e)
{
	columns *s = calloc(1, sizeof *s);
	if (!s) return fail(e, NO_MEMORY, "out of memory");
	const int *dy = c->x[0]->shape.d, *w = c->y->shape.d;
	s->shape = conv_shape_of(c->x[1], c->y, c->x[0], c->y);
	s->rows = count_of(c->x[0]) / (size_t)dy[3];
	s->taps = (size_t)w[2] * (size_t)w[3];
	s->width = s->taps * (size_t)s->shape.in;
	s->tile = dy[3] < TILE ? (size_t)dy[3] : TILE;
	s->tiles = ((size_t)dy[3] + s->tile - 1) / s->tile;
	size_t left = (size_t)dy[3] % s->tile;
	s->whole = make_tile(s, s->tile, c->x[0]->dtype);
	if (left) s->last = make_tile(s, left, c->x[0]->dtype);
	c->state = s;
	if (!s->whole || (left && !s->last)) {
		release(s);
		c->state = NULL;
		return fail(e, NO_MEMORY, "out of memory: oneDNN makes no product for the gradient of a convolution's weight");
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

/* What the parts share. */
typedef struct columns_job {
	const call *c;
	const columns *s;
	size_t size, in; /* bytes of a value; input channels */
	char *gathered, *room;
	float *product;
	atomic_int *failure;
} columns_job;

static bool gather_rows(const void *context, size_t first, size_t end, int worker)
{
	const columns_job *j = context;
	(void)worker;
	for (size_t row = first; row < end; row++)
		gather_row(j->s, j->c->in[1], row, j->in * j->size, j->gathered + row * j->s->width * j->size);
	return true;
}

static bool multiply_tiles(const void *context, size_t first, size_t end, int worker)
{
	const columns_job *j = context;
	const columns *s = j->s;
	int failure = 0;
	for (size_t task = first; task < end && !failure; task++) {
		size_t tap = task / s->tiles, tile = task % s->tiles, channel = tile * s->tile;
		const onednn *p = s->last && tile == s->tiles - 1 ? s->last : s->whole;
		failure = onednn_run(p, (const char *)j->c->in[0] + channel * j->size, j->gathered + tap * j->in * j->size,
		    NULL, j->product + channel * s->width + tap * j->in, j->room + (size_t)worker * s->scratch_bytes);
	}
	if (failure) atomic_store(j->failure, failure);
	return !failure;
}

/* Taps go inside, as weights are laid out. */
static bool lay_out(const void *context, size_t first, size_t end, int worker)
{
	const columns_job *j = context;
	size_t in = j->in, taps = j->s->taps;
	float *dw = j->c->out;
	(void)worker;
	for (size_t o = first; o < end; o++)
		for (size_t k = 0; k < in; k++)
			for (size_t tap = 0; tap < taps; tap++)
				dw[(o * in + k) * taps + tap] = j->product[o * j->s->width + tap * in + k];
	return true;
}

static bool run(const call *c, error *e)
{
	const columns *s = c->state;
	atomic_int failure = 0;
	char *gathered = c->scratch, *product = gathered + s->gathered_bytes;
	columns_job j = { c, s, dtype_size(c->x[0]->dtype), (size_t)s->shape.in, gathered, product + s->product_bytes,
		(float *)product, &failure };
	share(c, s->rows, s->width, gather_rows, &j);
	parallel_for(c->threads, s->taps * s->tiles, 1, multiply_tiles, &j);
	if (!failure) share(c, (size_t)s->shape.out, s->width, lay_out, &j);
	return onednn_went_well(failure, c, e);
}

const kernel onednn_conv_dw_columns = { CONV_DW, "oneDNN columns", fits, prepare, scratch_bytes, NULL, NULL, run,
	release };
