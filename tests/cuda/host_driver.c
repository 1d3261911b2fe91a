/* host_driver.c - a libcuda.so.1 and a libcublasLt.so.13 for machines without a GPU: the recording device in place of
 * the driver, so that the whole program runs with --device cuda as it does on a GPU. Kernels run over the shim,
 * products in plain C, each at once and in the order in which they are given.
 *
 * It is strict where NVIDIA's libraries are: calls need the context of their thread and the one stream, a product's
 * addresses the alignment that was promised for its choice. The rest is as host_device.c has it. What it counted goes
 * to the file of SUMI_HOST_GPU_BOOKS when the program ends; SUMI_HOST_GPU_MEMORY is how many bytes it has. */
#include "backend/cuda/libraries.h"
#include "host_device.h"
#include "shim_run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAILED = 1, MOST_MEMORY_GIB = 64 };

#define DECLARE(name, symbol, parameters) \
	int cu_##name parameters __asm__(symbol) __attribute__((visibility("default")));
DRIVER_FUNCTIONS(DECLARE)
#undef DECLARE
#define DECLARE(name, symbol, parameters) \
	int blas_##name parameters __asm__(symbol) __attribute__((visibility("default")));
LT_FUNCTIONS(DECLARE)
#undef DECLARE
int cuDriverGetVersion(int *version) __attribute__((visibility("default")));
size_t cublasLtGetVersion(void) __attribute__((visibility("default")));

static const char *last_problem = "no such thing";
static char the_context, the_stream; /* what their handles point to */
static _Thread_local bool is_current;

static int told(bool fine, const error *e)
{
	static char text[sizeof e->text];
	if (fine) return 0;
	snprintf(text, sizeof text, "%s", e->text);
	last_problem = text;
	return FAILED;
}

static int wrong(const char *what)
{
	host_gpu_fault(what);
	last_problem = what;
	return FAILED;
}

static bool usable(CUstream stream) { return is_current && (char *)stream == &the_stream; }
#define NEEDS_STREAM(stream) \
	if (!usable(stream)) return wrong("work without a context, or for another stream")
#define NEEDS_CONTEXT \
	if (!is_current) return wrong("a call without a context")

static void *at(CUdeviceptr p) { return (void *)(uintptr_t)p; }
static const device *d(void) { return host_device(); }

/* ── starting and ending ── */

__attribute__((constructor)) static void set_memory(void)
{
	const char *bytes = getenv("SUMI_HOST_GPU_MEMORY");
	host_gpu_set_memory(bytes ? strtoull(bytes, NULL, 10) : (uint64_t)MOST_MEMORY_GIB << 30);
}

__attribute__((destructor)) static void write_books(void)
{
	const char *path = getenv("SUMI_HOST_GPU_BOOKS");
	host_gpu_books b = host_gpu_read_books();
	FILE *to = path ? fopen(path, "w") : NULL;
	if (!to) return;
	fprintf(to,
	    "allocated %d freed %d alive %d recordings %d replays %d launches %ld products %ld uploads %ld downloads "
	    "%ld faults %d\n",
	    b.allocated, b.freed, b.alive, b.recordings, b.replays, b.launches, b.products, b.uploads, b.downloads,
	    b.faults);
	fclose(to);
}

int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cu_init(unsigned flags) { return (int)flags; }
int cu_error_string(int result, const char **text) { return *text = result ? last_problem : "none", 0; }
int cu_device_count(int *count) { return *count = 1, 0; }
int cu_device_get(int *found, int ordinal) { return *found = ordinal, ordinal != 0; }
int cu_device_name(char *name, int length, int which)
{
	snprintf(name, (size_t)length, "host, over the shim");
	return which;
}
int cu_device_memory(size_t *bytes, int which) { return *bytes = (size_t)MOST_MEMORY_GIB << 30, which; }
int cu_device_attribute(int *value, int attribute, int which)
{
	*value = attribute == CU_CAPABILITY_MAJOR ? 8 : 0;
	return which;
}
int cu_context_retain(CUcontext *context, int which) { return *context = (CUcontext)&the_context, which; }
int cu_context_set(CUcontext context)
{
	is_current = (char *)context == &the_context;
	return !is_current;
}
int cu_stream_create(CUstream *stream, unsigned flags)
{
	static bool made;
	NEEDS_CONTEXT;
	if (made || flags != CU_STREAM_NON_BLOCKING) return wrong("a second stream, or one that waits for others");
	made = true;
	return *stream = (CUstream)&the_stream, 0;
}

/* ── memory ── */

