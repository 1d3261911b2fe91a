/* host_driver.c - a libcuda.so.1 and a libcublasLt.so.13 for machines without a GPU: the recording device in place of
 * the driver, so that the whole program runs with --device cuda as it does on a GPU. Kernels run over the shim,
 * products in plain C, in the order in which each stream is given them (host_streams.h); libnccl.so.2 is host_nccl.c.
 *
 * It is strict where NVIDIA's libraries are: calls need the context of their thread, kernels the first stream, a
 * product's addresses the alignment that was promised for its choice. The rest is as host_device.c has it. What it
 * counted is added to the file of SUMI_HOST_GPU_BOOKS when the program ends; SUMI_HOST_GPU_MEMORY is how many bytes it
 * has, SUMI_HOST_GPUS how many GPUs there are, of which a process may open one. */
#include "backend/cuda/libraries.h"
#include "host_device.h"
#include "host_streams.h"
#include "shim_run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FAILED = 1, MOST_MEMORY_GIB = 64, MOST_LOCKED = 64 };

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
static char the_context; /* what its handle points to */
static int opened = -1;  /* GPU */
static _Thread_local bool is_current;
static bool recording;

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

static stream *in(CUstream s) { return (stream *)s; }
static bool usable(CUstream s) { return is_current && host_stream_is(s); }
#define NEEDS_STREAM(stream) \
	if (!usable(stream)) return wrong("work without a context, or for another stream")
#define NEEDS_MAIN(stream) \
	if (!usable(stream) || in(stream) != host_stream_main()) return wrong("work that is not for the first stream")
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
	FILE *to = path ? fopen(path, "a") : NULL;
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

static int gpus(void)
{
	const char *given = getenv("SUMI_HOST_GPUS");
	return given ? atoi(given) : 1;
}
static int is_gpu(int which) { return which >= 0 && which < gpus() ? 0 : FAILED; }
int host_device_ordinal(void) { return opened; }

int cu_device_count(int *count) { return *count = gpus(), 0; }
int cu_device_get(int *found, int ordinal) { return *found = ordinal, is_gpu(ordinal); }
int cu_device_name(char *name, int length, int which)
{
	snprintf(name, (size_t)length, "host, over the shim");
	return is_gpu(which);
}
int cu_device_memory(size_t *bytes, int which) { return *bytes = (size_t)MOST_MEMORY_GIB << 30, is_gpu(which); }
int cu_device_attribute(int *value, int attribute, int which)
{
	*value = attribute == CU_CAPABILITY_MAJOR ? 8 : 0;
	return is_gpu(which);
}
int cu_context_retain(CUcontext *context, int which)
{
	if (opened >= 0 && opened != which) return wrong("a second GPU in one process");
	opened = which;
	return *context = (CUcontext)&the_context, is_gpu(which);
}
int cu_context_set(CUcontext context)
{
	is_current = (char *)context == &the_context;
	return !is_current;
}

/* ── streams and events ── */

int cu_stream_create(CUstream *made, unsigned flags)
{
	NEEDS_CONTEXT;
	if (flags != CU_STREAM_NON_BLOCKING) return wrong("a stream that waits for others");
	return *made = (CUstream)host_stream_new(), *made ? 0 : FAILED;
}
int cu_stream_destroy(CUstream s)
{
	NEEDS_STREAM(s);
	return host_stream_free(in(s)) ? 0 : wrong("a stream is destroyed with work in it");
}
int cu_stream_sync(CUstream s)
{
	error e = { OK, "" };
	NEEDS_STREAM(s);
	return told(d()->sync(d()->context, &e) && host_stream_finish(in(s), &e), &e);
}
int cu_stream_wait(CUstream s, CUevent of, unsigned flags)
{
	error e = { OK, "" };
	NEEDS_STREAM(s);
	return flags ? FAILED : told(host_stream_wait(in(s), (event *)of, &e), &e);
}
int cu_event_create(CUevent *made, unsigned flags)
{
	NEEDS_CONTEXT;
	return *made = (CUevent)host_event_new(), *made && flags == CU_EVENT_WITHOUT_TIME ? 0 : FAILED;
}
int cu_event_record(CUevent of, CUstream on)
{
	error e = { OK, "" };
	NEEDS_STREAM(on);
	return told(host_event_record((event *)of, in(on), &e), &e);
}
int cu_event_query(CUevent of) { return host_event_is_done((event *)of) ? 0 : CU_NOT_READY; }
int cu_event_destroy(CUevent of)
{
	NEEDS_CONTEXT;
	if (!host_event_is_done((event *)of)) return wrong("an event is destroyed before it came");
	return host_event_free((event *)of), 0;
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

/* Work of a stream, with all that it needs. */
typedef struct work {
	void *to;
	const void *from;
	size_t bytes;
	launch how;
	int kernel;
	product product;
	const void *a, *b, *bias, *residual;
	void *workspace, *recording;
	char parameters[];
} work;

static bool upload(void *data, error *e)
{
	const work *w = data;
	return d()->upload(d()->context, w->to, w->from ? w->from : w->parameters, w->bytes, e);
}
static bool copy(void *data, error *e)
{
	const work *w = data;
	return d()->copy(d()->context, w->to, w->from, w->bytes, e);
}
static bool clear(void *data, error *e)
{
	const work *w = data;
	return host_device_gpu()->clear(host_device_gpu(), w->to, w->bytes, e);
}
static bool replay(void *data, error *e)
{
	const work *w = data;
	return d()->replay(d()->context, w->recording, e);
}
static bool launch_kernel(void *data, error *e)
{
	const work *w = data;
	gpu *g = host_device_gpu();
	return g->launch(g, shim_kernel(w->kernel), &w->how, w->parameters, w->bytes, e);
}
static bool multiply(void *data, error *e)
{
	work *w = data;
	gpu *g = host_device_gpu();
	return g->product_run(g, &w->product, w->a, w->b, w->bias, w->residual, w->to, w->workspace, e);
}

/* In the stream's order, or to the recording that is under way. */
static int give(CUstream to, work_fn *run, const work *w, const void *more, size_t bytes)
{
	error e = { OK, "" };
	work *made = malloc(sizeof *made + bytes);
	if (made) *made = *w;
	if (made && bytes) memcpy(made->parameters, more, bytes);
	if (!made || !recording) return told(host_stream_give(in(to), run, made, &e), &e);
	bool fine = run(made, &e);
	free(made);
	return told(fine, &e);
}

/* Page-locked memory: open pages of their own, closed for good when they are freed. */
static struct locked {
	char *at;
	size_t bytes;
} locked[MOST_LOCKED];
static int locked_count;

static bool is_locked(const void *p, size_t bytes)
{
	for (int i = 0; i < locked_count; i++)
		if ((const char *)p >= locked[i].at && (const char *)p + bytes <= locked[i].at + locked[i].bytes) return true;
	return false;
}
int cu_host_alloc(void **to, size_t bytes, unsigned flags)
{
	NEEDS_CONTEXT;
	if (flags || locked_count == MOST_LOCKED) return FAILED;
	*to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*to == MAP_FAILED) return CU_OUT_OF_MEMORY;
	locked[locked_count++] = (struct locked){ *to, bytes };
	return 0;
}
int cu_host_free(void *p)
{
	NEEDS_CONTEXT;
	for (int i = 0; i < locked_count; i++) {
		if (locked[i].at != p) continue;
		mprotect(p, locked[i].bytes, PROT_NONE);
		locked[i] = locked[--locked_count];
		return 0;
	}
	return wrong("frees page-locked memory that it has not");
}

