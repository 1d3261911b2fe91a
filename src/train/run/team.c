/* team.c - data parallel training: sums over the processes, in buckets, and weights and states that move. */
#include "train/run/team.h"
#include "backend/peers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef SUMI_MPI
#include <mpi.h>
#endif

enum { BUCKET = 1 << 20, MOST_AT_ONCE = 1 << 30 };

typedef struct bucket { /* arrays that travel together */
	float *sum;         /* where they are gathered; NULL: they travel from where they lie */
	size_t count;
	int first, arrays, missing; /* in `order`; of this round */
} bucket;

typedef struct passenger { /* an array in its bucket */
	float *array;          /* in this round; NULL: not given yet */
	size_t n, at;
	int bucket; /* −1: not planned */
} passenger;

struct team {
	int rank, size, rank_here, size_here;
	bool initialized;     /* MPI, by us */
	const device *device; /* in whose memory arrays lie; NULL: the host's */
	peers *peers;         /* over which they travel; NULL: over the host, by MPI */
	float *zeros; /* on the device, in the place of arrays that are not given: their sums come here, and are not read */
	size_t zero_count; /* elements that it has room for */
	passenger *passengers;
	int *order;
	bucket *buckets;
	int passenger_count, bucket_count, sent; /* buckets leave in their order */
	team_counts counts;
#ifdef SUMI_MPI
	MPI_Request *requests; /* [bucket_count] */
#endif
};

int team_rank(const team *t) { return t->rank; }
int team_size(const team *t) { return t->size; }
int team_rank_here(const team *t) { return t->rank_here; }
int team_size_here(const team *t) { return t->size_here; }
bool team_is_direct(const team *t) { return t->peers != NULL; }
team_counts team_counted(const team *t) { return t->counts; }

team *team_join(error *e)
{
	team *t = calloc(1, sizeof *t);
	if (!t) return fail(e, NO_MEMORY, "no memory for the team"), NULL;
	t->size = t->size_here = 1;
#ifdef SUMI_MPI
	int ready = 0, over = 0;
	MPI_Initialized(&ready);
	MPI_Finalized(&over);
	bool started = getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMI_SIZE") || getenv("PMIX_RANK");
	if (over || (!ready && started && MPI_Init(NULL, NULL) != MPI_SUCCESS)) {
		free(t);
		return fail(e, BAD_USAGE, over ? "a process trains once under mpirun" : "MPI cannot be started"), NULL;
	}
	t->initialized = !ready && started;
	if (ready || started) {
		MPI_Comm_rank(MPI_COMM_WORLD, &t->rank);
		MPI_Comm_size(MPI_COMM_WORLD, &t->size);
		MPI_Comm here;
		if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here) == MPI_SUCCESS) {
			MPI_Comm_rank(here, &t->rank_here);
			MPI_Comm_size(here, &t->size_here);
			MPI_Comm_free(&here);
		}
	}
#endif
	return t;
}

static void forget_plan(team *t)
{
	for (int i = 0; i < t->bucket_count; i++) free(t->buckets[i].sum);
	free(t->buckets);
	free(t->passengers);
	free(t->order);
	device_free(t->device, t->zeros);
	t->buckets = NULL;
	t->passengers = NULL;
	t->order = NULL;
	t->zeros = NULL;
	t->zero_count = 0;
	t->bucket_count = t->passenger_count = t->sent = 0;
#ifdef SUMI_MPI
	free(t->requests);
	t->requests = NULL;
#endif
}

void team_leave(team *t, bool together)
{
	if (!t) return;
	if (t->peers) t->device->peers->leave(t->peers, together);
	forget_plan(t);
#ifdef SUMI_MPI
	if (t->initialized && together) MPI_Finalize();
#endif
	(void)together;
	free(t);
}

#ifdef SUMI_MPI
static bool check(int result, error *e)
{
	return result == MPI_SUCCESS || fail(e, BAD_USAGE, "MPI: the processes lost each other");
}

