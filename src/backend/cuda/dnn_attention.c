/* dnn_attention.c - attention and its gradient as graphs of cuDNN, for its fused engines: products, the softmax of
 * pointwise operations and sums, and products again. Between them nothing has memory but a row's logarithm of its sum
 * of exponentials, and in the gradient the scores' gradients, which the engine keeps in its workspace: so each result
 * has one sum in one order, and the same bits in every run. */
#include "backend/cuda/dnn_graph.h"

enum { /* attributes and modes, of cuDNN 9's headers */
	POINTWISE_MODE = 0,
	POINTWISE_COMPUTE = 1,
	POINTWISE_OF = 750,
	POINTWISE_X = 751,
	POINTWISE_B = 752,
	POINTWISE_Y = 753,
	MATMUL_COMPUTE = 1500,
	MATMUL_A = 1520,
	MATMUL_B = 1521,
	MATMUL_C = 1522,
	MATMUL_OF = 1523,
	REDUCTION_MODE = 1600,
	REDUCTION_COMPUTE = 1601,
	REDUCTION_X = 1610,
	REDUCTION_Y = 1611,
	REDUCTION_OF = 1612,
	RESHAPE_X = 2200,
	RESHAPE_Y = 2201,

	ADD_NUMBERS = 0,
	MULTIPLY = 1,
	DIVIDE = 6,
	SUBTRACT = 9,
	EXPONENTIAL = 13,
	LOGARITHM = 15,
	SUM = 0,
	MAXIMUM = 3,
};

/* Tensors with memory, by which a run gives their addresses; inner ones are numbered from INNER on. */
enum { Q = 1, K, V, O, SCALE, ONE, LOG_SUM, SHARE, D, DQ, DK, DV, INNER = 100 };

typedef struct maker {
	dnn_builder *b;
	int64_t items, heads, queries, keys, width, inner;
} maker;

static void *tensor_of(maker *m, int64_t id, int type, const int64_t *dimensions, const int64_t *strides)
{
	dnn_tensor t = { .id = id ? id : INNER + m->inner++,
		.type = type,
		.alignment = 16,
		.is_inner = !id,
		.is_value = id == SCALE || id == ONE };
	for (int i = 0; i < 4; i++) {
		t.dimensions[i] = dimensions[i];
		t.strides[i] = strides[i];
	}
	return dnn_make_tensor(m->b, &t);
}

/* The heads of [items, tokens, heads·width], as [items, heads, tokens, width] or, transposed, [.., width, tokens] */
static void *heads_of(maker *m, int64_t id, int64_t tokens, bool transposed)
{
	int64_t row = m->heads * m->width;
	if (transposed)
		return tensor_of(m, id, DNN_BF16, (int64_t[]){ m->items, m->heads, m->width, tokens },
		    (int64_t[]){ tokens * row, m->width, 1, row });
	return tensor_of(m, id, DNN_BF16, (int64_t[]){ m->items, m->heads, tokens, m->width },
	    (int64_t[]){ tokens * row, m->width, row, 1 });
}

static void *inner_scores(maker *m, int type) /* [items, heads, queries, keys] */
{
	int64_t q = m->queries, k = m->keys;
	return tensor_of(m, 0, type, (int64_t[]){ m->items, m->heads, q, k }, (int64_t[]){ m->heads * q * k, q * k, k, 1 });
}

static void *rows_of(maker *m, int64_t id) /* a number for each query; id 0: inner */
{
	int64_t q = m->queries;
	return tensor_of(m, id, DNN_F32, (int64_t[]){ m->items, m->heads, q, 1 }, (int64_t[]){ m->heads * q, q, 1, 1 });
}

static void *number(maker *m, int64_t id)
{
	return tensor_of(m, id, DNN_F32, (int64_t[]){ 1, 1, 1, 1 }, (int64_t[]){ 1, 1, 1, 1 });
}

/* ── operations; each gives its result y ── */

