/* wildcards.h - "__name__" in a prompt is a line of DIR/name.txt, chosen by the picture's seed. */
#ifndef SUMI_CLI_WILDCARDS_H
#define SUMI_CLI_WILDCARDS_H
#include <sumi.h>

typedef struct filled_texts { /* zeros to begin with */
	char **list;
	int count;
} filled_texts;

/* Replaces the wildcards of both prompts, also those within what replaced one, by texts that `texts` keeps. The same
 * seed, folder and prompts give the same words. Blank lines and what begins with "#" do not count. folder NULL: nothing
 * is replaced. False: it failed, and a message was printed: a file that is not there or empty, wildcards without end,
 * or no memory. */
bool wildcards_fill_options(sumi_options *o, const char *folder, filled_texts *texts);
void filled_texts_free(filled_texts *t);

#endif
