/* progress.h - what the user sees while the library works: a bar on stderr where that is a terminal, one plain line a
 * stage otherwise; and the keyboard's wish to stop. */
#ifndef SUMI_CLI_PROGRESS_H
#define SUMI_CLI_PROGRESS_H
#include <sumi.h>

typedef struct progress {
	bool terminal, color, blocks, verbose, quiet;
	char stage[24];
	int step, steps;
	double began, stepped; /* seconds: of the stage, of its last step */
	bool open;             /* a stage is shown that has not ended */
} progress;

/* Checks the terminal and NO_COLOR, and from here on SIGINT, SIGTERM, SIGHUP and SIGUSR1 ask to stop; a
 * second one kills. */
void progress_begin(progress *p, bool verbose, bool quiet);
sumi_listener progress_listener(progress *p); /* p must live as long as the listener */
void progress_end(progress *p);               /* ends the line of the last stage */
bool stop_requested(void);
void print_duration(char *out, size_t size, double seconds); /* "3:05", "1:03:05" */

#endif