int cu_memory_info(size_t *available, size_t *whole)
{
	NEEDS_CONTEXT;
	*available = d()->available(d()->context);
	return cu_device_memory(whole, 0);
}
int cu_alloc(CUdeviceptr *to, size_t bytes)
{
	NEEDS_CONTEXT;
	*to = (CUdeviceptr)(uintptr_t)d()->alloc(d()->context, bytes);
	return *to ? 0 : CU_OUT_OF_MEMORY;
}
int cu_free(CUdeviceptr p)
{
	NEEDS_CONTEXT;
	d()->free(d()->context, at(p));
	return 0;
}
int cu_upload(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
	error e = { OK, "" };
	NEEDS_STREAM(stream);
	return told(d()->upload(d()->context, at(to), from, bytes, &e), &e);
}
int cu_download(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
	error e = { OK, "" };
	NEEDS_STREAM(stream);
	return told(d()->download(d()->context, to, at(from), bytes, &e), &e);
}
int cu_copy(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
	error e = { OK, "" };
	NEEDS_STREAM(stream);
	return told(d()->copy(d()->context, at(to), at(from), bytes, &e), &e);
}
int cu_set(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream)
{
	error e = { OK, "" };
	NEEDS_STREAM(stream);
	if (value) return wrong("memory is set to something else than 0");
	return told(host_device_gpu()->clear(host_device_gpu(), at(to), bytes, &e), &e);
}
int cu_stream_sync(CUstream stream)
{
	error e = { OK, "" };
	NEEDS_STREAM(stream);
	return told(d()->sync(d()->context, &e), &e);
}

/* ── recordings: a graph is the recording already ── */

int cu_capture_begin(CUstream stream, int mode)
{
	error e = { OK, "" };
	NEEDS_STREAM(stream);
	if (mode != CU_CAPTURE_THREAD_LOCAL) return wrong("a recording in another mode");
	return told(d()->record_begin(d()->context, &e), &e);
}
int cu_capture_end(CUstream stream, CUgraph *recorded)
{
	error e = { OK, "" };
	NEEDS_STREAM(stream);
	*recorded = d()->record_end(d()->context, &e);
	return told(*recorded, &e);
}
int cu_graph_instantiate(CUgraphExec *made, CUgraph recorded, unsigned long long flags)
{
	*made = (CUgraphExec)recorded;
	return (int)flags;
}
int cu_graph_launch(CUgraphExec made, CUstream stream)
{
	error e = { OK, "" };
	NEEDS_STREAM(stream);
	return told(d()->replay(d()->context, made, &e), &e);
}
int cu_graph_destroy(CUgraph recorded) { return !recorded; }
int cu_graph_exec_destroy(CUgraphExec made)
{
	NEEDS_CONTEXT;
	d()->record_free(d()->context, made);
	return 0;
}

/* ── kernels: the first image has all of them; a function is its number, from 1 ── */

int cu_module_load(CUmodule *module, const void *image)
{
	static uintptr_t loaded;
	NEEDS_CONTEXT;
	*module = (CUmodule)++loaded;
	return !image;
}
int cu_module_count(unsigned *count, CUmodule module)
{
	for (*count = 0; (uintptr_t)module == 1 && shim_kernel((int)*count);) ++*count;
	return 0;
}
int cu_module_functions(CUfunction *list, unsigned count, CUmodule module)
{
	for (unsigned i = 0; i < count; i++) list[i] = (CUfunction)(uintptr_t)(i + 1);
	return (uintptr_t)module != 1 && count;
}
int cu_function_name(const char **name, CUfunction function)
{
	*name = shim_kernel((int)(uintptr_t)function - 1);
	return !*name;
}
int cu_function_set(CUfunction function, int attribute, int value)
{
	return !function || attribute != CU_DYNAMIC_SHARED || value < 0;
}
int cu_launch(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
    unsigned block_y, unsigned block_z, unsigned shared, CUstream stream, void **parameters, void **extra)
{
	int number = (int)(uintptr_t)function - 1;
	launch how = { grid_x, grid_y, block_x, shared };
	error e = { OK, "" };
	gpu *g = host_device_gpu();
	NEEDS_STREAM(stream);
	if (grid_z != 1 || block_y != 1 || block_z != 1 || extra) return wrong("a launch of more axes than kernels have");
	return told(g->launch(g, shim_kernel(number), &how, parameters[0], shim_kernel_bytes(number), &e), &e);
}

/* ── cuBLASLt. Its matrices are stored column by column: D = A·B is Dᵀ = Bᵀ·Aᵀ row by row. ── */

enum { INVALID = 7, NOT_SUPPORTED = 15, ALIGNMENTS = 4 };

typedef struct description {
	int transposed_a, transposed_b, epilogue;
	const void *bias;
} description;

typedef struct layout {
	int type;
	uint64_t rows, columns;
	int64_t stride;
} layout;

size_t cublasLtGetVersion(void) { return 130000; }
int blas_create(void **handle) { return *handle = &the_context, 0; }

int blas_desc_create(void **desc, int compute, int scale)
{
	if (compute != LT_COMPUTE_F32 || scale != LT_F32) return NOT_SUPPORTED;
	description *made = calloc(1, sizeof *made);
	if (made) made->epilogue = LT_EPILOGUE_DEFAULT;
	return *desc = made, made ? 0 : LT_ALLOCATION_FAILED;
}
int blas_desc_destroy(void *desc) { return free(desc), 0; }

