/* viewer.h - a picture seen while it is made: previews every so many steps, in a file and in the terminal. */
#ifndef SUMI_CLI_VIEWER_H
#define SUMI_CLI_VIEWER_H
#include "cli/progress.h"
#include "cli/terminal.h"

typedef struct viewer {
	progress progress; /* first: its listener's context is the viewer's */
	terminal terminal;
	bool shows;      /* in the terminal */
	int every;       /* steps; 0: no previews in files */
	char file[4096]; /* where previews go; %d: the step */
} viewer;

/* preview: "N" or "N:FILE", NULL: none; output: what the file is named after where there is none. show: in the
 * terminal, as terminal_begin() takes it. 0, or an exit code, and a message was printed. */
int viewer_begin(viewer *v, const char *preview, const char *output, bool show, const char *show_as);
sumi_listener viewer_listener(viewer *v);              /* after progress_begin(&v->progress, …) */
void viewer_finish(viewer *v, const sumi_image *made); /* draws the picture in the place of its previews */

#endif
