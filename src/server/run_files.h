/* run_files.h - the files of training runs, in a folder as runs.h describes it: data sets, options, log, curve,
 * samples. Names that come from a request are only compared with those that the folder lists. */
#ifndef SUMI_SERVER_RUN_FILES_H
#define SUMI_SERVER_RUN_FILES_H
#include "base/buffer.h"
#include <jansson.h>
#include <sumi.h>

enum { RUN_NAME = 256, RUN_PATH = 4096 };

/* What a run may train, as `sumi train` calls it: "lora", "embedding", …; NULL at the end. */
extern const char *const run_kinds[];
bool run_is_kind(const char *kind);

/* "FOLDER/NAME" and two endings. False: too long. */
bool run_path(char path[RUN_PATH], const char *folder, const char *name, const char *ending, const char *more);

json_t *run_files_sets(const char *folder);
bool run_files_has_set(const char *folder, const char *set);
/* As runs_list() and runs_describe(), without the state. */
json_t *run_files_list(const char *folder);
json_t *run_files_describe(const char *folder, const char *name);
bool run_files_sample(const char *folder, const char *name, const char *file, buffer *bytes);

bool run_files_done(const char *folder, const char *name); /* its result is newer than its options */
/* Whether it has a checkpoint, is not done, and had these options. */
bool run_files_resumable(const char *folder, const char *name, const json_t *options);
bool run_files_write_options(const char *folder, const char *name, const json_t *options, sumi_error *e);

#endif
