/* convolution.c - the convolution and its gradients by oneDNN.
 *
 * Forward and by data, each result is summed by one thread in one order. By weight, the sum runs over all pictures:
 * they are cut into shares that depend on the shapes alone, each share has a sum of its own, and the sums are added
 * in order, so that the number of threads changes no bit. */
#include "backend/cpu/onednn.h"
#include "backend/cpu/rows.h"
#include <omp.h>
#include <stdlib.h>
#include <string.h>

static conv_shape shape_for(const node *picture, const node *weight, const node *result, const node *y)
{
	const int *p = picture->shape.d, *w = weight->shape.d, *r = result->shape.d, *a = y->a;
	return (conv_shape){ p[0], p[1], p[2], p[3], r[1], r[2], r[3], w[2], w[3], a[0], a[1], a[2], a[3], a[4] };
}

static bool same_dtype(const call *c) { return c->x[0]->dtype == c->x[1]->dtype && onednn_computes(c->x[0]->dtype); }

/* ── forward and by data: one primitive ── */

static bool fits_single(const call *c) { return same_dtype(c) && c->y->dtype == c->x[0]->dtype; }

/* Few channels, as pictures and latents have, waste our own tiles. */
static bool is_thin(const node *picture, const node *result)
{
	return last_axis(picture) < 16 || last_axis(result) < 16;
}
static bool fits_thin(const call *c) { return fits_single(c) && is_thin(c->x[0], c->y); }

static bool prepare_forward(call *c, error *e)
{
	conv_shape s = shape_for(c->x[0], c->x[1], c->y, c->y);
	after then = { c->x[2] != NULL, c->x[3] != NULL, (activation)c->y->a[5] };
	c->state = onednn_conv(&s, CONV_FORWARD, c->x[0]->dtype, &then, c->threads);
	return c->state || fail(e, NO_MEMORY, "oneDNN makes no convolution for %s", c->y->name ? c->y->name : "a node");
}

static bool prepare_by_data(call *c, error *e)
{
	conv_shape s = shape_for(c->y, c->x[1], c->x[0], c->y);
	c->state = onednn_conv(&s, CONV_BY_DATA, c->x[0]->dtype, NULL, c->threads);
	return c->state || fail(e, NO_MEMORY, "oneDNN makes no convolution for %s", c->y->name ? c->y->name : "a node");
}

static size_t single_scratch(const call *c) { return onednn_scratch_bytes(c->state); }
static size_t single_packed(const call *c) { return onednn_packed_bytes(c->state); }
static bool single_pack(const call *c, error *e)
{
	return onednn_went_well(onednn_pack(c->state, c->in[1], c->packed), c, e);
}
static void single_release(void *state) { onednn_free(state); }

static bool single_run(const call *c, error *e)
{
	bool forward = c->y->op == CONV;
	if (forward && c->x[3] && c->in[3] != c->out) memcpy(c->out, c->in[3], count_of(c->y) * dtype_size(c->y->dtype));
	const float *bias = forward && c->x[2] ? c->in[2] : NULL;
	int failure = onednn_run(c->state, c->in[0], c->packed ? c->packed : c->in[1], bias, c->out, c->scratch);
	return onednn_went_well(failure, c, e);
}

const kernel onednn_conv_forward = { CONV, "oneDNN", fits_single, prepare_forward, single_scratch, single_packed,
	single_pack, single_run, single_release };
const kernel onednn_conv_forward_thin = { CONV, "oneDNN thin", fits_thin, prepare_forward, single_scratch,
	single_packed, single_pack, single_run, single_release };
const kernel onednn_conv_dx_thin = { CONV_DX, "oneDNN thin", fits_thin, prepare_by_data, single_scratch, single_packed,
	single_pack, single_run, single_release };
const kernel onednn_conv_dx = { CONV_DX, "oneDNN", fits_single, prepare_by_data, single_scratch, single_packed,
	single_pack, single_run, single_release };

/* ── by weight: shares of the pictures ── */

enum { MAX_SHARES = 32, PIXELS_PER_SHARE = 1024 };

typedef struct shares {
	int count, images; /* pictures of a share; the last may have fewer */
	conv_shape shape;
	onednn *whole, *last; /* last: NULL where it is a whole one */
	size_t sum_bytes, scratch_bytes;
} shares;

static bool fits_by_weight(const call *c) { return same_dtype(c) && c->y->dtype == F32; }

static bool fits_thin_by_weight(const call *c) { return fits_by_weight(c) && is_thin(c->x[1], c->x[0]); }

