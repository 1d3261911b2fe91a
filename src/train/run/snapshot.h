/* snapshot.h - all that a run needs to go on as if it had never stopped, in one safetensors file:
 *   NAME            the master of each trained weight          F32
 *   average/NAME    its exponential average, where there is one
 *   PIECE/NAME      the optimizer's state (optimizer.h)
 *   metadata        sumi.config, sumi.vocabulary, sumi.training (JSON of the struct below)
 * Everything random is drawn from generators seeded by (seed, sample), so the place in the data is their whole state.
 * Files are written under a temporary name and renamed: a kill at any moment leaves the last complete one. */
#ifndef SUMI_TRAIN_SNAPSHOT_H
#define SUMI_TRAIN_SNAPSHOT_H
#include "train/run/identity.h"
#include "train/run/learner.h"
#include "train/optimize/optimizer.h"
#include "train/run/team.h"

typedef struct training_state {
	int64_t step;     /* steps done */
	int64_t batches;  /* batches taken by each process */
	int64_t averaged; /* updates of the average */
	double smoothed;  /* loss */
	double seconds;   /* of all pieces of the run together */
	int64_t seed;
	int64_t optimizer_steps;
	int ranks;
	int64_t batch; /* samples of a step over all processes; another one is refused */
	run_identity id;
} training_state;

/* DIR/checkpoint-STEP.safetensors, written by the first process; all call. `holder`: the process that has the
 * optimizer's state of each trained weight, which it sends; NULL: the first has all. The file is the same. `how`: the
 * run's options. */
bool snapshot_write(const char *dir, const learner *m, const int *trained, int count, const optimizer *o,
    const int *holder, team *together, const training_state *s, const train_options *how, error *e);
/* Restores trained weights, averages and what this process has of the optimizer's state; all must exist with the same
 * shapes, vocabulary and scale of latents must be the run's, and so must what `how` and s->id say of it, as far as it
 * matters (identity.h). `changes`: the permitted differences. s is the checkpoint's then. */
bool snapshot_read(const char *path, learner *m, const int *trained, int count, optimizer *o, const train_options *how,
    training_state *s, char *changes, size_t size, error *e);

/* The one with the highest step, to `path`; false: none (no error), or the folder cannot be read or holds checkpoints
 * of several runs (error). */
bool snapshot_latest(const char *dir, char *path, size_t size, error *e);
/* Deletes the oldest of this run's until `limit` of them are left; 0: keeps all. */
void snapshot_prune(const char *dir, const char *run, int64_t limit);

/* Writes the finished model: every weight of the family (averages where there are, others frozen as they were) in the
 * published layout, with sumi.config and sumi.vocabulary. */
bool learner_write(const learner *m, const char *path, bool averages, error *e);

#endif
