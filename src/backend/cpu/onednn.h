/* onednn.h - what we use of oneDNN: a convolution, its two gradients and a matrix product, each made once for its
 * shapes and run on plain pointers. The only door to that library.
 *
 * oneDNN splits work, and sometimes sums, by the number of threads that a primitive was made with, and its own threads
 * spin while they wait. So every primitive is made for one thread and runs on the calling thread: it
 * gives the same bytes wherever it runs. Callers cut the work by shapes and run primitives side by side. */
#ifndef SUMI_BACKEND_CPU_ONEDNN_H
#define SUMI_BACKEND_CPU_ONEDNN_H
#include "graph/graph.h"

typedef struct onednn onednn;

/* F32 everywhere; BF16 where the CPU has AVX-512, in which oneDNN computes it. */
bool onednn_computes(dtype d);

typedef enum conv_kind { CONV_FORWARD, CONV_BY_DATA, CONV_BY_WEIGHT } conv_kind;

/* Pictures are [images, height, width, channels], dense. */
typedef struct conv_shape {
	int images, height, width, in;        /* the picture */
	int result_height, result_width, out; /* the result */
	int kernel_height, kernel_width;
	int stride, top, left, bottom, right;
	int weight_in; /* input channels of the weight in memory, of which `in` are used; 0: in */
} conv_shape;

/* Of a convolution whose attributes are those of y. */
conv_shape conv_shape_of(const node *picture, const node *weight, const node *result, const node *y);
/* Few channels, as pictures and latents have, waste our own tiles. */
bool conv_is_thin(const node *picture, const node *result);

/* The epilogue of a product, out = act(product + bias + out), each part optional. */
typedef struct onednn_epilogue {
	bool bias, residual; /* residual: the previous content of out is added */
	activation activation;
} onednn_epilogue;

/* The weight is [out,in,height,width] of type `weights`, other pictures `data`; the result is `data`, a weight's
 * gradient F32. like: one whose packed weight this one reads, too; NULL: packed as oneDNN likes best.
 * NULL: oneDNN cannot, or no memory. */
onednn *onednn_conv(
    const conv_shape *s, conv_kind kind, dtype data, const onednn_epilogue *epilogue, const onednn *like);

/* out[m,n] = a[m,k] · b[k,n], row i column j of a at a[i·row + j·column]; rows of out are out_step elements apart.
 * pack: b is laid out as oneDNN likes best before it is used, or as in `like`, one whose packed b this one reads, too.
 */
typedef struct matmul_shape {
	int m, k, n;
	size_t a_row, a_column, b_row, b_column, out_step;
	bool pack;
} matmul_shape;
onednn *onednn_matmul(
    const matmul_shape *s, dtype data, dtype result, const onednn_epilogue *epilogue, const onednn *like);

void onednn_free(onednn *p); /* NULL is fine */

size_t onednn_scratch_bytes(const onednn *p); /* of a run, a pack or an unpack */
size_t onednn_packed_bytes(const onednn *p);  /* the weight, or a weight's gradient, as oneDNN wants it; 0: as it is */

/* Packing, unpacking and running give oneDNN's status, 0 where all went well: of tasks in parallel one is kept, and
 * onednn_went_well() words it. scratch: onednn_scratch_bytes() of the calling thread's own. */
bool onednn_went_well(int failure, const call *c, error *e);
int onednn_pack(const onednn *p, const void *weight, void *packed, void *scratch);
/* A weight's gradient into its own layout. */
int onednn_unpack(const onednn *p, const void *packed, void *gradient, void *scratch);

/* src: the picture, dy where the gradient by data is wanted, or a. weight: packed where packed_bytes is not 0.
 * out: the result, dx, or the packed gradient of the weight, for which `weight` is dy. */
int onednn_run(const onednn *p, const void *src, const void *weight, const float *bias, void *out, void *scratch);

#endif
