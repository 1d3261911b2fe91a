/* device.c - a GPU by NVIDIA's driver: memory, one stream on which all work is done in order, recordings as CUDA
 * graphs, and the kernels of kernels/ as nvcc left them in the library.
 *
 * Any thread may use a GPU; a lock keeps what two of them give apart, and a recording whole. */
#include "backend/cuda/device.h"
#include "backend/backend.h"
#include "backend/cuda/cuda.h"
#include "backend/cuda/dnn.h"
#include "backend/cuda/fetch.h"
#include "backend/cuda/images.h"
#include "backend/cuda/lt.h"
#include "backend/cuda/nccl.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MOST_GPUS = 16, MOST_FUNCTIONS = 256, SHARED_WITHOUT_ASKING = 48 << 10 };

typedef struct function {
	const char *name; /* the driver's */
	CUfunction function;
	size_t shared; /* the most that was asked for */
} function;

typedef struct cuda_gpu {
	gpu gpu; /* first: a call's device is a gpu */
	cuda_stream stream;
	pthread_mutex_t lock; /* recursive */
	function functions[MOST_FUNCTIONS];
	int function_count;
	device device;
	backend backend;
	kernel rows[MOST_CUDA_ROWS];
	char name[160], doubt[512];
	bool made;
	error error; /* why it could not be made */
} cuda_gpu;

static const driver_functions *driver(void) { return cuda_libraries_find()->driver; }

bool driver_ok(int code, error *e, const char *what)
{
	const char *text = NULL;
	if (!code) return true;
	driver()->error_string(code, &text);
	return fail(e, code == CU_OUT_OF_MEMORY ? NO_MEMORY : DEVICE_FAILED, "GPU: %s failed: %s (error %d)", what,
	    text ? text : "unknown", code);
}

/* The driver's calls speak of the calling thread's context. */
static void enter(cuda_gpu *g)
{
	pthread_mutex_lock(&g->lock);
	driver()->context_set(g->stream.context);
}

static bool leave(cuda_gpu *g, int code, error *e, const char *what)
{
	pthread_mutex_unlock(&g->lock);
	return driver_ok(code, e, what);
}

static void gpu_enter(gpu *g) { enter((cuda_gpu *)g); }
static void gpu_leave(gpu *g) { pthread_mutex_unlock(&((cuda_gpu *)g)->lock); }

static CUdeviceptr address(const void *p) { return (CUdeviceptr)(uintptr_t)p; }

/* ── memory ── */

static void *gpu_alloc(void *context, size_t bytes)
{
	cuda_gpu *g = context;
	CUdeviceptr p = 0;
	enter(g);
	int code = driver()->alloc(&p, bytes ? bytes : 256);
	leave(g, 0, NULL, "");
	return code ? NULL : (void *)(uintptr_t)p;
}

static void gpu_free(void *context, void *p)
{
	cuda_gpu *g = context;
	if (!p) return;
	enter(g);
	driver()->stream_sync(g->stream.stream);
	driver()->free(address(p));
	leave(g, 0, NULL, "");
}

static uint64_t gpu_available(void *context)
{
	cuda_gpu *g = context;
	size_t available = 0, whole = 0;
	enter(g);
	int code = driver()->memory_info(&available, &whole);
	leave(g, 0, NULL, "");
	return code ? UINT64_MAX : available;
}

/* From memory that is not page-locked the driver has read everything when it returns. */
static bool gpu_upload(void *context, void *to, const void *from, size_t bytes, error *e)
{
	cuda_gpu *g = context;
	if (!bytes) return true;
	enter(g);
	int code = driver()->upload(address(to), from, bytes, g->stream.stream);
	if (!code) code = driver()->stream_sync(g->stream.stream);
	return leave(g, code, e, "the copy to it");
}

static bool gpu_download(void *context, void *to, const void *from, size_t bytes, error *e)
{
	cuda_gpu *g = context;
	enter(g);
	int code = bytes ? driver()->download(to, address(from), bytes, g->stream.stream) : 0;
	if (!code) code = driver()->stream_sync(g->stream.stream);
	return leave(g, code, e, "the copy from it");
}

static bool gpu_copy(void *context, void *to, const void *from, size_t bytes, error *e)
{
	cuda_gpu *g = context;
	enter(g);
	return leave(g, bytes ? driver()->copy(address(to), address(from), bytes, g->stream.stream) : 0, e, "a copy");
}

static bool gpu_copy_within(gpu *base, void *to, const void *from, size_t bytes, error *e)
{
	return gpu_copy(base, to, from, bytes, e);
}

static bool gpu_clear(gpu *base, void *to, size_t bytes, error *e)
{
	cuda_gpu *g = (cuda_gpu *)base;
	enter(g);
	return leave(g, bytes ? driver()->set(address(to), 0, bytes, g->stream.stream) : 0, e, "clearing memory");
}

