/* picture_files.h - pictures into files, several at a time. */
#ifndef SUMI_CLI_PICTURE_FILES_H
#define SUMI_CLI_PICTURE_FILES_H
#include "sumi.h"

typedef struct picture_file {
	const sumi_image *picture;
	char path[4096];
	sumi_error error; /* of its writing */
} picture_file;

/* Writes each picture, and prints the paths of those that were written, in their order. One that cannot be written does
 * not keep the others from it; e tells of the first. */
void write_picture_files(picture_file *files, int count, sumi_error *e);

#endif
