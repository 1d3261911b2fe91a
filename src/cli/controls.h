/* controls.h - --control-net, --control-image and --control-mode as the library takes them. */
#ifndef SUMI_CLI_CONTROLS_H
#define SUMI_CLI_CONTROLS_H
#include "cli/options.h"
#include <sumi.h>

enum { MOST_CONTROL_NETS = 8 };

typedef struct control_options {
	const sumi_control *list[MOST_CONTROL_NETS];
	sumi_control each[MOST_CONTROL_NETS];
	char *paths[MOST_CONTROL_NETS];        /* owned */
	sumi_image *images[MOST_CONTROL_NETS]; /* owned; NULL: another's */
	int count;
} control_options;

/* Takes FILE, FILE:STRENGTH or FILE:STRENGTH:FROM:TO apart; numbers that are not given stay. *path is the caller's to
 * free, in any case. Returns an exit code, after a message. */
int file_and_strength(const char *what, const char *text, char **path, double *strength, double *from, double *to);

/* Reads the pictures: one for each network, or none where there is `init`; modes: one for each, or one for all. Returns
 * an exit code, after a message; 0: fine. Free it in any case. */
int controls_read(control_options *c, const text_list *nets, const text_list *images, const text_list *modes,
    const sumi_image *init, sumi_error *e);
void controls_free(control_options *c);

#endif
