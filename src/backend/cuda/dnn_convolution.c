/* dnn_convolution.c - convolutions of channels-last pictures as graphs of cuDNN, of one operation each. */
#include "backend/cuda/dnn_graph.h"

enum { /* attributes and modes, of cuDNN 9's headers */
	CONVOLUTION_COMPUTE = 100,
	CONVOLUTION_MODE = 101,
	CONVOLUTION_DILATIONS = 102,
	CONVOLUTION_STRIDES = 103,
	CONVOLUTION_POST_PADDINGS = 104,
	CONVOLUTION_PRE_PADDINGS = 105,
	CONVOLUTION_DIMENSIONS = 106,
	FORWARD_ALPHA = 700, /* beta, convolution, weight, picture, result follow */
	BY_DATA_ALPHA = 706,
	BY_WEIGHT_ALPHA = 712,
	CROSS_CORRELATION = 1,
};

enum { PICTURE = 1, WEIGHT, RESULT };
static const size_t most_workspace = (size_t)1 << 30;

typedef struct convolution_key {
	dnn_shape shape;
	int alignment; /* of all addresses, bytes */
} convolution_key;

static int data_type(dtype d) { return d == F32 ? DNN_F32 : DNN_BF16; }

/* [n, c, h, w] as cuDNN counts, c fastest in memory */
static void *tensor_of(dnn_builder *b, int64_t id, const convolution_key *k, dtype d, int n, int h, int w, int c)
{
	dnn_tensor t = { .id = id,
		.type = data_type(d),
		.dimensions = { n, c, h, w },
		.strides = { (int64_t)h * w * c, 1, (int64_t)w * c, c },
		.alignment = k->alignment };
	return dnn_make_tensor(b, &t);
}

static void *convolution_of(dnn_builder *b, const dnn_shape *s)
{
	int64_t ones[] = { 1, 1 }, strides[] = { s->stride, s->stride }, before[] = { s->top, s->left };
	int64_t after[] = { s->bottom, s->right }, dimensions = 2;
	int compute = DNN_F32, mode = CROSS_CORRELATION;
	void *c = dnn_make(b, DNN_CONVOLUTION);
	dnn_set(b, c, CONVOLUTION_COMPUTE, DNN_TYPE_DATA_TYPE, 1, &compute);
	dnn_set(b, c, CONVOLUTION_MODE, DNN_TYPE_CONVOLUTION_MODE, 1, &mode);
	dnn_set(b, c, CONVOLUTION_DIMENSIONS, DNN_TYPE_INT64, 1, &dimensions);
	dnn_set(b, c, CONVOLUTION_DILATIONS, DNN_TYPE_INT64, 2, ones);
	dnn_set(b, c, CONVOLUTION_STRIDES, DNN_TYPE_INT64, 2, strides);
	dnn_set(b, c, CONVOLUTION_PRE_PADDINGS, DNN_TYPE_INT64, 2, before);
	dnn_set(b, c, CONVOLUTION_POST_PADDINGS, DNN_TYPE_INT64, 2, after);
	dnn_finish(b, c);
	return c;
}

/* The attributes of the three operations stand in other orders: after alpha and beta come the convolution, then forward
 * w, x, y; by data w, dx, dy; by weight dw, x, dy. */
static void describe(dnn_builder *b, const void *key)
{
	static const int types[] = { DNN_CONVOLUTION_FORWARD, DNN_CONVOLUTION_BY_DATA, DNN_CONVOLUTION_BY_WEIGHT };
	static const int first[] = { FORWARD_ALPHA, BY_DATA_ALPHA, BY_WEIGHT_ALPHA };
	const convolution_key *k = key;
	const dnn_shape *s = &k->shape;
	const float one = 1, zero = 0;
	dtype weight = s->kind == DNN_BY_WEIGHT ? s->weight_type : s->type;
	void *x = tensor_of(b, PICTURE, k, s->type, s->images, s->height, s->width, s->in);
	void *w = tensor_of(b, WEIGHT, k, weight, s->out, s->kernel_height, s->kernel_width, s->in);
	void *y = tensor_of(b, RESULT, k, s->type, s->images, s->result_height, s->result_width, s->out);
	void *c = convolution_of(b, s), *o = dnn_make(b, types[s->kind]);
	int a = first[s->kind];
	dnn_set(b, o, a, DNN_TYPE_FLOAT, 1, &one);
	dnn_set(b, o, a + 1, DNN_TYPE_FLOAT, 1, &zero);
	dnn_set_descriptor(b, o, a + 2, c);
	dnn_set_descriptor(b, o, a + 3, w);
	dnn_set_descriptor(b, o, a + 4, x);
	dnn_set_descriptor(b, o, a + 5, y);
	dnn_add_operation(b, o);
}

static const dnn_plan *find_aligned(gpu *g, const dnn_shape *s, int alignment, size_t most, size_t *workspace)
{
	convolution_key k = { *s, alignment };
	return dnn_find_plan(g, &k, sizeof k, describe, s->type == F32, most, workspace);
}

const dnn_plan *dnn_find(gpu *g, const dnn_shape *s, size_t *workspace)
{
	return find_aligned(g, s, 16, most_workspace, workspace);
}

/* Where an address is not a multiple of 16 bytes (a view may begin anywhere) another plan runs, which is made in the
 * first run and has no more workspace. */
bool dnn_run(gpu *g, const dnn_plan *p, const dnn_shape *s, const dnn_operands *o, void *workspace, error *e)
{
	const int64_t ids[] = { PICTURE, WEIGHT, RESULT };
	const void *pointers[] = { o->picture, o->weight, o->result };
	if (!aligned_16(o->picture) || !aligned_16(o->weight) || !aligned_16(o->result)) {
		size_t bytes = 0;
		dnn_find(g, s, &bytes); /* what the workspace has room for */
		p = find_aligned(g, s, (int)dtype_size(s->type), bytes, &bytes);
		if (!p)
			return fail(e, DEVICE_FAILED, "cuDNN has no engine for a convolution of addresses that are not aligned");
	}
	return dnn_execute(g, p, 3, ids, pointers, workspace, e);
}
