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

static const char heading[] = "step,loss,smoothed,learning_rate,gradient_norm,images_per_second,seconds\n";

/* Does a whole line begin with a step that is not past `step`? What a crash of the system leaves (zeros, half a line)
 * does not. */
static bool stays(const char *line, size_t length, int64_t step)
{
	long long own;
	return length && line[length - 1] == '\n' && !memchr(line, 0, length) && sscanf(line, "%lld,", &own) == 1 &&
	       own >= 1 && own <= step;
}

/* Writes the file anew with what stays of it. */
static bool cut(const char *path, int64_t step, error *e)
{
	enum { MOST = 1 << 30 };
	size_t bytes = 0, n = strlen(heading);
	bool there = step && !access(path, F_OK);
	char *old = there ? whole_file(path, MOST, &bytes, e) : NULL;
	if (there && !old) return false; /* nor is it replaced, then */
	char *kept = malloc(n + bytes + 1);
	bool fine = kept || fail(e, NO_MEMORY, "%s: no memory to read it", path);
	if (fine) memcpy(kept, heading, n);
	for (size_t at = 0, length; fine && at < bytes; at += length) {
		const char *end = memchr(old + at, '\n', bytes - at);
		length = end ? (size_t)(end - old) + 1 - at : bytes - at;
		if (!stays(old + at, length, step)) continue;
		memcpy(kept + n, old + at, length);
		n += length;
	}
	fine = fine && write_file(path, kept, n, e);
	free(old);
	free(kept);
	return fine;
}

run_log *run_log_open(const char *folder, int64_t step, bool tensorboard, error *e)
{
	run_log *l = calloc(1, sizeof *l);
	if (!l || asprintf(&l->path, "%s/log.csv", folder) < 0) {
		free(l);
		return fail(e, NO_MEMORY, "no memory for the log"), NULL;
	}
	if (cut(l->path, step, e) && !(l->file = fopen(l->path, "a")))
		fail(e, errno_status(), "%s: %s", l->path, strerror(errno));
	if (l->file && (!tensorboard || (l->events = events_open(folder, step + 1, e)))) return l;
	run_log_close(l);
	return NULL;
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
	if (fflush(l->file)) return fail(e, errno_status(), "%s: %s", l->path, strerror(errno));
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

bool run_log_sync(run_log *l, error *e)
{
	if (!fflush(l->file) && (!fsync(fileno(l->file)) || errno == EINVAL || errno == ENOTSUP)) return true;
	return fail(e, errno_status(), "%s: %s", l->path, strerror(errno));
}
