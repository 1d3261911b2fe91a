/* dnn.h - convolutions of channels-last pictures by cuDNN's graph API. */
#ifndef SUMI_BACKEND_CUDA_DNN_H
#define SUMI_BACKEND_CUDA_DNN_H
#include "backend/cuda/device.h"

typedef enum dnn_kind { DNN_FORWARD, DNN_BY_DATA, DNN_BY_WEIGHT } dnn_kind;

/* The picture [images, height, width, in], the weight [out, kernel_height, kernel_width, in] and the result [images,
 * result_height, result_width, out]. */
typedef struct dnn_shape {
	dnn_kind kind;
	int images, height, width, in, result_height, result_width, out, kernel_height, kernel_width;
	int stride, top, left, bottom, right;
	dtype type;        /* of picture, result and, but by weight, the weight: F32 or BF16 */
	dtype weight_type; /* by weight: of the gradient */
} dnn_shape;

/* Gives the GPU its convolutions. True where cuDNN is missing too: then g->dnn stays NULL. */
bool dnn_attach(gpu *g, const cuda_stream *stream, error *e);

/* cuDNN's plan for a shape, owned by the GPU and the same for the same shape; NULL where no engine of it does the shape
 * in a way that gives the same bits in every run. *workspace: bytes that a run needs. */
typedef struct dnn_plan dnn_plan;
const dnn_plan *dnn_find(gpu *g, const dnn_shape *s, size_t *workspace);

/* picture, weight and result: one of them is written, as the plan's kind says. */
bool dnn_run(
    gpu *g, const dnn_plan *p, const void *picture, const void *weight, const void *result, void *workspace, error *e);

#endif
