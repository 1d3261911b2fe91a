/* listener.h - who hears of a training: its progress after each step, and lines for the user. */
#ifndef SUMI_TRAIN_LISTENER_H
#define SUMI_TRAIN_LISTENER_H
#include <stdbool.h>
#include <stdint.h>

typedef struct training_progress {
	int64_t step, steps; /* done, and of the whole run */
	double loss, smoothed, rate, gradient_norm;
	double images_per_second; /* over all processes, since the last report */
	double seconds_left;
	double waited; /* share of the time that was spent waiting for data */
	int rank;      /* of the process that reports; the numbers are those of all together */
} training_progress;

typedef struct training_listener {
	/* After each step, in every process. False, from any: save a checkpoint and leave with STOPPED. May be NULL. */
	bool (*progress)(void *context, const training_progress *p);
	/* A line for the user, without newline. May be NULL. */
	void (*note)(void *context, const char *line);
	void *context;
} training_listener;

/* Formats a line and hands it on; nothing where l or its note is NULL. */
void training_note(const training_listener *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
