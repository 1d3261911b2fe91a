/* team.h - the processes that train together, over MPI where Sumi was built with it: each holds the whole model and
 * takes its share of every batch, and gradients are summed as they become complete, while the backward pass goes on;
 * from GPU to GPU where each process has one and what joins them. Without MPI, or without mpirun, a team of one. */
#ifndef SUMI_TRAIN_TEAM_H
#define SUMI_TRAIN_TEAM_H
#include "graph/graph.h"

typedef struct team team;

/* Joins the team that mpirun started; again within the process is fine. NULL: failed. */
team *team_join(error *e);
/* NULL is fine. `together`: all leave. Else this process failed alone, and mpirun ends the others, which would wait for
 * it, when it exits with a code that is not 0. */
void team_leave(team *t, bool together);
int team_rank(const team *t);
int team_size(const team *t);
/* Among the processes of this machine. */
int team_rank_here(const team *t), team_size_here(const team *t);

/* From now on the arrays of sums and of team_share lie in the memory of this device; NULL: the host's. How they
 * travel, in words for the user ("" where they do not): from device to device where all processes can, else over the
 * host. */
bool team_use_device(team *t, const device *d, char *how, size_t room, error *e);
bool team_is_direct(const team *t); /* from device to device */

/* Sums of arrays over the team, in buckets of about 4 MB that travel while the caller works; for teams of more than
 * one. The plan lists the arrays by number in the order in which they will be complete, roughly: a bucket leaves when
 * all its arrays are there and those before it have left. `count` numbers, `order` holds `planned` of them, sizes[i] is
 * the elements of array i. All processes plan the same. */
bool team_plan(team *t, int count, const size_t *sizes, const int *order, int planned, error *e);
/* Array i lies at `array`, which holds the sum after team_sum_finish; until then it is not to be read or written. In
 * any order; an array that is not given counts as zeros. */
bool team_sum_add(team *t, int i, float *array, error *e);
bool team_sum_finish(team *t, error *e); /* waits for the sums */
/* Buckets sent so far, and how many of them had arrived everywhere when team_sum_finish was called. */
typedef struct team_counts {
	uint64_t buckets, early;
} team_counts;
team_counts team_counted(const team *t);

bool team_sum(team *t, double *x, int n, error *e); /* a few numbers, at once */
bool team_wait(team *t, error *e);                  /* until all are here */
/* Sends arrays from the processes that hold them to all others: arrays[i], of sizes[i] elements, from holder[i]. They
 * lie in the device's memory where the team is direct, else in the host's. */
bool team_share(team *t, int count, float *const *arrays, const size_t *sizes, const int *holder, error *e);
/* Brings bytes from process `from` to the first one; the others do nothing. `data` is where they are or go. */
bool team_bring(team *t, int from, void *data, size_t bytes, error *e);

#endif
