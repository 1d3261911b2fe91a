/* gpu.h - a GPU as the rows of this backend see it: something that launches kernels and multiplies matrices, in order.
 * device.c makes one of NVIDIA's driver; tests/cuda makes one of the host. A call's `device` is a gpu. */
#ifndef SUMI_BACKEND_CUDA_GPU_H
#define SUMI_BACKEND_CUDA_GPU_H
#include "backend/cuda/kernels/params.h"
#include "graph/graph.h"

typedef struct gpu gpu;

/* grid: blocks along x and y; block: threads, a multiple of 32, at most MAX_BLOCK; shared: bytes of a block's shared
 * memory. */
typedef struct launch {
	uint32_t grid_x, grid_y, block;
	size_t shared;
} launch;

/* D = A·B + bias + residual: D [m,n], A [m,k] or, where ta, [k,m]; B [k,n] or, where tb, [n,k]; rows in order. A and B
 * are of one type, D of that or F32. The bias [n] has D's type, the residual D's type and shape; it may lie where D
 * lies. gelu: the tanh form of GELU is applied last. */
typedef struct product {
	size_t m, n, k;
	bool ta, tb, bias, residual, gelu;
	dtype in, out;
} product;

struct gpu {
	/* Gives the device a kernel to run after all that it was given before. parameters: the kernel's struct of params.h.
	 * False: the device has no such kernel or refuses the launch. */
	bool (*launch)(gpu *g, const char *name, const launch *how, const void *parameters, size_t bytes, error *e);
	/* Sets bytes to 0, likewise in order. */
	bool (*clear)(gpu *g, void *to, size_t bytes, error *e);
	/* Copies bytes within the device, likewise. */
	bool (*copy)(gpu *g, void *to, const void *from, size_t bytes, error *e);
	/* A product's plan, freed with product_free(); NULL: it failed. *workspace: the bytes that a run needs. NULL where
	 * the device has no matrix products. */
	void *(*product_new)(gpu *g, const product *p, size_t *workspace, error *e);
	bool (*product_run)(gpu *g, void *plan, const void *a, const void *b, const void *bias, const void *residual,
	    void *d, void *workspace, error *e);
	void (*product_free)(void *plan);
	/* Between the two, this thread alone gives the device work, and what a library is asked means this device. They
	 * nest. */
	void (*enter)(gpu *g);
	void (*leave)(gpu *g);
	const struct cuda_stream *stream; /* of NVIDIA's driver (device.h); NULL: it is another's */
	struct lt *lt;                    /* cuBLASLt, for lt.c */
	struct dnn *dnn;                  /* cuDNN, for dnn.h; NULL: it is not there */
};

/* ── what the files of rows share (launch.c) ── */

/* Runs the kernel `name`, or name_f32 or name_bf16 where d says so (NO_DTYPE: the bare name). */
bool run_kernel(const call *c, const char *name, dtype d, launch how, const void *parameters, size_t bytes, error *e);
/* The same with threads for n independent elements; the kernel loops where there are more. n may be 0. */
bool run_over(const call *c, const char *name, dtype d, size_t n, const void *parameters, size_t bytes, error *e);

#define RUN_KERNEL(call, name, dtype, how, p, e) run_kernel(call, name, dtype, how, &(p), sizeof(p), e)
#define RUN_OVER(call, name, dtype, n, p, e) run_over(call, name, dtype, n, &(p), sizeof(p), e)

bool is_computed(dtype d);        /* F32 or BF16: what kernels compute with */
enum element element_of(dtype d); /* of F32, BF16 and F16 */
bool aligned_16(const void *p);

static inline size_t count_of(const node *n) { return shape_count(n->shape); }
static inline size_t bytes_of(const node *n) { return shape_count(n->shape) * dtype_size(n->dtype); }
static inline uint32_t last_axis(const node *n) { return (uint32_t)n->shape.d[n->shape.n - 1]; }
static inline uint32_t in_pack(dtype d) { return (uint32_t)(16 / dtype_size(d)); } /* elements of 16 bytes */
/* What libraries want of their workspace, where a graph's scratch begins at a multiple of 64: rows ask for so much
 * more. */
enum { SCRATCH_ALIGNMENT = 256 };
static inline size_t rounded_up(size_t bytes)
{
	return (bytes + SCRATCH_ALIGNMENT - 1) & ~(size_t)(SCRATCH_ALIGNMENT - 1);
}
static inline void *aligned_scratch(void *p) { return (void *)rounded_up((uintptr_t)p); }

#endif
