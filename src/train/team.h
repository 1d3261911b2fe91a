/* team.h - the processes that train together, over MPI where Sumi was built with it: each holds the whole model and
 * takes its share of every batch, and gradients are summed as they become complete, while the backward pass goes on.
 * Without MPI, or without mpirun, a team of one. */
#ifndef SUMI_TRAIN_TEAM_H
#define SUMI_TRAIN_TEAM_H
#include "base/error.h"
#include <stddef.h>

typedef struct team team;

/* Joins the team that mpirun started. NULL: failed. */
team *team_join(error *e);
void team_leave(team *t); /* NULL is fine */
int team_rank(const team *t);
int team_size(const team *t);

/* Sums arrays over the team, in place: they are gathered in buckets of about 4 MB that travel while the caller works.
 * Every process calls with the same sizes in the same order. The arrays are not touched between add and finish. */
bool team_sum_add(team *t, float *x, size_t n, error *e);
bool team_sum_finish(team *t, error *e);
bool team_sum(team *t, double *x, int n, error *e); /* a few numbers, at once */
bool team_wait(team *t, error *e);                  /* until all are here */

#endif
