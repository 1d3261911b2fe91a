/* convolution_weight.c - the gradient of a convolution's weight by oneDNN. The sum runs over all pictures: they are cut
 * into shares that depend on the shapes alone, each share has a sum of its own, and the sums are added in order, so
 * that the number of threads changes no bit. */
#include "backend/cpu/onednn.h"
#include "backend/cpu/rows.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARES = 32, PIXELS_PER_SHARE = 1024 };

typedef struct shares {
	int count, images; /* pictures of a share; the last may have fewer */
	conv_shape shape;
	onednn *whole, *last; /* last: NULL where it is a whole one */
	size_t sum_bytes, scratch_bytes;
} shares;

static bool fits_by_weight(const call *c)
{
	return c->x[0]->dtype == c->x[1]->dtype && onednn_computes(c->x[0]->dtype) && c->y->dtype == F32;
}

static bool fits_thin_by_weight(const call *c) { return fits_by_weight(c) && conv_is_thin(c->x[1], c->x[0]); }

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
	conv_shape part = conv_shape_of(c->x[1], c->y, c->x[0], c->y);
	size_t pixels = (size_t)part.images * (size_t)part.result_height * (size_t)part.result_width;
	size_t count = pixels / PIXELS_PER_SHARE;
	if (count > MAX_SHARES) count = MAX_SHARES;
	if (count > (size_t)part.images) count = (size_t)part.images;
	if (count < 1) count = 1;
	s->shape = part;
	s->images = (part.images + (int)count - 1) / (int)count;
	s->count = (part.images + s->images - 1) / s->images;
	part.images = s->images;
	s->whole = onednn_conv(&part, CONV_BY_WEIGHT, c->x[0]->dtype, NULL, NULL);
	part.images = s->shape.images - s->images * (s->count - 1);
	if (part.images != s->images) s->last = onednn_conv(&part, CONV_BY_WEIGHT, c->x[0]->dtype, NULL, NULL);
	c->state = s;
	if (!s->whole || (part.images != s->images && !s->last)) {
		release_by_weight(s);
		c->state = NULL;
		return fail(e, NO_MEMORY, "out of memory: oneDNN makes no gradient of a convolution's weight");
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

/* What the parts share. */
typedef struct shares_job {
	const call *c;
	const shares *s;
	atomic_int *failure;
} shares_job;

static bool sum_shares(const void *context, size_t first, size_t end, int worker)
{
	const shares_job *j = context;
	const shares *s = j->s;
	char *sums = j->c->scratch, *room = sums + (size_t)s->count * s->sum_bytes;
	size_t result = (size_t)s->shape.result_height * (size_t)s->shape.result_width * (size_t)s->shape.out;
	size_t picture = (size_t)s->shape.height * (size_t)s->shape.width * (size_t)s->shape.in;
	size_t size = dtype_size(j->c->x[0]->dtype), images = (size_t)s->images;
	int failure = 0;
	for (size_t k = first; k < end && !failure; k++) {
		const onednn *p = k == (size_t)s->count - 1 && s->last ? s->last : s->whole;
		const char *dy = (const char *)j->c->in[0] + k * images * result * size;
		const char *x = (const char *)j->c->in[1] + k * images * picture * size;
		failure = onednn_run(p, x, dy, NULL, sums + k * s->sum_bytes, room + (size_t)worker * s->scratch_bytes);
	}
	if (failure) atomic_store(j->failure, failure);
	return !failure;
}

/* The first sum += the others, in order. */
static bool add_sums(const void *context, size_t first, size_t end, int worker)
{
	const shares *s = ((const shares_job *)context)->s;
	float *sum = ((const shares_job *)context)->c->scratch;
	size_t n = s->sum_bytes / sizeof *sum;
	(void)worker;
	for (size_t k = 1; k < (size_t)s->count; k++)
		for (size_t i = first; i < end; i++) sum[i] += sum[k * n + i];
	return true;
}

static bool run_by_weight(const call *c, error *e)
{
	const shares *s = c->state;
	atomic_int failure = 0;
	shares_job j = { c, s, &failure };
	enum { BLOCK = 4096 };
	if (!parallel_for(c->threads, (size_t)s->count, 1, sum_shares, &j)) return onednn_went_well(failure, c, e);
	parallel_for(c->threads, s->sum_bytes / sizeof(float), BLOCK, add_sums, &j);
	char *room = (char *)c->scratch + (size_t)s->count * s->sum_bytes;
	if (onednn_packed_bytes(s->whole)) return onednn_went_well(onednn_unpack(s->whole, c->scratch, c->out, room), c, e);
	memcpy(c->out, c->scratch, count_of(c->y) * sizeof(float));
	return true;
}

const kernel onednn_conv_dw = { CONV_DW, "oneDNN", fits_by_weight, prepare_by_weight, scratch_by_weight, NULL, NULL,
	run_by_weight, release_by_weight };
const kernel onednn_conv_dw_thin = { CONV_DW, "oneDNN thin", fits_thin_by_weight, prepare_by_weight, scratch_by_weight,
	NULL, NULL, run_by_weight, release_by_weight };
