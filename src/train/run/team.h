/* team.h - the processes that train together, over MPI where Sumi was built with it: each holds the whole model and
 * takes its share of every batch, and gradients are summed as they become complete, while the backward pass goes on.
 * Without MPI, or without mpirun, a team of one. */
#ifndef SUMI_TRAIN_TEAM_H
#define SUMI_TRAIN_TEAM_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct team team;

/* Joins the team that mpirun started; again within the process is fine. NULL: failed. */
team *team_join(error *e);
/* NULL is fine. `together`: all leave. Else this process failed alone, and mpirun ends the others, which would wait for
 * it, when it exits with a code that is not 0. */
void team_leave(team *t, bool together);
int team_rank(const team *t);
int team_size(const team *t);
int team_rank_here(const team *t); /* among the processes of this machine */

/* Sums of arrays over the team, in buckets of about 4 MB that travel while the caller works; for teams of more than
 * one. The plan lists the arrays by number in the order in which they will be complete, roughly: a bucket leaves when
 * all its arrays are there and those before it have left. `count` numbers, `order` holds `planned` of them, sizes[i] is
 * the elements of array i. All processes plan the same. */
bool team_plan(team *t, int count, const size_t *sizes, const int *order, int planned, error *e);
/* Where array i is written, and is found summed after team_sum_finish. NULL: it was not planned. */
float *team_sum_room(const team *t, int i);
/* Array i has been written. In any order; an array that is not given counts as zeros. */
bool team_sum_add(team *t, int i, error *e);
bool team_sum_finish(team *t, error *e); /* waits for the sums */
/* Buckets sent so far, and how many of them had arrived everywhere when team_sum_finish was called. */
typedef struct team_counts {
	uint64_t buckets, early;
} team_counts;
team_counts team_counted(const team *t);

bool team_sum(team *t, double *x, int n, error *e); /* a few numbers, at once */
bool team_wait(team *t, error *e);                  /* until all are here */
/* Sends arrays from the processes that hold them to all others: arrays[i], of sizes[i] elements, from holder[i]. */
bool team_share(team *t, int count, float *const *arrays, const size_t *sizes, const int *holder, error *e);
/* Brings bytes from process `from` to the first one; the others do nothing. `data` is where they are or go. */
bool team_bring(team *t, int from, void *data, size_t bytes, error *e);

#endif
