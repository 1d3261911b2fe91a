/* log.h - the numbers of a run as a table that grows, log.csv in its folder, and as TensorBoard's events in the same
 * folder. A resumed run cuts what the stopped one wrote after its last checkpoint, so the table reads as if nothing had
 * happened.
 */
#ifndef SUMI_TRAIN_LOG_H
#define SUMI_TRAIN_LOG_H
#include "base/error.h"
#include <stdint.h>

typedef struct run_log run_log;

/* Opens FOLDER/log.csv: with the whole lines that it has up to `step`, how many were done before, or begun anew where
 * that is 0. tensorboard: whether its events are written too. NULL: failed. */
run_log *run_log_open(const char *folder, int64_t step, bool tensorboard, error *e);
void run_log_close(run_log *l); /* NULL is fine */
bool run_log_line(run_log *l, int64_t step, double loss, double smoothed, double rate, double gradient_norm,
    double images_per_second, double seconds, error *e);
/* The samples drawn after a step, a PNG file, for TensorBoard. */
bool run_log_picture(run_log *l, int64_t step, const char *path, error *e);
/* What has been written is on the disk then: before a checkpoint that follows on it. */
bool run_log_sync(run_log *l, error *e);

#endif