/* ── devices ── */
/* Whether it is so in every process. */
static bool all_of(bool here, bool *all, error *e)
{
	int least = here;
	bool fine = check(MPI_Allreduce(MPI_IN_PLACE, &least, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD), e);
	return *all = least, fine;
}

/* Processes whose devices can find each other do; what keeps one of them from it does not stop the training. */
static bool join_devices(team *t, bool can, error *own, bool *all, error *e)
{
	uint8_t id[PEERS_ID] = { 0 };
	const peer_functions *f = can ? t->device->peers : NULL;
	if (!all_of(can, all, e) || !*all) return !failed(e);
	bool made = t->rank || f->make_id(t->device->context, id, own);
	if (!all_of(made, all, e) || !*all) return !failed(e);
	if (!check(MPI_Bcast(id, PEERS_ID, MPI_BYTE, 0, MPI_COMM_WORLD), e)) return false;
	t->peers = f->join(t->device->context, id, t->rank, t->size, own);
	if (!all_of(t->peers != NULL, all, e)) return false;
	if (!*all && t->peers) f->leave(t->peers, false);
	if (!*all) t->peers = NULL;
	return true;
}

bool team_use_device(team *t, const device *d, char *how, size_t room, error *e)
{
	char by[300] = "";
	error own = { 0 };
	bool all = false;
	*how = 0;
	t->device = d;
	if (t->size == 1) return true;
	bool can = d && d->peers && d->peers->describe(by, sizeof by);
	if (!join_devices(t, can, &own, &all, e)) return false;
	if (all)
		snprintf(how, room, "gradients are summed from GPU to GPU by %s", by);
	else if (d)
		snprintf(how, room, "warning: gradients are summed over the host: %s",
		    failed(&own)  ? own.text
		    : can || !*by ? "another process has no GPU that can be joined"
		                  : by);
	return true;
}

/* ── sums in buckets ── */
static bool make_bucket_room(team *t, error *e)
{
	for (int i = 0; i < t->bucket_count; i++) {
		bucket *b = &t->buckets[i];
		b->missing = b->arrays;
		if (!t->peers && !(b->sum = malloc(b->count * sizeof *b->sum)))
			return fail(e, NO_MEMORY, "no memory for a bucket of gradients");
	}
	return true;
}

/* Sums of unlike arrays would be garbage without a word: so a sum of the plan's numbers is compared first. */
static bool same_plan(team *t, int count, const size_t *sizes, const int *order, int planned, error *e)
{
	uint64_t hash = (uint64_t)count, least, most;
	for (int k = 0; k < planned; k++) hash = (hash ^ (sizes[order[k]] << 20) ^ (uint64_t)order[k]) * 0x100000001b3u;
	if (!check(MPI_Allreduce(&hash, &least, 1, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD), e) ||
	    !check(MPI_Allreduce(&hash, &most, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD), e))
		return false;
	return least == most || fail(e, BAD_USAGE, "process %d trains another model than the others", t->rank);
}

bool team_plan(team *t, int count, const size_t *sizes, const int *order, int planned, error *e)
{
	forget_plan(t);
	if (t->size == 1) return true;
	t->passengers = calloc((size_t)count + 1, sizeof *t->passengers);
	t->buckets = calloc((size_t)planned + 1, sizeof *t->buckets);
	t->order = calloc((size_t)planned + 1, sizeof *t->order);
	t->requests = calloc((size_t)planned + 1, sizeof(MPI_Request));
	if (!t->passengers || !t->buckets || !t->order || !t->requests) return fail(e, NO_MEMORY, "no memory for the team");
	t->passenger_count = count;
	for (int i = 0; i < count; i++) t->passengers[i].bucket = -1;
	for (int k = 0; k < planned; k++) {
		int i = order[k];
		if (sizes[i] > MOST_AT_ONCE) return fail(e, BAD_USAGE, "a gradient is too large to be summed at once");
		bucket *last = t->bucket_count ? &t->buckets[t->bucket_count - 1] : NULL;
		if (!last || last->count + sizes[i] > BUCKET) {
			last = &t->buckets[t->bucket_count++];
			last->first = k;
		}
		t->order[k] = i;
		t->passengers[i] = (passenger){ .n = sizes[i], .at = last->count, .bucket = t->bucket_count - 1 };
		last->count += sizes[i];
		last->arrays++;
	}
	return same_plan(t, count, sizes, order, planned, e) && make_bucket_room(t, e);
}

