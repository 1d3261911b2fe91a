/* nccl.c - sums over the GPUs of several processes, by NCCL. They run on a stream of their own, which waits by events
 * for the stream of all other work, and that one for it. */
#include "backend/cuda/nccl.h"
#include "backend/cuda/device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peers {
	gpu *gpu;
	void *comm;
	CUstream stream;
	CUevent written; /* by the GPU's own stream, what goes next */
	CUevent *events; /* behind each call since the last settle(), and more that are kept for later */
	int calls, event_count;
};

static const driver_functions *driver(void) { return cuda_libraries_find()->driver; }
static const nccl_functions *nccl(void) { return cuda_nccl_find()->nccl; }

static bool nccl_ok(int code, error *e, const char *what)
{
	return !code || fail(e, DEVICE_FAILED, "NCCL: %s failed: %s (error %d)", what, nccl()->error_string(code), code);
}

static bool describe(char *text, size_t room)
{
	const cuda_libraries *l = cuda_nccl_find();
	int v = l->nccl_version;
	if (l->nccl)
		snprintf(text, room, "NCCL %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
	else
		snprintf(text, room, "%s", l->nccl_problem);
	return l->nccl != NULL;
}

static bool make_id(void *context, uint8_t id[PEERS_ID], error *e)
{
	gpu *g = context;
	nccl_id made;
	_Static_assert(sizeof made == PEERS_ID, "an id has its size");
	g->enter(g);
	int code = nccl()->get_id(&made);
	g->leave(g);
	memcpy(id, &made, sizeof made);
	return nccl_ok(code, e, "an identity");
}

static void leave(peers *p, bool together)
{
	if (!p) return;
	p->gpu->enter(p->gpu);
	if (p->stream && together) driver()->stream_sync(p->stream);
	if (p->comm) (together ? nccl()->leave : nccl()->abort)(p->comm);
	for (int i = 0; i < p->event_count; i++) driver()->event_destroy(p->events[i]);
	if (p->written) driver()->event_destroy(p->written);
	if (p->stream) driver()->stream_destroy(p->stream);
	p->gpu->leave(p->gpu);
	free(p->events);
	free(p);
}

static peers *join(void *context, const uint8_t id[PEERS_ID], int rank, int size, error *e)
{
	gpu *g = context;
	peers *p = calloc(1, sizeof *p);
	nccl_id by;
	if (!p) return fail(e, NO_MEMORY, "out of memory"), NULL;
	memcpy(&by, id, sizeof by);
	p->gpu = g;
	g->enter(g);
	bool fine = driver_ok(driver()->stream_create(&p->stream, CU_STREAM_NON_BLOCKING), e, "making a stream") &&
	            driver_ok(driver()->event_create(&p->written, CU_EVENT_WITHOUT_TIME), e, "making an event") &&
	            nccl_ok(nccl()->join(&p->comm, size, by, rank), e, "joining the GPUs");
	g->leave(g);
	if (fine) return p;
	leave(p, false);
	return NULL;
}

/* The event behind the next call. */
static bool add_event(peers *p, error *e)
{
	if (p->calls == p->event_count) {
		CUevent *more = realloc(p->events, ((size_t)p->event_count + 1) * sizeof *more);
		if (!more) return fail(e, NO_MEMORY, "out of memory");
		p->events = more;
		if (!driver_ok(driver()->event_create(&more[p->event_count], CU_EVENT_WITHOUT_TIME), e, "making an event"))
			return false;
		p->event_count++;
	}
	p->calls++;
	return true;
}

static bool begin(peers *p, error *e)
{
	int code = driver()->event_record(p->written, p->gpu->stream->stream);
	if (!code) code = driver()->stream_wait(p->stream, p->written, 0);
	return driver_ok(code, e, "an event") && add_event(p, e) && nccl_ok(nccl()->group_start(), e, "a group");
}

static bool end(peers *p, int code, error *e)
{
	int ended = nccl()->group_end();
	return nccl_ok(code ? code : ended, e, "a sum over the GPUs") &&
	       driver_ok(driver()->event_record(p->events[p->calls - 1], p->stream), e, "an event");
}

static bool sum(peers *p, int count, float *const *arrays, const size_t *sizes, error *e)
{
	int code = 0;
	p->gpu->enter(p->gpu);
	bool fine = begin(p, e);
	for (int i = 0; fine && i < count && !code; i++)
		code = nccl()->sum(arrays[i], arrays[i], sizes[i], NCCL_FLOAT, NCCL_SUM, p->comm, p->stream);
	fine = fine && end(p, code, e);
	p->gpu->leave(p->gpu);
	return fine;
}

static bool share(peers *p, int count, float *const *arrays, const size_t *sizes, const int *holder, error *e)
{
	int code = 0;
	p->gpu->enter(p->gpu);
	bool fine = begin(p, e);
	for (int i = 0; fine && i < count && !code; i++)
		code = nccl()->share(arrays[i], arrays[i], sizes[i], NCCL_FLOAT, holder[i], p->comm, p->stream);
	fine = fine && end(p, code, e);
	p->gpu->leave(p->gpu);
	return fine;
}

static int done(const peers *p)
{
	int n = 0;
	p->gpu->enter(p->gpu);
	while (n < p->calls && !driver()->event_query(p->events[n])) n++;
	p->gpu->leave(p->gpu);
	return n;
}

static bool settle(peers *p, error *e)
{
	int code = 0;
	p->gpu->enter(p->gpu);
	if (p->calls) code = driver()->stream_wait(p->gpu->stream->stream, p->events[p->calls - 1], 0);
	p->gpu->leave(p->gpu);
	p->calls = 0;
	return driver_ok(code, e, "an event");
}

const peer_functions nccl_peers = { describe, make_id, join, leave, sum, share, done, settle };
