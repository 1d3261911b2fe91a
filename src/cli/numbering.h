/* numbering.h - paths with a number in them. */
#ifndef SUMI_CLI_NUMBERING_H
#define SUMI_CLI_NUMBERING_H
#include <stdbool.h>
#include <stddef.h>

/* The path of picture `number` of `count`: "%03d" in the pattern is the number; "fox.png" is "fox_002.png" where there
 * are many. False: it is too long. */
bool numbered_path(char *path, size_t size, const char *pattern, int number, int count);

#endif
