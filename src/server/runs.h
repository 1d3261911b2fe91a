/* runs.h - training runs of a folder whose subfolders are data sets. A run is a process of its own, `sumi train` of
 * this program: it saves a checkpoint when it is stopped, and goes on from there when it is started again. Its files
 * stand in the folder: NAME.json (its options), NAME.log (what it said), NAME.training (checkpoints, log.csv, samples)
 * and the result, NAME.safetensors, where NAME is the set's and the kind: "cats-lora". A run is of one of run_kinds[].
 */
#ifndef SUMI_SERVER_RUNS_H
#define SUMI_SERVER_RUNS_H
#include "base/buffer.h"
#include <jansson.h>
#include <sumi.h>

typedef struct runs runs;

runs *runs_open(const char *folder, sumi_error *e); /* NULL: not a folder */
void runs_close(runs *r);                           /* stops the run and waits for its checkpoint. NULL is fine */
const char *runs_folder(const runs *r);

/* [{"name", "pictures", "captions"}, …], by name. */
json_t *runs_sets(const runs *r);
/* [{"name", "set", "kind", "state", "step", "steps"}, …], by name. state: "running", "stopping", "stopped" (it goes on
 * when it is started), "failed" or "done". */
json_t *runs_list(runs *r);
/* One of them, with "options", "hints" (the set that a control network learns to follow), "curve" ([step, loss],
 * smoothed, at most some hundred), "samples" ([step, file name]) and "said", the last lines of its log. NULL: no such
 * run. */
json_t *runs_describe(runs *r, const char *name);
bool runs_sample(const runs *r, const char *name, const char *file, buffer *bytes); /* false: there is none */

/* The options that a run may be given, of all that its kind has: no paths. False: no such option. */
bool runs_option(const char *kind, const char *name, sumi_training_option *o);
typedef struct run_request {
	const char *set, *kind, *model; /* model: a path */
	const char *hints;              /* of "controlnet": the set whose pictures it learns to follow; "": none */
	const json_t *options;          /* the values of runs_option()'s, as texts */
} run_request;
/* Starts a run. One that was stopped goes on where the options are those that it had. False: refused, as while another
 * one is running; *wrong is the option or the field above that is wrong, "" where it is another thing. */
bool runs_start(runs *r, const run_request *q, const char **wrong, sumi_error *e);
/* Asks the run to save a checkpoint and end. False: it does not run. */
bool runs_stop(runs *r, const char *name);

#endif
