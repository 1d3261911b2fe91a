/* again.h - sumi generate --from: the options that made a picture, read from its text. */
#ifndef SUMI_CLI_AGAIN_H
#define SUMI_CLI_AGAIN_H
#include <stdbool.h>

enum { MOST_AGAIN = 96 };

typedef struct again {          /* zeros to begin with */
	char *argument[MOST_AGAIN]; /* "--steps=20", …, owned */
	int count;
	char model_hash[16]; /* the first ten digits; "": unknown */
	bool quiet, ours, no_memory, has_rng;
} again;

/* Reads the picture; values that no option takes are named on stderr unless quiet. 0, or the exit code, and a message
 * was printed. */
int again_read(again *a, const char *path, bool quiet);
/* A command line that has the picture's options in front of the caller's own; the caller frees the array, not what is
 * in it. NULL: out of memory. */
char **again_arguments(const again *a, int argc, char **argv, int *count);
void again_free(again *a);

#endif
