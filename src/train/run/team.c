/* team.c - data parallel training: sums over the processes, in buckets, and weights and states that move. */
#include "train/run/team.h"
#include <stdlib.h>
#include <string.h>
#ifdef SUMI_MPI
#include <mpi.h>
#endif

enum { BUCKET = 1 << 20, MOST_AT_ONCE = 1 << 30 };

typedef struct bucket { /* arrays that travel together */
	float *sum;
	size_t count;
	int arrays, missing; /* of this round */
} bucket;

typedef struct passenger { /* an array in its bucket */
	bool given;            /* in this round */
	size_t n, at;
	int bucket; /* −1: not planned */
} passenger;

struct team {
	int rank, size, rank_here;
	bool initialized; /* MPI, by us */
	passenger *passengers;
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
team_counts team_counted(const team *t) { return t->counts; }

team *team_join(error *e)
{
	team *t = calloc(1, sizeof *t);
	if (!t) return fail(e, NO_MEMORY, "no memory for the team"), NULL;
	t->size = 1;
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
	t->buckets = NULL;
	t->passengers = NULL;
	t->bucket_count = t->passenger_count = t->sent = 0;
#ifdef SUMI_MPI
	free(t->requests);
	t->requests = NULL;
#endif
}

void team_leave(team *t, bool together)
{
	if (!t) return;
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

/* ── sums in buckets ── */
static bool make_bucket_room(team *t, error *e)
{
	for (int i = 0; i < t->bucket_count; i++) {
		bucket *b = &t->buckets[i];
		b->missing = b->arrays;
		if (!(b->sum = malloc(b->count * sizeof *b->sum)))
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
	t->requests = calloc((size_t)planned + 1, sizeof(MPI_Request));
	if (!t->passengers || !t->buckets || !t->requests) return fail(e, NO_MEMORY, "no memory for the team");
	t->passenger_count = count;
	for (int i = 0; i < count; i++) t->passengers[i].bucket = -1;
	for (int k = 0; k < planned; k++) {
		int i = order[k];
		if (sizes[i] > MOST_AT_ONCE) return fail(e, BAD_USAGE, "a gradient is too large to be summed at once");
		bucket *last = t->bucket_count ? &t->buckets[t->bucket_count - 1] : NULL;
		if (!last || last->count + sizes[i] > BUCKET) last = &t->buckets[t->bucket_count++];
		t->passengers[i] = (passenger){ .n = sizes[i], .at = last->count, .bucket = t->bucket_count - 1 };
		last->count += sizes[i];
		last->arrays++;
	}
	return same_plan(t, count, sizes, order, planned, e) && make_bucket_room(t, e);
}

static bool send_next(team *t, error *e)
{
	bucket *b = &t->buckets[t->sent];
	return check(MPI_Iallreduce(
	                 MPI_IN_PLACE, b->sum, (int)b->count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &t->requests[t->sent++]),
	    e);
}

float *team_sum_room(const team *t, int i)
{
	const passenger *p = &t->passengers[i];
	return p->bucket < 0 ? NULL : t->buckets[p->bucket].sum + p->at;
}

bool team_sum_add(team *t, int i, error *e)
{
	passenger *p = &t->passengers[i];
	if (p->bucket < 0) return fail(e, BAD_USAGE, "a gradient came that was not planned");
	p->given = true;
	t->buckets[p->bucket].missing--;
	while (t->sent < t->bucket_count && !t->buckets[t->sent].missing)
		if (!send_next(t, e)) return false;
	int done; /* lets MPI work on what is under way */
	return check(MPI_Testall(t->sent, t->requests, &done, MPI_STATUSES_IGNORE), e);
}

static void zero_missing(team *t)
{
	for (int i = 0; i < t->passenger_count; i++) {
		const passenger *p = &t->passengers[i];
		if (p->bucket >= t->sent && !p->given) memset(t->buckets[p->bucket].sum + p->at, 0, p->n * sizeof(float));
	}
}

bool team_sum_finish(team *t, error *e)
{
	if (t->size == 1) return true;
	for (int i = 0, done; i < t->sent; i++) {
		if (!check(MPI_Test(&t->requests[i], &done, MPI_STATUS_IGNORE), e)) return false;
		t->counts.early += done != 0;
	}
	t->counts.buckets += (uint64_t)t->bucket_count;
	zero_missing(t);
	while (t->sent < t->bucket_count)
		if (!send_next(t, e)) return false;
	if (!check(MPI_Waitall(t->sent, t->requests, MPI_STATUSES_IGNORE), e)) return false;
	for (int i = 0; i < t->passenger_count; i++) t->passengers[i].given = false;
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
float *team_sum_room(const team *t, int i) { return (void)t, (void)i, NULL; }
bool team_sum_add(team *t, int i, error *e) { return (void)t, (void)i, (void)e, true; }
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
