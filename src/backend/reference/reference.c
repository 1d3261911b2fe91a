/* reference.c - the table of the plain kernels, and what lets them see nothing but `real`: floating inputs of another
 * type are widened into scratch, the result is computed there in full precision and rounded once. */
#include "backend/backend.h"
#include "backend/reference/plain.h"
#include "tensor/dtype.h"

static const struct {
	plain *run;
	plain_scratch *scratch;
	bool as_is; /* takes its inputs as they are: it moves or converts bytes, or computes in f32 whatever real is */
} plains[OPS] = {
	[FILL] = { plain_fill, NULL, true },
	[VIEW] = { plain_view, NULL, true },
	[CAST] = { plain_cast, NULL, true },
	[ADD] = { .run = plain_add },
	[MUL] = { .run = plain_mul },
	[AFFINE] = { .run = plain_affine },
	[ACTIVATION] = { .run = plain_activation },
	[ACTIVATION_GRAD] = { .run = plain_activation_grad },
	[GEGLU] = { .run = plain_geglu },
	[GEGLU_GRAD] = { .run = plain_geglu_grad },
	[SUM_TO] = { .run = plain_sum_to },
	[SPREAD] = { .run = plain_spread },
	[PERMUTE] = { plain_permute, NULL, true },
	[SLICE] = { plain_slice, NULL, true },
	[PAD] = { plain_pad, NULL, true },
	[CONCAT] = { plain_concat, NULL, true },
	[RESIZE] = { plain_resize, NULL, true },
	[RESIZE_GRAD] = { .run = plain_resize_grad },
	[POOL] = { .run = plain_pool },
	[POOL_GRAD] = { .run = plain_pool_grad },
	[MATMUL] = { .run = plain_matmul },
	[CONV] = { plain_conv, conv_scratch, false },
	[CONV_DX] = { plain_conv_dx, conv_scratch, false },
	[CONV_DW] = { .run = plain_conv_dw },
	[GROUP_NORM] = { .run = plain_norm },
	[GROUP_NORM_DX] = { .run = plain_norm_dx },
	[GROUP_NORM_SUMS] = { .run = plain_norm_sums },
	[LAYER_NORM] = { .run = plain_norm },
	[LAYER_NORM_DX] = { .run = plain_norm_dx },
	[LAYER_NORM_DW] = { plain_norm_dw, norm_scratch, false },
	[RMS_NORM] = { .run = plain_rms_norm },
	[RMS_NORM_DX] = { .run = plain_rms_norm_dx },
	[RMS_NORM_DW] = { plain_rms_norm_dw, rms_norm_scratch, false },
	[ATTENTION] = { plain_attention, attention_scratch, false },
	[ATTENTION_GRAD] = { plain_attention_grad, attention_grad_scratch, false },
	[EMBEDDING] = { plain_embedding, NULL, true },
	[EMBEDDING_GRAD] = { .run = plain_embedding_grad },
	[RELATIVE_BUCKETS] = { plain_relative_buckets, NULL, true },
	[TIMESTEP_EMBEDDING] = { .run = plain_timestep_embedding },
	[SUM_SQUARES] = { plain_sum_squares, squares_scratch, true },
	[CLIP_SCALE] = { plain_clip, NULL, true },
	[ACCUMULATE] = { plain_accumulate, NULL, true },
	[UPDATE_SGD] = { plain_sgd, NULL, true },
	[UPDATE_ADAMW] = { plain_adamw, NULL, true },
	[UPDATE_ADAMW_8BIT] = { plain_adamw_8bit, NULL, true },
	[UPDATE_ADAFACTOR] = { plain_adafactor, NULL, true },
};

/* Bytes that n reals take in scratch, so that what follows is aligned again. */
static size_t room(size_t n) { return (n * sizeof(real) + 63) & ~(size_t)63; }

static bool in_scratch(const call *c, const node *n)
{
	return n && !plains[c->y->op].as_is && dtype_is_float(n->dtype) && n->dtype != REAL;
}

static size_t scratch_bytes(const call *c)
{
	size_t bytes = in_scratch(c, c->y) ? room(count_of(c->y)) : 0;
	for (int i = 0; i < MAX_INPUTS; i++)
		if (in_scratch(c, c->x[i])) bytes += room(count_of(c->x[i]));
	return bytes + (plains[c->y->op].scratch ? plains[c->y->op].scratch(c) : 0);
}

static bool run(const call *c, error *e)
{
	call inner = *c;
	char *scratch = c->scratch;
	for (int i = 0; i < MAX_INPUTS; i++) {
		if (!in_scratch(c, c->x[i])) continue;
		convert(scratch, REAL, c->in[i], c->x[i]->dtype, count_of(c->x[i]));
		inner.in[i] = scratch;
		scratch += room(count_of(c->x[i]));
	}
	if (in_scratch(c, c->y)) {
		inner.out = scratch;
		scratch += room(count_of(c->y));
	}
	inner.scratch = scratch;
	if (!plains[c->y->op].run(&inner)) return fail(e, BAD_USAGE, "%s: an id lies outside of the table", c->y->name);
	if (in_scratch(c, c->y)) convert(c->out, c->y->dtype, inner.out, REAL, count_of(c->y));
	return true;
}

#define ROW(operation)                                                                   \
	{                                                                                    \
		.op = operation, .name = "reference", .scratch_bytes = scratch_bytes, .run = run \
	}
static const kernel rows[] = {
	ROW(FILL),
	ROW(VIEW),
	ROW(CAST),
	ROW(ADD),
	ROW(MUL),
	ROW(AFFINE),
	ROW(ACTIVATION),
	ROW(ACTIVATION_GRAD),
	ROW(GEGLU),
	ROW(GEGLU_GRAD),
	ROW(SUM_TO),
	ROW(SPREAD),
	ROW(PERMUTE),
	ROW(SLICE),
	ROW(PAD),
	ROW(CONCAT),
	ROW(RESIZE),
	ROW(RESIZE_GRAD),
	ROW(POOL),
	ROW(POOL_GRAD),
	ROW(MATMUL),
	ROW(CONV),
	ROW(CONV_DX),
	ROW(CONV_DW),
	ROW(GROUP_NORM),
	ROW(GROUP_NORM_DX),
	ROW(GROUP_NORM_SUMS),
	ROW(LAYER_NORM),
	ROW(LAYER_NORM_DX),
	ROW(LAYER_NORM_DW),
	ROW(RMS_NORM),
	ROW(RMS_NORM_DX),
	ROW(RMS_NORM_DW),
	ROW(ATTENTION),
	ROW(ATTENTION_GRAD),
	ROW(EMBEDDING),
	ROW(EMBEDDING_GRAD),
	ROW(RELATIVE_BUCKETS),
	ROW(TIMESTEP_EMBEDDING),
	ROW(SUM_SQUARES),
	ROW(CLIP_SCALE),
	ROW(ACCUMULATE),
	ROW(UPDATE_SGD),
	ROW(UPDATE_ADAMW),
	ROW(UPDATE_ADAMW_8BIT),
	ROW(UPDATE_ADAFACTOR),
};

const backend *backend_reference(void)
{
	static const backend reference = { .name = "reference", .rows = rows, .count = sizeof rows / sizeof *rows };
	return &reference;
}