int blas_desc_set(void *desc, int what, const void *value, size_t bytes)
{
	description *to = desc;
	void *field = what == LT_TRANSPOSE_A    ? (void *)&to->transposed_a
	              : what == LT_TRANSPOSE_B  ? (void *)&to->transposed_b
	              : what == LT_EPILOGUE     ? (void *)&to->epilogue
	              : what == LT_BIAS_POINTER ? (void *)&to->bias
	                                        : NULL;
	if (!field || bytes != (what == LT_BIAS_POINTER ? sizeof(void *) : sizeof(int))) return INVALID;
	memcpy(field, value, bytes);
	return 0;
}

int blas_layout_create(void **made, int type, uint64_t rows, uint64_t columns, int64_t stride)
{
	layout *l = malloc(sizeof *l);
	if (!l) return LT_ALLOCATION_FAILED;
	*l = (layout){ type, rows, columns, stride };
	return *made = l, 0;
}
int blas_layout_destroy(void *l) { return free(l), 0; }

/* The smallest of the alignments that are promised is all that is kept of a preference. */
int blas_preference_create(void **preference)
{
	uint32_t *alignment = malloc(sizeof *alignment);
	if (alignment) *alignment = 256;
	return *preference = alignment, alignment ? 0 : LT_ALLOCATION_FAILED;
}
int blas_preference_destroy(void *preference) { return free(preference), 0; }
int blas_preference_set(void *preference, int what, const void *value, size_t bytes)
{
	uint32_t *alignment = preference, given;
	if (what < LT_ALIGNMENT_A || what >= LT_ALIGNMENT_A + ALIGNMENTS || bytes != sizeof given) return 0;
	memcpy(&given, value, sizeof given);
	if (given < *alignment) *alignment = given;
	return 0;
}

/* Element types, or NO_DTYPE. */
static dtype type_of(const layout *l) { return l->type == LT_F32 ? F32 : l->type == LT_BF16 ? BF16 : NO_DTYPE; }

/* The product as the device has it; false: it has not. */
static bool product_of(
    const description *desc, const layout *a, const layout *b, const layout *c, const layout *to, product *p)
{
	bool known = desc->epilogue == LT_EPILOGUE_DEFAULT || desc->epilogue == LT_EPILOGUE_BIAS ||
	             desc->epilogue == LT_EPILOGUE_GELU_TANH || desc->epilogue == LT_EPILOGUE_GELU_TANH_BIAS;
	*p = (product){ .m = to->columns,
		.n = to->rows,
		.k = desc->transposed_a ? a->rows : a->columns,
		.ta = desc->transposed_b,
		.tb = desc->transposed_a,
		.bias = desc->epilogue == LT_EPILOGUE_BIAS || desc->epilogue == LT_EPILOGUE_GELU_TANH_BIAS,
		.gelu = desc->epilogue >= LT_EPILOGUE_GELU_TANH,
		.in = type_of(a),
		.out = type_of(to) };
	const layout *all[] = { a, b, c, to };
	for (int i = 0; i < 4; i++)
		if (all[i]->stride != (int64_t)all[i]->rows || type_of(all[i]) == NO_DTYPE) return false;
	return known && type_of(b) == p->in && type_of(c) == p->out && (p->out == p->in || p->out == F32) &&
	       (desc->transposed_a ? a->columns : a->rows) == p->n && (desc->transposed_b ? b->columns : b->rows) == p->k &&
	       (desc->transposed_b ? b->rows : b->columns) == p->m;
}

int blas_heuristic(void *handle, void *desc, void *a, void *b, void *c, void *to, void *preference, int wanted,
    lt_heuristic *found, int *count)
{
	product p;
	*count = 0;
	if (!handle || wanted < 1) return INVALID;
	if (!product_of(desc, a, b, c, to, &p)) return NOT_SUPPORTED;
	found[0] = (lt_heuristic){ .algorithm = { *(const uint32_t *)preference }, .workspace = 64 };
	*count = 1;
	return 0;
}

static bool aligned(const void *p, uint64_t to) { return (uintptr_t)p % to == 0; }

int blas_matmul(void *handle, void *desc, const void *alpha, const void *a, void *layout_a, const void *b,
    void *layout_b, const void *beta, const void *c, void *layout_c, void *to, void *layout_d, const void *algorithm,
    void *workspace, size_t workspace_bytes, CUstream stream)
{
	const description *y = desc;
	uint64_t alignment = *(const uint64_t *)algorithm;
	float factor, share;
	product p;
	error e = { OK, "" };
	gpu *g = host_device_gpu();
	NEEDS_STREAM(stream);
	memcpy(&factor, alpha, sizeof factor);
	memcpy(&share, beta, sizeof share);
	if (!handle || !product_of(y, layout_a, layout_b, layout_c, layout_d, &p) || factor != 1 ||
	    (share != 0 && share != 1))
		return INVALID;
	if (workspace_bytes < 64 || !aligned(workspace, 256) || (p.bias && !y->bias)) return INVALID;
	if (!aligned(a, alignment) || !aligned(b, alignment) || !aligned(c, alignment) || !aligned(to, alignment))
		return INVALID;
	p.residual = share != 0;
	return told(g->product_run(g, &p, b, a, p.bias ? y->bias : NULL, p.residual ? c : NULL, to, workspace, &e), &e);
}
