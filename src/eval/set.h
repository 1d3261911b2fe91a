/* set.h - real pictures that a model is measured by: folders with a metadata.jsonl, of which each line names a picture
 * ("file_name"), says what it shows ("text"), and may put it into groups (any two fields that the caller names). */
#ifndef SUMI_EVAL_SET_H
#define SUMI_EVAL_SET_H
#include "base/error.h"
#include <stdint.h>

typedef struct example {
	char *path, *text;
	char *group, *variant; /* never NULL; "" where the line does not have the field */
	int folder;            /* that it was read from: 0, 1, … in the order of reading */
} example;

typedef struct example_set {
	example *at;
	int count;
	int folders;
} example_set;

/* Adds the pictures of a folder. group and variant are names of fields; NULL: there are no groups. A line that is no
 * JSON object, or names no file in the folder, or has no text, is BAD_FILE: a figure that leaves things out silently
 * says nothing. */
bool example_set_read(example_set *s, const char *folder, const char *group, const char *variant, error *e);
void example_set_free(example_set *s);

#endif
