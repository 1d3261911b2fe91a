/* identity.h - which run a checkpoint belongs to: a name of its own, the job and its options, and fingerprints of what
 * the run reads. A run that goes on from a checkpoint compares them with its own. */
#ifndef SUMI_TRAIN_IDENTITY_H
#define SUMI_TRAIN_IDENTITY_H
#include "train/run/learner.h"
#include "train/run/options.h"
#include <jansson.h>

typedef struct run_identity {
	char run[33];    /* drawn when a run begins at step 0, in hexadecimal; "" of checkpoints older than this */
	char data[65];   /* data_fingerprint() of the set as it lies; "": a stream */
	char frozen[65]; /* of the weights that are not trained: the model that a LoRA, a word or a denoiser is for */
} run_identity;

/* A new run's: all but `data`, which is the caller's. */
void run_identity_begin(run_identity *id, const learner *m);
/* Adds "run", "data", "frozen", "job" and "options" to a checkpoint's JSON. false: no memory. */
bool run_identity_put(const run_identity *id, const train_options *o, json_t *to);
void run_identity_get(run_identity *id, const json_t *from);
/* Another job, other frozen weights, or another value of an option that is FIXED: BAD_USAGE, which names both values.
 * Permitted differences go to `changes`: "learning_rate was 0.001 and is 1e-4; …", "" if there are none. path: the
 * checkpoint's, for messages. */
bool run_identity_compare(const run_identity *now, const train_options *o, const json_t *then, const char *path,
    char *changes, size_t size, error *e);

#endif