/* The arrays of a bucket from where they lie. */
static bool send_arrays(team *t, const bucket *b, error *e)
{
	float **arrays = calloc((size_t)b->arrays, sizeof *arrays);
	size_t *sizes = calloc((size_t)b->arrays, sizeof *sizes);
	bool fine = (arrays && sizes) || fail(e, NO_MEMORY, "no memory for the team");
	for (int k = 0; fine && k < b->arrays; k++) {
		const passenger *p = &t->passengers[t->order[b->first + k]];
		arrays[k] = p->array;
		sizes[k] = p->n;
	}
	fine = fine && t->device->peers->sum(t->peers, b->arrays, arrays, sizes, e);
	free(arrays);
	free(sizes);
	return fine;
}

static bool send_next(team *t, error *e)
{
	int i = t->sent++;
	const bucket *b = &t->buckets[i];
	if (t->peers) return send_arrays(t, b, e);
	return check(
	    MPI_Iallreduce(MPI_IN_PLACE, b->sum, (int)b->count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &t->requests[i]), e);
}

static float *room_of(const team *t, const passenger *p) { return t->buckets[p->bucket].sum + p->at; }

bool team_sum_add(team *t, int i, float *array, error *e)
{
	passenger *p = &t->passengers[i];
	if (p->bucket < 0) return fail(e, BAD_USAGE, "a gradient came that was not planned");
	if (!t->peers && !device_read(t->device, room_of(t, p), array, p->n * sizeof(float), e)) return false;
	p->array = array;
	t->buckets[p->bucket].missing--;
	while (t->sent < t->bucket_count && !t->buckets[t->sent].missing)
		if (!send_next(t, e)) return false;
	int done; /* lets MPI work on what is under way */
	return t->peers || check(MPI_Testall(t->sent, t->requests, &done, MPI_STATUSES_IGNORE), e);
}

static bool is_missing(const team *t, const passenger *p) { return p->bucket >= t->sent && !p->array; }

/* Each such array has zeros of its own, for the sum is written there. */
static bool place_zeros(team *t, size_t count, error *e)
{
	if (count > t->zero_count) {
		device_free(t->device, t->zeros);
		t->zeros = device_alloc(t->device, count * sizeof *t->zeros);
		t->zero_count = t->zeros ? count : 0;
	}
	float *zeros = calloc(count, sizeof *zeros), *next = t->zeros;
	bool fine = (zeros && t->zeros) || fail(e, NO_MEMORY, "no memory for the team");
	fine = fine && device_write(t->device, t->zeros, zeros, count * sizeof *zeros, e);
	free(zeros);
	for (int i = 0; fine && i < t->passenger_count; i++) {
		passenger *p = &t->passengers[i];
		if (!is_missing(t, p)) continue;
		p->array = next;
		next += p->n;
	}
	return fine;
}

/* Zeros for the arrays that were not given; their buckets have not left yet. */
static bool zero_missing(team *t, error *e)
{
	size_t count = 0;
	for (int i = 0; i < t->passenger_count; i++) {
		const passenger *p = &t->passengers[i];
		if (!is_missing(t, p)) continue;
		count += p->n;
		if (!t->peers) memset(room_of(t, p), 0, p->n * sizeof(float));
	}
	return !count || !t->peers || place_zeros(t, count, e);
}

static bool count_early(team *t, error *e)
{
	t->counts.buckets += (uint64_t)t->bucket_count;
	if (t->peers) t->counts.early += (uint64_t)t->device->peers->done(t->peers);
	for (int i = 0, done; !t->peers && i < t->sent; i++) {
		if (!check(MPI_Test(&t->requests[i], &done, MPI_STATUS_IGNORE), e)) return false;
		t->counts.early += done != 0;
	}
	return true;
}