static bool gpu_sync(void *context, error *e)
{
	cuda_gpu *g = context;
	enter(g);
	return leave(g, driver()->stream_sync(g->stream.stream), e, "a kernel");
}

/* ── recordings ── */

/* The lock is kept until the recording ends: what another thread gives meanwhile would be recorded too. */
static bool gpu_record_begin(void *context, error *e)
{
	cuda_gpu *g = context;
	enter(g);
	int code = driver()->capture_begin(g->stream.stream, CU_CAPTURE_THREAD_LOCAL);
	return code ? leave(g, code, e, "beginning a recording") : true;
}

static void *gpu_record_end(void *context, error *e)
{
	cuda_gpu *g = context;
	CUgraph recorded = NULL;
	CUgraphExec made = NULL;
	int code = driver()->capture_end(g->stream.stream, &recorded);
	if (!code) code = driver()->graph_instantiate(&made, recorded, 0);
	if (recorded) driver()->graph_destroy(recorded);
	return leave(g, code, e, "ending a recording") ? made : NULL;
}

static bool gpu_replay(void *context, void *recording, error *e)
{
	cuda_gpu *g = context;
	enter(g);
	return leave(g, driver()->graph_launch(recording, g->stream.stream), e, "a recorded step");
}

static void gpu_record_free(void *context, void *recording)
{
	cuda_gpu *g = context;
	if (!recording) return;
	enter(g);
	driver()->stream_sync(g->stream.stream);
	driver()->graph_exec_destroy(recording);
	leave(g, 0, NULL, "");
}

/* ── kernels ── */

static function *find_function(cuda_gpu *g, const char *name)
{
	for (int i = 0; i < g->function_count; i++)
		if (!strcmp(g->functions[i].name, name)) return &g->functions[i];
	return NULL;
}

static bool gpu_launch(gpu *base, const char *name, const launch *how, const void *parameters, size_t bytes, error *e)
{
	cuda_gpu *g = (cuda_gpu *)base;
	void *list[] = { (void *)(uintptr_t)parameters };
	int code = 0;
	(void)bytes;
	enter(g);
	function *f = find_function(g, name);
	if (!f) {
		leave(g, 0, NULL, "");
		return fail(e, BAD_USAGE, "GPU: the library holds no kernel %s for this one", name);
	}
	if (how->shared > f->shared) {
		code = driver()->function_set(f->function, CU_DYNAMIC_SHARED, (int)how->shared);
		f->shared = how->shared;
	}
	if (!code)
		code = driver()->launch(f->function, how->grid_x, how->grid_y, 1, how->block, 1, 1, (unsigned)how->shared,
		    g->stream.stream, list, NULL);
	return leave(g, code, e, name);
}

/* ── opening ── */

static bool list_functions(cuda_gpu *g, CUmodule module, error *e)
{
	CUfunction list[MOST_FUNCTIONS];
	unsigned count = 0;
	int code = driver()->module_count(&count, module);
	if (!code && (int)count > MOST_FUNCTIONS - g->function_count) return fail(e, BAD_USAGE, "GPU: too many kernels");
	if (!code) code = driver()->module_functions(list, count, module);
	for (unsigned i = 0; i < count && !code; i++) {
		function *f = &g->functions[g->function_count++];
		*f = (function){ NULL, list[i], SHARED_WITHOUT_ASKING };
		code = driver()->function_name(&f->name, list[i]);
	}
	return driver_ok(code, e, "listing kernels");
}

static bool load_modules(cuda_gpu *g, error *e)
{
	if (!*cuda_images) return fail(e, BAD_USAGE, "GPU: this build holds no kernels (nvcc was not there; make CUDA=on)");
	for (const void *const *i = cuda_images; *i; i++) {
		CUmodule module;
		if (!driver_ok(driver()->module_load(&module, *i), e, "loading kernels")) return false;
		if (!list_functions(g, module, e)) return false;
	}
	return true;
}

