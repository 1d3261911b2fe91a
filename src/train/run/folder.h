/* folder.h - where a run writes: its output, and the folder of its checkpoints, log and samples. One run at a time
 * writes there, nothing that it reads is overwritten, and what another run left is set aside. */
#ifndef SUMI_TRAIN_FOLDER_H
#define SUMI_TRAIN_FOLDER_H
#include "train/run/options.h"

enum { LONGEST_RUN_PATH = 4000 };

/* The output's name with another end in place of ".safetensors": "mine.cache". */
bool path_next_to_output(const train_options *o, const char *end, char path[LONGEST_RUN_PATH], error *e);
/* --output_dir, or NAME.training in the output's folder; of the job cache the output itself. */
bool run_folder(const train_options *o, char path[LONGEST_RUN_PATH], error *e);

bool same_file(const char *a, const char *b); /* by whatever names; both are there */

/* The output, or its folder, is none of the files that the run reads, by whatever name: BAD_USAGE. */
bool outputs_spare_inputs(const train_options *o, error *e);

/* Makes the folder, with those around it, and keeps other runs out of it and of the output; then removes what killed
 * runs left half written there. By one process of many. NULL: failed. */
typedef struct run_place run_place;
run_place *run_place_take(const train_options *o, error *e);
void run_place_release(run_place *p); /* an empty folder is removed; NULL is fine */

/* Moves what another run left in the folder, checkpoints, log, events and samples, to earlier-1 (-2, …) in it, whose
 * path goes to `moved`: "" where there was nothing. */
bool run_folder_set_aside(const char *folder, char moved[LONGEST_RUN_PATH], error *e);
/* The same for checkpoints from this step on alone. */
bool run_folder_set_aside_from(const char *folder, int64_t step, char moved[LONGEST_RUN_PATH], error *e);

/* Is a file's name that of a checkpoint, "checkpoint-STEP.safetensors"? Then its step. */
bool checkpoint_step(const char *name, int64_t *step);

#endif