/* What was gathered goes back to where it came from. */
static bool wait_for_sums(team *t, error *e)
{
	if (t->peers) return t->device->peers->settle(t->peers, e);
	bool fine = check(MPI_Waitall(t->sent, t->requests, MPI_STATUSES_IGNORE), e);
	for (int i = 0; fine && i < t->passenger_count; i++) {
		const passenger *p = &t->passengers[i];
		if (p->array) fine = device_write(t->device, p->array, room_of(t, p), p->n * sizeof(float), e);
	}
	return fine;
}

bool team_sum_finish(team *t, error *e)
{
	if (t->size == 1) return true;
	if (!count_early(t, e) || !zero_missing(t, e)) return false;
	while (t->sent < t->bucket_count)
		if (!send_next(t, e)) return false;
	if (!wait_for_sums(t, e)) return false;
	for (int i = 0; i < t->passenger_count; i++) t->passengers[i].array = NULL;
	for (int i = 0; i < t->bucket_count; i++) t->buckets[i].missing = t->buckets[i].arrays;
	t->sent = 0;
	return true;
}

/* ── the rest ── */
bool team_sum(team *t, double *x, int n, error *e)
{
	return t->size == 1 || check(MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD), e);
}

bool team_wait(team *t, error *e) { return t->size == 1 || check(MPI_Barrier(MPI_COMM_WORLD), e); }

bool team_share(team *t, int count, float *const *arrays, const size_t *sizes, const int *holder, error *e)
{
	if (t->size == 1) return true;
	if (t->peers)
		return t->device->peers->share(t->peers, count, arrays, sizes, holder, e) &&
		       t->device->peers->settle(t->peers, e);
	MPI_Request *requests = calloc((size_t)count + 1, sizeof(MPI_Request));
	bool fine = requests || fail(e, NO_MEMORY, "no memory for the team");
	int n = 0;
	for (; fine && n < count; n++)
		fine = check(MPI_Ibcast(arrays[n], (int)sizes[n], MPI_FLOAT, holder[n], MPI_COMM_WORLD, &requests[n]), e);
	fine = fine && check(MPI_Waitall(n, requests, MPI_STATUSES_IGNORE), e);
	free(requests);
	return fine;
}

bool team_bring(team *t, int from, void *data, size_t bytes, error *e)
{
	if (!from || (t->rank && t->rank != from)) return true;
	for (size_t at = 0; at < bytes;) {
		int n = bytes - at < MOST_AT_ONCE ? (int)(bytes - at) : MOST_AT_ONCE;
		char *piece = (char *)data + at;
		if (!check(t->rank ? MPI_Send(piece, n, MPI_BYTE, 0, 0, MPI_COMM_WORLD)
		                   : MPI_Recv(piece, n, MPI_BYTE, from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
		        e))
			return false;
		at += (size_t)n;
	}
	return true;
}
#else
bool team_plan(team *t, int count, const size_t *sizes, const int *order, int planned, error *e)
{
	return (void)t, (void)count, (void)sizes, (void)order, (void)planned, (void)e, true;
}
bool team_use_device(team *t, const device *d, char *how, size_t room, error *e)
{
	t->device = d;
	return (void)room, (void)e, *how = 0, true;
}
bool team_sum_add(team *t, int i, float *array, error *e) { return (void)t, (void)i, (void)array, (void)e, true; }
bool team_sum_finish(team *t, error *e) { return (void)t, (void)e, true; }
bool team_sum(team *t, double *x, int n, error *e) { return (void)t, (void)x, (void)n, (void)e, true; }
bool team_wait(team *t, error *e) { return (void)t, (void)e, true; }
bool team_share(team *t, int count, float *const *arrays, const size_t *sizes, const int *holder, error *e)
{
	return (void)t, (void)count, (void)arrays, (void)sizes, (void)holder, (void)e, true;
}
bool team_bring(team *t, int from, void *data, size_t bytes, error *e)
{
	return (void)t, (void)from, (void)data, (void)bytes, (void)e, true;
}
#endif
