/* dnn.h - what cuDNN computes for the rows: convolutions of channels-last pictures, and attention. */
#ifndef SUMI_BACKEND_CUDA_DNN_H
#define SUMI_BACKEND_CUDA_DNN_H
#include "backend/cuda/device.h"

typedef enum dnn_kind { DNN_FORWARD, DNN_BY_DATA, DNN_BY_WEIGHT, DNN_ATTENTION, DNN_ATTENTION_GRADIENT } dnn_kind;

/* Gives the GPU its convolutions and attention. True where cuDNN is missing too: then g->dnn stays NULL. */
bool dnn_attach(gpu *g, const cuda_stream *stream, error *e);
/* The same for a GPU that is not here, by its properties as cuDNN 9.8 and later write them (JSON): its plans are made
 * as there, and cannot run. For tests. */
bool dnn_attach_described(gpu *g, const char *properties, error *e);

/* cuDNN's plan, owned by the GPU and the same for the same shape. */
typedef struct dnn_plan dnn_plan;

/* The picture [images, height, width, in], the weight [out, kernel_height, kernel_width, in] and the result [images,
 * result_height, result_width, out]. */
typedef struct dnn_shape {
	dnn_kind kind; /* one of the first three */
	int images, height, width, in, result_height, result_width, out, kernel_height, kernel_width;
	int stride, top, left, bottom, right;
	dtype type;        /* of picture, result and, but by weight, the weight: F32 or BF16 */
	dtype weight_type; /* by weight: of the gradient */
} dnn_shape;

/* NULL: no engine of cuDNN does the shape in a way that gives the same bits in every run. *workspace: bytes that a run
 * needs. */
const dnn_plan *dnn_find(gpu *g, const dnn_shape *s, size_t *workspace);

/* picture, weight and result: one of them is written, as the shape's kind says. They may lie anywhere. */
typedef struct dnn_operands {
	const void *picture, *weight, *result;
} dnn_operands;
bool dnn_run(gpu *g, const dnn_plan *p, const dnn_shape *s, const dnn_operands *o, void *workspace, error *e);

/* softmax(scale·q·kᵀ)·v in bf16, or its gradient: q, o and their gradients [items, queries, heads·width], k, v and
 * theirs [items, keys, heads·width]. */
typedef struct dnn_attention {
	dnn_kind kind; /* DNN_ATTENTION or DNN_ATTENTION_GRADIENT */
	int items, queries, keys, heads, width;
} dnn_attention;
const dnn_plan *dnn_find_attention(gpu *g, const dnn_attention *a, size_t *workspace); /* NULL as above */

typedef struct dnn_attention_operands { /* at multiples of 16 bytes */
	const void *q, *k, *v;
	void *o;                /* written by DNN_ATTENTION, read by the gradient */
	float *log_sum, *share; /* [items, heads, queries]: logarithm of Σ exp(score), which DNN_ATTENTION writes and the
	                         * gradient reads; and room for do·o, for the gradient alone */
	const void *d;          /* gradient of o */
	void *dq, *dk, *dv;
	float scale;
} dnn_attention_operands;
bool dnn_run_attention(
    gpu *g, const dnn_plan *p, dnn_kind kind, const dnn_attention_operands *o, void *workspace, error *e);

#endif
