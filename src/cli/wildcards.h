/* wildcards.h - "__name__" in a prompt is a line of DIR/name.txt, chosen by the picture's seed. */
#ifndef SUMI_CLI_WILDCARDS_H
#define SUMI_CLI_WILDCARDS_H
#include <stdint.h>

/* The prompt with its wildcards replaced, also those within what replaced one; the caller frees it. The same seed,
 * folder and prompt give the same words. Blank lines and what begins with "#" do not count. NULL: it failed, and a
 * message was printed: a file that is not there or empty, or wildcards without end. */
char *wildcards_fill(const char *prompt, const char *folder, int64_t seed);

#endif
