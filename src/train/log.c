/* log.c - log.csv. */
#include "train/log.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run_log {
	FILE *file;
	char *path;
};

run_log *run_log_open(const char *path, int64_t bytes, error *e)
{
	run_log *l = calloc(1, sizeof *l);
	if (!l || !(l->path = strdup(path))) {
		run_log_close(l);
		return fail(e, NO_MEMORY, "no memory for the log"), NULL;
	}
	l->file = fopen(path, bytes ? "r+" : "w");
	if (bytes && !l->file) l->file = fopen(path, "w");
	if (!l->file || (bytes && (ftruncate(fileno(l->file), bytes) || fseek(l->file, 0, SEEK_END)))) {
		fail(e, BAD_FILE, "%s: %s", path, strerror(errno));
		run_log_close(l);
		return NULL;
	}
	if (!bytes) fprintf(l->file, "step,loss,smoothed,learning_rate,gradient_norm,images_per_second,seconds\n");
	return l;
}

void run_log_close(run_log *l)
{
	if (!l) return;
	if (l->file) fclose(l->file);
	free(l->path);
	free(l);
}

bool run_log_line(run_log *l, int64_t step, double loss, double smoothed, double rate, double gradient_norm,
    double images_per_second, double seconds, error *e)
{
	fprintf(l->file, "%lld,%.9g,%.9g,%.9g,%.6g,%.4g,%.1f\n", (long long)step, loss, smoothed, rate, gradient_norm,
	    images_per_second, seconds);
	return !fflush(l->file) || fail(e, BAD_FILE, "%s: %s", l->path, strerror(errno));
}

int64_t run_log_bytes(run_log *l)
{
	fflush(l->file);
	return ftell(l->file);
}