/* Page-locked memory is read when it is the upload's turn; of other memory all has been read when the driver returns.
 */
int cu_upload(CUdeviceptr to, const void *from, size_t bytes, CUstream s)
{
	NEEDS_STREAM(s);
	if (is_locked(from, bytes)) return give(s, upload, &(work){ .to = at(to), .from = from, .bytes = bytes }, NULL, 0);
	return give(s, upload, &(work){ .to = at(to), .bytes = bytes }, from, bytes);
}
int cu_download(void *to, CUdeviceptr from, size_t bytes, CUstream s)
{
	error e = { OK, "" };
	NEEDS_STREAM(s);
	return told(host_stream_finish(in(s), &e) && d()->download(d()->context, to, at(from), bytes, &e), &e);
}
int cu_copy(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream s)
{
	NEEDS_MAIN(s);
	return give(s, copy, &(work){ .to = at(to), .from = at(from), .bytes = bytes }, NULL, 0);
}
int cu_set(CUdeviceptr to, unsigned char value, size_t bytes, CUstream s)
{
	NEEDS_MAIN(s);
	if (value) return wrong("memory is set to something else than 0");
	return give(s, clear, &(work){ .to = at(to), .bytes = bytes }, NULL, 0);
}

/* ── recordings: a graph is the recording already ── */

int cu_capture_begin(CUstream s, int mode)
{
	error e = { OK, "" };
	NEEDS_MAIN(s);
	if (mode != CU_CAPTURE_THREAD_LOCAL) return wrong("a recording in another mode");
	recording = true;
	return told(d()->record_begin(d()->context, &e), &e);
}
int cu_capture_end(CUstream s, CUgraph *recorded)
{
	error e = { OK, "" };
	NEEDS_MAIN(s);
	recording = false;
	*recorded = d()->record_end(d()->context, &e);
	return told(*recorded, &e);
}
int cu_graph_instantiate(CUgraphExec *made, CUgraph recorded, unsigned long long flags)
{
	*made = (CUgraphExec)recorded;
	return (int)flags;
}
int cu_graph_launch(CUgraphExec made, CUstream s)
{
	NEEDS_MAIN(s);
	return give(s, replay, &(work){ .recording = made }, NULL, 0);
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
    unsigned block_y, unsigned block_z, unsigned shared, CUstream s, void **parameters, void **extra)
{
	int number = (int)(uintptr_t)function - 1;
	NEEDS_MAIN(s);
	if (grid_z != 1 || block_y != 1 || block_z != 1 || extra) return wrong("a launch of more axes than kernels have");
	work w = { .kernel = number, .how = { grid_x, grid_y, block_x, shared }, .bytes = shim_kernel_bytes(number) };
	return give(s, launch_kernel, &w, parameters[0], w.bytes);
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
    void *workspace, size_t workspace_bytes, CUstream s)
{
	const description *y = desc;
	uint64_t alignment = *(const uint64_t *)algorithm;
	float factor, share;
	work w = { .a = b, .b = a, .to = to, .workspace = workspace };
	product *p = &w.product;
	NEEDS_MAIN(s);
	memcpy(&factor, alpha, sizeof factor);
	memcpy(&share, beta, sizeof share);
	if (!handle || !product_of(y, layout_a, layout_b, layout_c, layout_d, p) || factor != 1 ||
	    (share != 0 && share != 1))
		return INVALID;
	if (workspace_bytes < 64 || !aligned(workspace, 256) || (p->bias && !y->bias)) return INVALID;
	if (!aligned(a, alignment) || !aligned(b, alignment) || !aligned(c, alignment) || !aligned(to, alignment))
		return INVALID;
	p->residual = share != 0;
	w.bias = p->bias ? y->bias : NULL;
	w.residual = p->residual ? c : NULL;
	return give(s, multiply, &w, NULL, 0);
}