static void *multiply(maker *m, void *a, void *b, void *y)
{
	int compute = DNN_F32;
	void *of = dnn_make(m->b, DNN_MATMUL), *o = dnn_make(m->b, DNN_MATMUL_OPERATION);
	dnn_set(m->b, of, MATMUL_COMPUTE, DNN_TYPE_DATA_TYPE, 1, &compute);
	dnn_finish(m->b, of);
	dnn_set_descriptor(m->b, o, MATMUL_A, a);
	dnn_set_descriptor(m->b, o, MATMUL_B, b);
	dnn_set_descriptor(m->b, o, MATMUL_C, y);
	dnn_set_descriptor(m->b, o, MATMUL_OF, of);
	dnn_add_operation(m->b, o);
	return y;
}

static void *pointwise(maker *m, int mode, void *x, void *b, void *y) /* b NULL: of one operand */
{
	int compute = DNN_F32;
	void *of = dnn_make(m->b, DNN_POINTWISE), *o = dnn_make(m->b, DNN_POINTWISE_OPERATION);
	dnn_set(m->b, of, POINTWISE_MODE, DNN_TYPE_POINTWISE_MODE, 1, &mode);
	dnn_set(m->b, of, POINTWISE_COMPUTE, DNN_TYPE_DATA_TYPE, 1, &compute);
	dnn_finish(m->b, of);
	dnn_set_descriptor(m->b, o, POINTWISE_OF, of);
	dnn_set_descriptor(m->b, o, POINTWISE_X, x);
	if (b) dnn_set_descriptor(m->b, o, POINTWISE_B, b);
	dnn_set_descriptor(m->b, o, POINTWISE_Y, y);
	dnn_add_operation(m->b, o);
	return y;
}

static void *reduce(maker *m, int mode, void *x, void *y) /* along the last axis */
{
	int compute = DNN_F32;
	void *of = dnn_make(m->b, DNN_REDUCTION), *o = dnn_make(m->b, DNN_REDUCTION_OPERATION);
	dnn_set(m->b, of, REDUCTION_MODE, DNN_TYPE_REDUCTION_MODE, 1, &mode);
	dnn_set(m->b, of, REDUCTION_COMPUTE, DNN_TYPE_DATA_TYPE, 1, &compute);
	dnn_finish(m->b, of);
	dnn_set_descriptor(m->b, o, REDUCTION_OF, of);
	dnn_set_descriptor(m->b, o, REDUCTION_X, x);
	dnn_set_descriptor(m->b, o, REDUCTION_Y, y);
	dnn_add_operation(m->b, o);
	return y;
}

static void *reshape_to(maker *m, void *x, void *y)
{
	void *o = dnn_make(m->b, DNN_RESHAPE_OPERATION);
	dnn_set_descriptor(m->b, o, RESHAPE_X, x);
	dnn_set_descriptor(m->b, o, RESHAPE_Y, y);
	dnn_add_operation(m->b, o);
	return y;
}

/* Scores transposed, rounded for a product. */
static void *transpose(maker *m, void *x)
{
	int64_t q = m->queries, k = m->keys;
	return reshape_to(m, x,
	    tensor_of(
	        m, 0, DNN_BF16, (int64_t[]){ m->items, m->heads, k, q }, (int64_t[]){ m->heads * q * k, q * k, 1, k }));
}

/* ── the graphs ── */

/* s = scale·q·kᵀ; p = exp(s − max s) / Σ; o = p·v; and max s + log Σ */
static void describe_forward(maker *m)
{
	void *q = heads_of(m, Q, m->queries, false), *k = heads_of(m, K, m->keys, true);
	void *v = heads_of(m, V, m->keys, false), *o = heads_of(m, O, m->queries, false);
	void *s = multiply(m, q, k, inner_scores(m, DNN_F32));
	s = pointwise(m, MULTIPLY, s, number(m, SCALE), inner_scores(m, DNN_F32));
	void *most = reduce(m, MAXIMUM, s, rows_of(m, 0));
	s = pointwise(m, SUBTRACT, s, most, inner_scores(m, DNN_F32));
	s = pointwise(m, EXPONENTIAL, s, NULL, inner_scores(m, DNN_F32));
	void *sum = reduce(m, SUM, s, rows_of(m, 0));
	pointwise(m, ADD_NUMBERS, most, pointwise(m, LOGARITHM, sum, NULL, rows_of(m, 0)), rows_of(m, LOG_SUM));
	multiply(m, pointwise(m, DIVIDE, s, sum, inner_scores(m, DNN_BF16)), v, o);
}