static void release_by_weight(void *state)
{
	shares *s = state;
	onednn_free(s->whole);
	onednn_free(s->last);
	free(s);
}

static bool prepare_by_weight(call *c, error *e)
{
	shares *s = calloc(1, sizeof *s);
	if (!s) return fail(e, NO_MEMORY, "out of memory");
	conv_shape part = shape_for(c->x[1], c->y, c->x[0], c->y);
	size_t pixels = (size_t)part.images * (size_t)part.result_height * (size_t)part.result_width;
	size_t count = pixels / PIXELS_PER_SHARE;
	if (count > MAX_SHARES) count = MAX_SHARES;
	if (count > (size_t)part.images) count = (size_t)part.images;
	if (count < 1) count = 1;
	s->shape = part;
	s->images = (part.images + (int)count - 1) / (int)count;
	s->count = (part.images + s->images - 1) / s->images;
	part.images = s->images;
	s->whole = onednn_conv(&part, CONV_BY_WEIGHT, c->x[0]->dtype, NULL, 1);
	part.images = s->shape.images - s->images * (s->count - 1);
	if (part.images != s->images) s->last = onednn_conv(&part, CONV_BY_WEIGHT, c->x[0]->dtype, NULL, 1);
	c->state = s;
	if (!s->whole || (part.images != s->images && !s->last)) {
		release_by_weight(s);
		c->state = NULL;
		return fail(e, NO_MEMORY, "oneDNN makes no gradient of a convolution's weight");
	}
	size_t packed = onednn_packed_bytes(s->whole);
	s->sum_bytes = aligned(packed ? packed : count_of(c->y) * sizeof(float));
	s->scratch_bytes = onednn_scratch_bytes(s->whole);
	if (s->last && onednn_scratch_bytes(s->last) > s->scratch_bytes) s->scratch_bytes = onednn_scratch_bytes(s->last);
	return true;
}

static size_t scratch_by_weight(const call *c)
{
	const shares *s = c->state;
	return (size_t)s->count * s->sum_bytes + (size_t)c->threads * s->scratch_bytes;
}

/* The first sum += the others, in order. */
static void add_sums(float *sum, int count, size_t n, int threads)
{
	enum { BLOCK = 4096 };
#pragma omp parallel for num_threads(threads)
	for (size_t first = 0; first < n; first += BLOCK) {
		size_t m = n - first < BLOCK ? n - first : BLOCK;
		for (int k = 1; k < count; k++) {
			float *to = sum + first;
			const float *from = to + (size_t)k * n;
			for (size_t i = 0; i < m; i++) to[i] += from[i];
		}
	}
}

static bool run_by_weight(const call *c, error *e)
{
	const shares *s = c->state;
	int failure = 0;
	char *sums = c->scratch, *room = sums + (size_t)s->count * s->sum_bytes;
	size_t result = (size_t)s->shape.result_height * (size_t)s->shape.result_width * (size_t)s->shape.out;
	size_t picture = (size_t)s->shape.height * (size_t)s->shape.width * (size_t)s->shape.in;
	size_t size = dtype_size(c->x[0]->dtype), images = (size_t)s->images;
#pragma omp parallel for num_threads(c->threads) schedule(dynamic) reduction(max : failure)
	for (int k = 0; k < s->count; k++) {
		const onednn *p = k == s->count - 1 && s->last ? s->last : s->whole;
		const char *dy = (const char *)c->in[0] + (size_t)k * images * result * size;
		const char *x = (const char *)c->in[1] + (size_t)k * images * picture * size;
		char *scratch = room + (size_t)omp_get_thread_num() * s->scratch_bytes;
		int its = onednn_run(p, x, dy, NULL, sums + (size_t)k * s->sum_bytes, scratch);
		if (its > failure) failure = its;
	}
	if (!onednn_went_well(failure, c, e)) return false;
	add_sums((float *)sums, s->count, s->sum_bytes / sizeof(float), c->threads);
	if (onednn_packed_bytes(s->whole)) return onednn_went_well(onednn_unpack(s->whole, sums, c->out), c, e);
	memcpy(c->out, sums, count_of(c->y) * sizeof(float));
	return true;
}

const kernel onednn_conv_dw = { CONV_DW, "oneDNN", fits_by_weight, prepare_by_weight, scratch_by_weight, NULL, NULL,
	run_by_weight, release_by_weight };
const kernel onednn_conv_dw_thin = { CONV_DW, "oneDNN thin", fits_thin_by_weight, prepare_by_weight, scratch_by_weight,
	NULL, NULL, run_by_weight, release_by_weight };
