/* fetch.c - weights that come to the GPU while it computes: uploads from page-locked memory on a stream of their own,
 * and events that keep it and the stream of all other work out of each other's way. */
#include "backend/cuda/fetch.h"
#include "backend/cuda/device.h"
#include <stdlib.h>

enum { SLOTS = 2 };

typedef struct fetcher {
	gpu *gpu;
	CUstream stream;
	CUevent arrived[SLOTS], released[SLOTS];
	bool used[SLOTS]; /* released has been recorded */
} fetcher;

static const driver_functions *driver(void) { return cuda_libraries_find()->driver; }

static void *alloc(void *context, size_t bytes)
{
	gpu *g = context;
	void *p = NULL;
	g->enter(g);
	int code = driver()->host_alloc(&p, bytes, 0);
	g->leave(g);
	return code ? NULL : p;
}

static void free_host(void *context, void *p)
{
	gpu *g = context;
	g->enter(g);
	driver()->host_free(p);
	g->leave(g);
}

/* All that was given is done before anything is freed. */
static void close_fetcher(void *way)
{
	fetcher *f = way;
	if (!f) return;
	f->gpu->enter(f->gpu);
	if (f->stream) driver()->stream_sync(f->stream);
	driver()->stream_sync(f->gpu->stream->stream);
	for (int i = 0; i < SLOTS; i++) {
		if (f->arrived[i]) driver()->event_destroy(f->arrived[i]);
		if (f->released[i]) driver()->event_destroy(f->released[i]);
	}
	if (f->stream) driver()->stream_destroy(f->stream);
	f->gpu->leave(f->gpu);
	free(f);
}

static void *open_fetcher(void *context, error *e)
{
	gpu *g = context;
	fetcher *f = calloc(1, sizeof *f);
	if (!f) return fail(e, NO_MEMORY, "out of memory"), NULL;
	f->gpu = g;
	g->enter(g);
	int code = driver()->stream_create(&f->stream, CU_STREAM_NON_BLOCKING);
	for (int i = 0; i < SLOTS && !code; i++) {
		code = driver()->event_create(&f->arrived[i], CU_EVENT_WITHOUT_TIME);
		if (!code) code = driver()->event_create(&f->released[i], CU_EVENT_WITHOUT_TIME);
	}
	g->leave(g);
	if (driver_ok(code, e, "making a stream")) return f;
	close_fetcher(f);
	return NULL;
}

static bool send(void *way, int slot, void *to, const void *from, size_t bytes, error *e)
{
	fetcher *f = way;
	f->gpu->enter(f->gpu);
	int code = f->used[slot] ? driver()->stream_wait(f->stream, f->released[slot], 0) : 0;
	if (!code) code = driver()->upload((CUdeviceptr)(uintptr_t)to, from, bytes, f->stream);
	if (!code) code = driver()->event_record(f->arrived[slot], f->stream);
	f->gpu->leave(f->gpu);
	return driver_ok(code, e, "bringing weights");
}

static bool await(void *way, int slot, error *e)
{
	fetcher *f = way;
	f->gpu->enter(f->gpu);
	int code = driver()->stream_wait(f->gpu->stream->stream, f->arrived[slot], 0);
	f->gpu->leave(f->gpu);
	return driver_ok(code, e, "waiting for weights");
}

static bool release(void *way, int slot, error *e)
{
	fetcher *f = way;
	f->gpu->enter(f->gpu);
	int code = driver()->event_record(f->released[slot], f->gpu->stream->stream);
	f->gpu->leave(f->gpu);
	f->used[slot] = !code;
	return driver_ok(code, e, "an event");
}

const fetch_functions cuda_fetch = { alloc, free_host, open_fetcher, close_fetcher, send, await, release };