/* share = do·o; p = exp(scale·q·kᵀ − log Σ); dv = pᵀ·do; ds = scale·p·(do·vᵀ − share); dk = dsᵀ·q; dq = ds·k */
static void describe_gradient(maker *m)
{
	void *q = heads_of(m, Q, m->queries, false), *k = heads_of(m, K, m->keys, true), *v = heads_of(m, V, m->keys, true);
	void *o = heads_of(m, O, m->queries, false), *d = heads_of(m, D, m->queries, false), *scale = number(m, SCALE);
	int64_t row = m->heads * m->width, t = m->queries;
	void *both = tensor_of(
	    m, 0, DNN_F32, (int64_t[]){ m->items, m->heads, t, m->width }, (int64_t[]){ t * row, t * m->width, row, 1 });
	void *share = reduce(m, SUM, pointwise(m, MULTIPLY, d, o, both), rows_of(m, 0));
	share = pointwise(m, MULTIPLY, share, number(m, ONE), rows_of(m, SHARE));
	void *p = multiply(m, q, k, inner_scores(m, DNN_F32));
	p = pointwise(m, MULTIPLY, p, scale, inner_scores(m, DNN_F32));
	p = pointwise(m, SUBTRACT, p, rows_of(m, LOG_SUM), inner_scores(m, DNN_F32));
	p = pointwise(m, EXPONENTIAL, p, NULL, inner_scores(m, DNN_F32));
	multiply(m, transpose(m, p), d, heads_of(m, DV, m->keys, false));
	void *s = multiply(m, d, v, inner_scores(m, DNN_F32));
	s = pointwise(m, SUBTRACT, s, share, inner_scores(m, DNN_F32));
	s = pointwise(m, MULTIPLY, s, p, inner_scores(m, DNN_F32));
	s = pointwise(m, MULTIPLY, s, scale, inner_scores(m, DNN_BF16));
	multiply(m, transpose(m, s), q, heads_of(m, DK, m->keys, false));
	multiply(m, s, reshape_to(m, k, heads_of(m, 0, m->keys, false)), heads_of(m, DQ, m->queries, false));
}

static void describe(dnn_builder *b, const void *key)
{
	const dnn_attention *a = key;
	maker m = { b, a->items, a->heads, a->queries, a->keys, a->width, 0 };
	if (a->kind == DNN_ATTENTION)
		describe_forward(&m);
	else
		describe_gradient(&m);
}

const dnn_plan *dnn_find_attention(gpu *g, const dnn_attention *a, size_t *workspace)
{
	static const size_t most_workspace = (size_t)1 << 30;
	size_t version = cuda_libraries_find()->dnn_version;
	if (version == 91000 || version == 91001) return NULL; /* NVIDIA's own front end refuses these two */
	return dnn_find_plan(g, a, sizeof *a, describe, false, most_workspace, workspace);
}

bool dnn_run_attention(
    gpu *g, const dnn_plan *p, dnn_kind kind, const dnn_attention_operands *o, void *workspace, error *e)
{
	static const float one = 1;
	static const int64_t ids[] = { Q, K, V, O, SCALE, LOG_SUM, ONE, SHARE, D, DQ, DK, DV };
	const void *pointers[] = { o->q, o->k, o->v, o->o, &o->scale, o->log_sum, &one, o->share, o->d, o->dq, o->dk,
		o->dv };
	int count = kind == DNN_ATTENTION ? 6 : (int)(sizeof ids / sizeof *ids);
	return dnn_execute(g, p, count, ids, pointers, workspace, e);
}