static bool open_gpu(cuda_gpu *g, int ordinal, error *e)
{
	const cuda_libraries *l = cuda_libraries_find();
	int count = 0, which = 0;
	if (!l->driver) return fail(e, BAD_USAGE, "no GPU: %s", l->driver_problem);
	if (!driver_ok(driver()->device_count(&count), e, "counting GPUs")) return false;
	if (ordinal >= count) return fail(e, BAD_USAGE, "no GPU %d: there are %d", ordinal, count);
	pthread_mutexattr_t kind;
	pthread_mutexattr_init(&kind);
	pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&g->lock, &kind);
	pthread_mutexattr_destroy(&kind);
	driver()->device_get(&which, ordinal);
	if (!driver_ok(driver()->context_retain(&g->stream.context, which), e, "starting it")) return false;
	driver()->context_set(g->stream.context);
	if (!driver_ok(driver()->stream_create(&g->stream.stream, CU_STREAM_NON_BLOCKING), e, "making a stream"))
		return false;
	char name[128] = "";
	driver()->device_name(name, sizeof name, which);
	snprintf(g->name, sizeof g->name, "cuda:%d, %s", ordinal, name);
	g->gpu = (gpu){ .launch = gpu_launch,
		.clear = gpu_clear,
		.copy = gpu_copy_within,
		.enter = gpu_enter,
		.leave = gpu_leave,
		.stream = &g->stream };
	g->device = (device){ .name = g->name,
		.context = g,
		.alloc = gpu_alloc,
		.free = gpu_free,
		.available = gpu_available,
		.upload = gpu_upload,
		.download = gpu_download,
		.copy = gpu_copy,
		.sync = gpu_sync,
		.record_begin = gpu_record_begin,
		.record_end = gpu_record_end,
		.replay = gpu_replay,
		.record_free = gpu_record_free,
		.peers = &nccl_peers,
		.fetch = &cuda_fetch };
	if (cuda_doubt(l, g->name, g->doubt, sizeof g->doubt)) g->device.doubt = g->doubt;
	return load_modules(g, e) && lt_attach(&g->gpu, &g->stream, e) && dnn_attach(&g->gpu, &g->stream, e);
}

const backend *backend_cuda(int ordinal, error *e)
{
	static cuda_gpu gpus[MOST_GPUS];
	static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
	if (ordinal < 0 || ordinal >= MOST_GPUS) {
		fail(e, BAD_USAGE, "no GPU %d", ordinal);
		return NULL;
	}
	cuda_gpu *g = &gpus[ordinal];
	pthread_mutex_lock(&opening);
	if (!g->made && !failed(&g->error) && open_gpu(g, ordinal, &g->error)) {
		g->backend = (backend){ .name = "cuda",
			.rows = g->rows,
			.count = cuda_rows(&g->gpu, g->rows),
			.fallback = backend_reference(),
			.fuses_casts = true,
			.device = &g->device };
		g->made = true;
	}
	pthread_mutex_unlock(&opening);
	if (g->made) return &g->backend;
	fail(e, g->error.status, "%s", g->error.text);
	return NULL;
}

bool cuda_doubt(const cuda_libraries *l, const char *name, char *text, size_t room)
{
	if (!l->lt)
		snprintf(
		    text, room, "%s: %s: matrix products run by the reference on the CPU, very slowly", name, l->lt_problem);
	else if (!l->dnn)
		snprintf(text, room, "%s: %s: convolutions and attention are slower without", name, l->dnn_problem);
	return !l->lt || !l->dnn;
}

int cuda_device_count(void)
{
	int count = 0;
	if (driver()) driver()->device_count(&count);
	return count;
}

void cuda_describe(char *text, size_t room)
{
	const cuda_libraries *l = cuda_libraries_find();
	size_t n = 0;
#define LINE(...) n += n < room ? (size_t)snprintf(text + n, room - n, __VA_ARGS__) : 0
	*text = 0;
	if (!l->driver) {
		LINE("cuda: %s\n", l->driver_problem);
		return;
	}
	LINE("cuda: driver for CUDA %d.%d", l->driver_version / 1000, l->driver_version % 1000 / 10);
	if (l->lt) LINE(", cuBLASLt %zu.%zu.%zu", l->lt_version / 10000, l->lt_version / 100 % 100, l->lt_version % 100);
	if (l->dnn) LINE(", cuDNN %zu.%zu.%zu", l->dnn_version / 10000, l->dnn_version / 100 % 100, l->dnn_version % 100);
	LINE("%s\n", *cuda_images ? "" : "; this build holds no kernels");
	if (*l->lt_problem) LINE("cuda: %s\n", l->lt_problem);
	if (*l->dnn_problem) LINE("cuda: %s\n", l->dnn_problem);
	for (int i = 0; i < cuda_device_count(); i++) {
		char name[128] = "";
		int which = 0, major = 0, minor = 0;
		size_t bytes = 0;
		driver()->device_get(&which, i);
		driver()->device_name(name, sizeof name, which);
		driver()->device_memory(&bytes, which);
		driver()->device_attribute(&major, CU_CAPABILITY_MAJOR, which);
		driver()->device_attribute(&minor, CU_CAPABILITY_MINOR, which);
		LINE("cuda:%d: %s, %zu MiB, compute capability %d.%d\n", i, name, bytes >> 20, major, minor);
	}
#undef LINE
}
