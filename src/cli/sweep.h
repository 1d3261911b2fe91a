/* sweep.h - pictures with other values of one or two options each, laid out as one labelled picture. */
#ifndef SUMI_CLI_SWEEP_H
#define SUMI_CLI_SWEEP_H
#include <sumi.h>

enum { MOST_VALUES = 64 };

typedef struct axis { /* "steps=10,20,30" */
	char name[32];    /* as it was written */
	char *value[MOST_VALUES];
	int count; /* 0: there is no such axis */
	char *text;
} axis;

/* 0, or the exit code, and a message was printed. */
int axis_read(axis *a, const char *text);
void axis_free(axis *a);

/* pictures [rows.count or 1][columns.count], row by row; smaller ones stand in the middle of their cells. A name and
 * value stand above each column and left of each row. NULL: it failed. */
sumi_image *labelled_grid(sumi_image *const *pictures, const axis *columns, const axis *rows, sumi_error *e);

#endif
