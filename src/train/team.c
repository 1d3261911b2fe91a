/* team.c - data parallel training: sums over the processes, in buckets. */
#include "train/team.h"
#include <stdlib.h>
#include <string.h>
#ifdef SUMI_MPI
#include <mpi.h>
#endif

enum { BUCKET = 1 << 20, MOST_BUCKETS = 4096, MOST_PARTS = 1 << 14 };

typedef struct part {
	float *x;
	size_t n;
} part;

typedef struct bucket {
	float *sum;
	size_t count, capacity;
	int first_part, parts;
} bucket;

struct team {
	int rank, size;
	bool initialized; /* MPI, by us */
	part *parts;
	int part_count;
	bucket *buckets;
	int bucket_count; /* in this round; the last one may be open */
	bool open;
#ifdef SUMI_MPI
	MPI_Request *requests;
#endif
};

int team_rank(const team *t) { return t->rank; }
int team_size(const team *t) { return t->size; }

team *team_join(error *e)
{
	team *t = calloc(1, sizeof *t);
	if (!t) return fail(e, NO_MEMORY, "no memory for the team"), NULL;
	t->size = 1;
#ifdef SUMI_MPI
	int ready = 0;
	MPI_Initialized(&ready);
	if (!ready && (getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMI_SIZE") || getenv("PMIX_RANK"))) {
		if (MPI_Init(NULL, NULL) != MPI_SUCCESS) {
			free(t);
			return fail(e, BAD_USAGE, "MPI cannot be started"), NULL;
		}
		ready = t->initialized = true;
	}
	if (ready) {
		MPI_Comm_rank(MPI_COMM_WORLD, &t->rank);
		MPI_Comm_size(MPI_COMM_WORLD, &t->size);
	}
	if (t->size > 1) {
		t->parts = calloc(MOST_PARTS, sizeof *t->parts);
		t->buckets = calloc(MOST_BUCKETS, sizeof *t->buckets);
		t->requests = calloc(MOST_BUCKETS, sizeof *t->requests);
		if (!t->parts || !t->buckets || !t->requests) {
			team_leave(t);
			return fail(e, NO_MEMORY, "no memory for the team"), NULL;
		}
	}
#endif
	return t;
}

void team_leave(team *t)
{
	if (!t) return;
#ifdef SUMI_MPI
	if (t->initialized) MPI_Finalize();
	free(t->requests);
#endif
	for (int i = 0; t->buckets && i < MOST_BUCKETS; i++) free(t->buckets[i].sum);
	free(t->buckets);
	free(t->parts);
	free(t);
}

#ifdef SUMI_MPI
static bool send_bucket(team *t, error *e)
{
	bucket *b = &t->buckets[t->bucket_count - 1];
	t->open = false;
	size_t at = 0;
	for (int i = 0; i < b->parts; i++) {
		part p = t->parts[b->first_part + i];
		memcpy(b->sum + at, p.x, p.n * sizeof *p.x);
		at += p.n;
	}
	int result = MPI_Iallreduce(
	    MPI_IN_PLACE, b->sum, (int)b->count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &t->requests[t->bucket_count - 1]);
	return result == MPI_SUCCESS || fail(e, BAD_USAGE, "MPI: a sum over the processes failed");
}

static bool grow_bucket(bucket *b, size_t count, error *e)
{
	if (count <= b->capacity) return true;
	size_t capacity = count > BUCKET ? count : BUCKET;
	float *more = realloc(b->sum, capacity * sizeof *more);
	if (!more) return fail(e, NO_MEMORY, "no memory for a bucket of gradients");
	b->sum = more;
	b->capacity = capacity;
	return true;
}

bool team_sum_add(team *t, float *x, size_t n, error *e)
{
	if (t->size == 1) return true;
	if (n > 1u << 30 || t->part_count == MOST_PARTS) return fail(e, BAD_USAGE, "too many gradients to sum at once");
	if (t->open && t->buckets[t->bucket_count - 1].count + n > BUCKET && !send_bucket(t, e)) return false;
	if (!t->open) {
		if (t->bucket_count == MOST_BUCKETS) return fail(e, BAD_USAGE, "too many gradients to sum at once");
		bucket *b = &t->buckets[t->bucket_count++];
		b->count = 0;
		b->first_part = t->part_count;
		b->parts = 0;
		t->open = true;
	}
	bucket *b = &t->buckets[t->bucket_count - 1];
	if (!grow_bucket(b, b->count + n, e)) return false;
	t->parts[t->part_count++] = (part){ x, n };
	b->count += n;
	b->parts++;
	int done; /* lets MPI work on what is under way */
	MPI_Testall(t->bucket_count - 1, t->requests, &done, MPI_STATUSES_IGNORE);
	return true;
}

bool team_sum_finish(team *t, error *e)
{
	if (t->size == 1) return true;
	if (t->open && !send_bucket(t, e)) return false;
	if (MPI_Waitall(t->bucket_count, t->requests, MPI_STATUSES_IGNORE) != MPI_SUCCESS)
		return fail(e, BAD_USAGE, "MPI: a sum over the processes failed");
	for (int i = 0; i < t->bucket_count; i++) {
		const bucket *b = &t->buckets[i];
		size_t at = 0;
		for (int k = 0; k < b->parts; k++) {
			part p = t->parts[b->first_part + k];
			memcpy(p.x, b->sum + at, p.n * sizeof *p.x);
			at += p.n;
		}
	}
	t->bucket_count = t->part_count = 0;
	return true;
}

bool team_sum(team *t, double *x, int n, error *e)
{
	return t->size == 1 || MPI_Allreduce(MPI_IN_PLACE, x, n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD) == MPI_SUCCESS ||
	       fail(e, BAD_USAGE, "MPI: a sum over the processes failed");
}

bool team_wait(team *t, error *e)
{
	return t->size == 1 || MPI_Barrier(MPI_COMM_WORLD) == MPI_SUCCESS ||
	       fail(e, BAD_USAGE, "MPI: the processes cannot meet");
}
#else
bool team_sum_add(team *t, float *x, size_t n, error *e) { return (void)t, (void)x, (void)n, (void)e, true; }
bool team_sum_finish(team *t, error *e) { return (void)t, (void)e, true; }
bool team_sum(team *t, double *x, int n, error *e) { return (void)t, (void)x, (void)n, (void)e, true; }
bool team_wait(team *t, error *e) { return (void)t, (void)e, true; }
#endif
