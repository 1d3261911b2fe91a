/* log.c - log.csv, and the same numbers for TensorBoard. */
#include "train/run/log.h"
#include "base/file.h"
#include "train/run/events.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run_log {
	FILE *file;
	char *path;
	events *events; /* NULL: not wanted */
};

run_log *run_log_open(const char *folder, int64_t bytes, int64_t step, bool tensorboard, error *e)
{
	run_log *l = calloc(1, sizeof *l);
	if (!l || asprintf(&l->path, "%s/log.csv", folder) < 0) {
		free(l);
		return fail(e, NO_MEMORY, "no memory for the log"), NULL;
	}
	const char *path = l->path;
	l->file = fopen(path, bytes ? "r+" : "w");
	if (bytes && !l->file) l->file = fopen(path, "w");
	if (!l->file || (bytes && (ftruncate(fileno(l->file), bytes) || fseek(l->file, 0, SEEK_END)))) {
		fail(e, BAD_FILE, "%s: %s", path, strerror(errno));
		run_log_close(l);
		return NULL;
	}
	if (!bytes) fprintf(l->file, "step,loss,smoothed,learning_rate,gradient_norm,images_per_second,seconds\n");
	if (tensorboard && !(l->events = events_open(folder, step + 1, e))) {
		run_log_close(l);
		return NULL;
	}
	return l;
}

void run_log_close(run_log *l)
{
	if (!l) return;
	if (l->file) fclose(l->file);
	events_close(l->events);
	free(l->path);
	free(l);
}

bool run_log_line(run_log *l, int64_t step, double loss, double smoothed, double rate, double gradient_norm,
    double images_per_second, double seconds, error *e)
{
	fprintf(l->file, "%lld,%.9g,%.9g,%.9g,%.6g,%.4g,%.1f\n", (long long)step, loss, smoothed, rate, gradient_norm,
	    images_per_second, seconds);
	if (fflush(l->file)) return fail(e, BAD_FILE, "%s: %s", l->path, strerror(errno));
	static const char *const names[] = { "loss", "loss_smoothed", "learning_rate", "gradient_norm",
		"images_per_second" };
	return !l->events || events_numbers(l->events, step, 5, names,
	                         (double[]){ loss, smoothed, rate, gradient_norm, images_per_second }, e);
}

bool run_log_picture(run_log *l, int64_t step, const char *path, error *e)
{
	enum { MOST = 1 << 28 };
	size_t bytes;
	if (!l->events) return true;
	char *png = whole_file(path, MOST, &bytes, e);
	bool fine = png && events_picture(l->events, step, "samples", png, bytes, e);
	free(png);
	return fine;
}

int64_t run_log_bytes(run_log *l)
{
	fflush(l->file);
	fsync(fileno(l->file)); /* a checkpoint counts on so many bytes: they must not be lost where it is not */
	return ftell(l->file);
}
