/* dnn_graph.h - cuDNN's graph API, for the files that describe operations to it: a graph is made of descriptors with
 * attributes; of the engines that the library proposes for it the first is taken that gives the same bits in every
 * run. */
#ifndef SUMI_BACKEND_CUDA_DNN_GRAPH_H
#define SUMI_BACKEND_CUDA_DNN_GRAPH_H
#include "backend/cuda/dnn.h"

/* Numbers of cuDNN 9's headers that several files need: types of descriptors, of attributes and of elements. */
enum {
	DNN_POINTWISE = 0,
	DNN_CONVOLUTION = 1,
	DNN_CONVOLUTION_FORWARD = 10,
	DNN_CONVOLUTION_BY_WEIGHT = 11,
	DNN_CONVOLUTION_BY_DATA = 12,
	DNN_POINTWISE_OPERATION = 13,
	DNN_MATMUL = 18,
	DNN_MATMUL_OPERATION = 19,
	DNN_REDUCTION = 21,
	DNN_REDUCTION_OPERATION = 22,
	DNN_RESHAPE_OPERATION = 31,

	DNN_TYPE_DATA_TYPE = 1,
	DNN_TYPE_INT64 = 3,
	DNN_TYPE_FLOAT = 4,
	DNN_TYPE_CONVOLUTION_MODE = 7,
	DNN_TYPE_POINTWISE_MODE = 14,
	DNN_TYPE_REDUCTION_MODE = 18,

	DNN_F32 = 0,
	DNN_BF16 = 9,
};

/* A graph in the making. The first status that is not 0 stays, and what follows does nothing. */
typedef struct dnn_builder {
	int status;
	void *made[128];
	int count;
	void *operations[24];
	int operation_count;
} dnn_builder;

void *dnn_make(dnn_builder *b, int type);
void dnn_set(dnn_builder *b, void *d, int name, int type, int64_t count, const void *elements);
void dnn_set_descriptor(dnn_builder *b, void *d, int name, void *value);
void dnn_finish(dnn_builder *b, void *d);
void dnn_add_operation(dnn_builder *b, void *operation); /* finishes it, too */
void dnn_destroy_all(dnn_builder *b);

typedef struct dnn_tensor {
	int64_t id; /* by which a run gives its address, or names it within the graph */
	int type;   /* DNN_F32 or DNN_BF16 */
	int64_t dimensions[4], strides[4];
	int64_t alignment; /* bytes that its address is a multiple of */
	bool is_inner;     /* has no memory */
	bool is_value;     /* one number, in the host's memory */
} dnn_tensor;
void *dnn_make_tensor(dnn_builder *b, const dnn_tensor *t);

/* The GPU's plan for what `key` describes, made of the graph that describe() builds where it was not asked for before;
 * the key's first int tells kinds of graphs apart, and it has no padding. exact: no engine that rounds its input or
 * uses tensor cores. NULL: no engine will do within so much workspace. */
typedef void dnn_describe_fn(dnn_builder *b, const void *key);
const dnn_plan *dnn_find_plan(gpu *g, const void *key, size_t key_bytes, dnn_describe_fn *describe, bool exact,
    size_t most_workspace, size_t *workspace);
bool dnn_execute(
    gpu *g, const dnn_plan *p, int count, const int64_t *ids, const void *const *pointers, void *workspace, error *e);

#endif
