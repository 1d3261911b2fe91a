/* host_nccl.c - a libnccl.so.2 for machines without a GPU: processes of one machine sum over memory that they share.
 *
 * Strict where NCCL is: a stream of the device's, two processes never on one GPU, and all of them the same calls in the
 * same order. And stricter: arrays lie in living buffers, and nothing is summed before all that the main stream has
 * been given is waited for. SUMI_HOST_NCCL_VERSION is the version that it says it is. */
#include "backend/cuda/libraries.h"
#include "host_device.h"
#include "host_streams.h"
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SYSTEM_ERROR = 2, INVALID_USAGE = 5, MOST = 8, PIECE = 1 << 14, MOST_IN_A_GROUP = 4096 };

#define DECLARE(name, symbol, parameters) \
	int nccl_##name parameters __asm__(symbol) __attribute__((visibility("default")));
NCCL_FUNCTIONS(DECLARE)
#undef DECLARE
int ncclGetVersion(int *version) __attribute__((visibility("default")));
const char *ncclGetErrorString(int result) __attribute__((visibility("default")));

typedef struct common { /* to the processes */
	atomic_int arrived, round;
	int gpu[MOST];
	size_t count[MOST];
	float piece[MOST][PIECE];
} common;

typedef struct communicator {
	common *common;
	int rank, size;
} communicator;

typedef struct part { /* of a group */
	float *array;
	size_t count;
	int holder; /* −1: the sum of all */
} part;

typedef struct group {
	communicator *of;
	int count;
	part parts[];
} group;

static part parts[MOST_IN_A_GROUP];
static int part_count, depth;
static stream *part_stream;
static communicator *part_of;

int ncclGetVersion(int *version)
{
	const char *given = getenv("SUMI_HOST_NCCL_VERSION");
	return *version = given ? atoi(given) : 22809, 0;
}
const char *ncclGetErrorString(int result)
{
	return result == INVALID_USAGE ? "invalid usage" : "unhandled system error";
}

static void meet(communicator *c)
{
	common *m = c->common;
	int round = atomic_load(&m->round);
	if (atomic_fetch_add(&m->arrived, 1) + 1 == c->size) {
		atomic_store(&m->arrived, 0);
		atomic_fetch_add(&m->round, 1);
	} else
		while (atomic_load(&m->round) == round) sched_yield();
}

int nccl_get_id(nccl_id *id)
{
	static int made;
	snprintf(id->bytes, sizeof id->bytes, "/sumi-host-nccl-%d-%d", (int)getpid(), made++);
	int file = shm_open(id->bytes, O_CREAT | O_EXCL | O_RDWR, 0600);
	bool fine = file >= 0 && !ftruncate(file, sizeof(common));
	if (file >= 0) close(file);
	return fine ? 0 : SYSTEM_ERROR;
}

int nccl_join(void **comm, int size, nccl_id id, int rank)
{
	communicator *c = calloc(1, sizeof *c);
	int file = shm_open(id.bytes, O_RDWR, 0600);
	bool fine = c && file >= 0 && size <= MOST;
	void *at = fine ? mmap(NULL, sizeof(common), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
	if (file >= 0) close(file);
	if (at == MAP_FAILED) return free(c), SYSTEM_ERROR;
	*c = (communicator){ at, rank, size };
	c->common->gpu[rank] = host_device_ordinal();
	meet(c);
	if (!rank) shm_unlink(id.bytes);
	for (int i = 0; i < size; i++)
		for (int k = 0; k < i; k++) fine = fine && c->common->gpu[i] != c->common->gpu[k];
	meet(c);
	if (fine) return *comm = c, 0;
	munmap(at, sizeof(common));
	free(c);
	return INVALID_USAGE;
}

int nccl_leave(void *comm)
{
	communicator *c = comm;
	munmap(c->common, sizeof(common));
	free(c);
	return 0;
}
int nccl_abort(void *comm) { return nccl_leave(comm); }

/* The processes' values in their order, so that all have the same sum. */
static float sum_at(const communicator *c, size_t i)
{
	float sum = c->common->piece[0][i];
	for (int k = 1; k < c->size; k++) sum += c->common->piece[k][i];
	return sum;
}

static bool exchange(communicator *c, const part *p, error *e)
{
	common *m = c->common;
	if (!host_gpu_owns(p->array, p->count * sizeof(float)))
		return host_gpu_fault("sums memory that is not its own"), fail(e, BAD_USAGE, "NCCL");
	m->count[c->rank] = p->count;
	meet(c);
	for (int k = 0; k < c->size; k++)
		if (m->count[k] != p->count) return host_gpu_fault("sums of other sizes"), fail(e, BAD_USAGE, "NCCL");
	for (size_t from = 0; from < p->count; from += PIECE) {
		size_t n = p->count - from < PIECE ? p->count - from : PIECE;
		memcpy(m->piece[c->rank], p->array + from, n * sizeof(float));
		meet(c);
		for (size_t i = 0; i < n; i++) p->array[from + i] = p->holder < 0 ? sum_at(c, i) : m->piece[p->holder][i];
		meet(c);
	}
	return true;
}

static bool run_group(void *data, error *e)
{
	const group *g = data;
	for (int i = 0; i < g->count; i++)
		if (!exchange(g->of, &g->parts[i], e)) return false;
	return true;
}

int nccl_group_start(void) { return depth++, 0; }

int nccl_group_end(void)
{
	error e = { 0 };
	int n = part_count;
	if (!depth || --depth || !n) return depth < 0 ? INVALID_USAGE : 0;
	part_count = 0;
	group *g = malloc(sizeof *g + (size_t)n * sizeof *parts);
	if (!g) return SYSTEM_ERROR;
	*g = (group){ part_of, n };
	memcpy(g->parts, parts, (size_t)n * sizeof *parts);
	return host_stream_give(part_stream, run_group, g, &e) ? 0 : SYSTEM_ERROR;
}

static int add_part(void *array, size_t count, int holder, communicator *c, CUstream on)
{
	if (!depth || part_count == MOST_IN_A_GROUP || !host_stream_is(on)) return INVALID_USAGE;
	if (part_count && (part_stream != (stream *)on || part_of != c)) return INVALID_USAGE;
	if ((stream *)on != host_stream_main() && !host_stream_knows_main((stream *)on))
		return host_gpu_fault("sums what may not be written yet"), INVALID_USAGE;
	part_stream = (stream *)on;
	part_of = c;
	parts[part_count++] = (part){ array, count, holder };
	return 0;
}

int nccl_sum(const void *from, void *to, size_t count, int type, int operation, void *comm, CUstream on)
{
	if (from != to || type != NCCL_FLOAT || operation != NCCL_SUM) return INVALID_USAGE;
	return add_part(to, count, -1, comm, on);
}
int nccl_share(const void *from, void *to, size_t count, int type, int holder, void *comm, CUstream on)
{
	const communicator *c = comm;
	if (from != to || type != NCCL_FLOAT || holder < 0 || holder >= c->size) return INVALID_USAGE;
	return add_part(to, count, holder, comm, on);
}
